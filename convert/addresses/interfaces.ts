/** What a guest said of its network, checked: it goes into configuration files and names of files. */
import { isIP } from 'node:net';
import type { GuestInterface } from '../../domain/foreign.ts';

export interface KeptInterface {
  /** That of the target's NIC; lower case, colons. */
  mac: string;
  /** What the guest calls it. */
  name: string;
  /** Addresses that somebody set by hand; none if it gets them by DHCP. */
  addresses: { address: string; prefix: number; family: 4 | 6 }[];
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
export function checkInterfaces(said: readonly GuestInterface[]): CheckedInterfaces {
  const interfaces: KeptInterface[] = [];
  const notes: string[] = [];
  const seen = new Set<string>();
  for (const one of said.slice(0, maxInterfaces)) {
    const mac = one.mac.toLowerCase();
    const what = JSON.stringify(`${one.name} ${one.mac}`.slice(0, 60));
    if (!/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
      notes.push(`The interface ${what} has no MAC to know it by.`);
    } else if (!isInterfaceName(one.name)) {
      notes.push(`The interface ${what} has no name that Linux would take.`);
    } else if (seen.has(mac) || seen.has(one.name)) {
      notes.push(`The interface ${what} has the MAC or the name of another.`);
    } else {
      seen.add(mac).add(one.name);
      interfaces.push(kept(one, mac));
    }
  }
  if (said.length > maxInterfaces) notes.push(`Only ${maxInterfaces} interfaces were looked at.`);
  return { interfaces, notes };
}

/** As the kernel has it: up to 15 bytes; we take none but plain ones. */
const isInterfaceName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(name);

function kept(one: GuestInterface, mac: string): KeptInterface {
  const addresses = one.addresses.slice(0, maxEntries).flatMap(({ address, prefix, origin }) => {
    const family = isIP(address);
    const width = family === 4 ? 32 : 128;
    const whole = Number.isInteger(prefix) && prefix > 0 && prefix <= width;
    const byHand = origin === 'static' && !/^(?:fe80:|169\.254\.)/i.test(address);
    return (family === 4 || family === 6) && whole && byHand && !address.includes('%')
      ? [{ address, prefix, family } as const]
      : [];
  });
  return {
    ...{ mac, name: one.name, addresses },
    gateways: ipsOf(one.gateways),
    dns: ipsOf(one.dns),
    searchDomains: one.searchDomains
      .slice(0, maxEntries)
      .filter((domain) => /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(domain)),
  };
}

const ipsOf = (texts: readonly string[]): string[] =>
  texts.slice(0, maxEntries).filter((text) => isIP(text) !== 0 && !text.includes('%'));

/** The gateways of one family. */
export const gatewayOf = (one: KeptInterface, family: 4 | 6): string | undefined =>
  one.gateways.find((gateway) => isIP(gateway) === family);
