/** What a guest said of its network, checked: it goes into configuration files and names of files. */
import { isIP } from 'node:net';
import type { GuestInterface } from '../../domain/foreign.ts';
import type { PlannedImportNic } from '../../domain/import.ts';
import { networkAddress, plainAddress } from '../../domain/import/addresses.ts';

/** What a source told of a card, by the MAC that it has on the target. */
export interface GuestCard extends GuestInterface {
  /** At the source, where it is another one. */
  formerMac?: string;
  /** It does not come along: its name is taken, and nothing is written for it. */
  stays?: true;
  /** What it is to have in place of what it had. */
  set?: PlannedImportNic['set'];
}

export interface KeptInterface {
  /** That of the target's NIC; lower case, colons. */
  mac: string;
  formerMac?: string;
  stays?: true;
  /** What the guest calls it; empty where that is not known. */
  name: string;
  /** Addresses that somebody set by hand; none if it gets them by DHCP. */
  addresses: { address: string; prefix: number; family: 4 | 6 }[];
  /** These, and those of which the source did not say who set them: by them the guest's files tell its name. */
  had?: string[];
  /**
   * `addresses` and `gateways` take the place of what the guest's files have of their families, and `dns` if that was
   * asked for.
   */
  set?: { dns: boolean };
  gateways: string[];
  dns: string[];
  searchDomains: string[];
}

export interface CheckedInterfaces {
  interfaces: KeptInterface[];
  /** What was left out and why, each a sentence. */
  notes: string[];
}

const maxInterfaces = 64;
const maxEntries = 32;

/** Leaves out what no guest could have meant; never throws. */
export function checkInterfaces(said: readonly GuestCard[]): CheckedInterfaces {
  const interfaces: KeptInterface[] = [];
  const notes: string[] = [];
  const seen = new Set<string>();
  for (const one of said.slice(0, maxInterfaces)) {
    const mac = one.mac.toLowerCase();
    const what = JSON.stringify(`${one.name} ${one.mac}`.slice(0, 60));
    if (!isMac(mac)) {
      notes.push(`The interface ${what} has no MAC to know it by.`);
    } else if (seen.has(mac) || seen.has(one.name)) {
      notes.push(`The interface ${what} has the MAC or the name of another.`);
    } else {
      // A Windows names its own with blanks; what Linux would not take is asked of its files.
      const name = isInterfaceName(one.name) ? one.name : '';
      seen.add(mac);
      if (name !== '') seen.add(name);
      interfaces.push(kept(one, { mac, name }));
    }
  }
  if (said.length > maxInterfaces) notes.push(`Only ${maxInterfaces} interfaces were looked at.`);
  return { interfaces, notes };
}

const isMac = (text: string): boolean => /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text);

/** As the kernel has it: up to 15 bytes; we take none but plain ones. */
export const isInterfaceName = (name: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(name);

function kept(one: GuestCard, as: Pick<KeptInterface, 'mac' | 'name'>): KeptInterface {
  const usable = one.addresses.slice(0, maxEntries).flatMap(({ address, prefix, origin }) => {
    const family = isIP(address);
    const width = family === 4 ? 32 : 128;
    const whole = Number.isInteger(prefix) && prefix > 0 && prefix <= width;
    const isItsOwn = !/^(?:fe80:|169\.254\.)/i.test(address) && !address.includes('%');
    return (family === 4 || family === 6) && whole && isItsOwn
      ? [{ address: canonical(address), prefix, family, origin } as const]
      : [];
  });
  const formerMac = one.formerMac?.toLowerCase() ?? '';
  return {
    ...as,
    ...(isMac(formerMac) && formerMac !== as.mac ? { formerMac } : {}),
    ...(one.stays === true ? { stays: true } : {}),
    ...(one.set === undefined ? {} : { set: { dns: one.set.dns !== undefined } }),
    addresses:
      one.set?.addresses.flatMap((text) => networkAddress(text) ?? []) ??
      usable
        .filter(({ origin }) => origin === 'static')
        .map(({ origin: _, ...address }) => address),
    had: usable
      .filter(({ origin }) => origin === 'static' || origin === 'unknown')
      .map(({ address }) => address),
    gateways: ipsOf(one.set === undefined ? one.gateways : (one.set.gateways ?? [])),
    // A resolver inside the guest is no server to be told of.
    dns: ipsOf(one.set?.dns ?? one.dns).filter((server) => plainAddress(server) !== undefined),
    searchDomains: one.searchDomains
      .slice(0, maxEntries)
      .filter((domain) => /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(domain)),
  };
}

/** One spelling: an IPv6 address has many. */
export const canonical = (address: string): string => plainAddress(address)?.address ?? address;

const ipsOf = (texts: readonly string[]): string[] =>
  texts.slice(0, maxEntries).filter((text) => isIP(text) !== 0 && !text.includes('%'));

/** Of an address that is known to be one. */
export const versionOf = (text: string): 4 | 6 => (text.includes(':') ? 6 : 4);

/** Of which it has addresses. */
export const familiesOf = ({ addresses }: KeptInterface): (4 | 6)[] =>
  ([4, 6] as const).filter((family) => addresses.some((one) => one.family === family));

/** The gateways of one family. */
export const gatewayOf = (one: KeptInterface, family: 4 | 6): string | undefined =>
  one.gateways.find((gateway) => isIP(gateway) === family);
