/** What a running guest says of its network and itself; libvirt's leases and the host's ARP table where it is silent. */
import { isIP } from 'node:net';
import type { ForeignNic, GuestInterface } from '../../domain/foreign.ts';
import { LibvirtError } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';

/** virDomainInterfaceAddressesSource. */
const AddressSource = { lease: 0, agent: 1, arp: 2 } as const;
/** virDomainGuestInfoTypes: the operating system. */
const osInfo = 2;

type Calls = Pick<Connection, 'call'>;

/** One interface as libvirt tells of it; hostile, for the guest wrote it. */
export interface ReportedInterface {
  name: string;
  hwaddr: string | undefined;
  addrs: readonly { addr: string; prefix: number }[];
}

interface Reports {
  /** Undefined where nobody in the guest answers. */
  agent: readonly ReportedInterface[] | undefined;
  lease: readonly ReportedInterface[];
  arp: readonly ReportedInterface[];
}

const maxAddresses = 64;
const maxNameLength = 64;
/** libvirt itself waits 5 s for an agent that does not answer. */
const agentTimeoutMs = 15_000;

/** Asks agent, leases and ARP table, in that order; never rejects because one of them has no answer. */
export async function readGuestNetwork(
  connection: Calls,
  dom: DomainRef,
  nics: readonly ForeignNic[],
): Promise<GuestInterface[]> {
  const ask = async (source: number): Promise<readonly ReportedInterface[] | undefined> => {
    try {
      const limit = { timeoutMs: agentTimeoutMs };
      const reply = await connection.call('DomainInterfaceAddresses', { dom, source }, limit);
      return reply.interfaces.map(({ name, hwaddr, addrs }) => ({
        name,
        hwaddr: hwaddr ?? undefined,
        addrs,
      }));
    } catch (error) {
      if (error instanceof LibvirtError) return undefined;
      throw error;
    }
  };
  const agent = await ask(AddressSource.agent);
  const lease = (await ask(AddressSource.lease)) ?? [];
  const arp = agent === undefined ? ((await ask(AddressSource.arp)) ?? []) : [];
  return guestNetworkOf({ agent, lease, arp }, nics);
}

/** Interfaces of the VM's own cards; what the guest made up above them (containers, loopback) is left out. */
export function guestNetworkOf(reports: Reports, nics: readonly ForeignNic[]): GuestInterface[] {
  const known = new Set(nics.map(({ mac }) => mac));
  const leased = new Set(reports.lease.flatMap(({ addrs }) => addrs.map(({ addr }) => addr)));
  const found = new Map<string, GuestInterface>();
  const take = (reported: ReportedInterface, named: boolean): void => {
    const mac = (reported.hwaddr ?? '').toLowerCase();
    if (!known.has(mac)) return;
    const addresses = reported.addrs.filter(isAddress).slice(0, maxAddresses);
    const name = named ? cleaned(reported.name) : '';
    const at = `${mac} ${name}`;
    const entry = found.get(at) ?? {
      ...{ mac, name, addresses: [], gateways: [], dns: [], searchDomains: [] },
    };
    for (const { addr, prefix } of addresses) {
      if (entry.addresses.some(({ address }) => address === addr)) continue;
      entry.addresses.push({ address: addr, prefix, origin: originOf(addr, leased) });
    }
    found.set(at, entry);
  };
  if (reports.agent === undefined) {
    // These name the host's end of the card.
    for (const each of [...reports.lease, ...reports.arp]) take(each, false);
  } else {
    for (const each of reports.agent.slice(0, maxAddresses)) take(each, true);
  }
  return [...found.values()];
}

const isAddress = ({ addr, prefix }: { addr: string; prefix: number }): boolean => {
  const version = isIP(addr);
  return version !== 0 && Number.isSafeInteger(prefix) && prefix <= (version === 4 ? 32 : 128);
};

const originOf = (
  address: string,
  leased: ReadonlySet<string>,
): GuestInterface['addresses'][number]['origin'] => {
  if (/^fe80:/i.test(address) || address.startsWith('169.254.')) return 'linklayer';
  // An agent does not say where the guest had it from.
  return leased.has(address) ? 'dhcp' : 'unknown';
};

/** What a guest calls its card goes to terminals: without control characters. */
const cleaned = (name: string): string => name.replaceAll(/\p{Cc}/gu, '').slice(0, maxNameLength);

/** The system's own word for itself; undefined where nobody in the guest answers. */
export async function readGuestOs(
  connection: Calls,
  dom: DomainRef,
): Promise<{ id: string; name: string } | undefined> {
  try {
    const limit = { timeoutMs: agentTimeoutMs };
    const { params } = await connection.call('DomainGetGuestInfo', { dom, types: osInfo }, limit);
    const text = (field: string): string => {
      const value = params.find((param) => param.field === field)?.value;
      return typeof value === 'string' ? cleaned(value) : '';
    };
    const id = text('os.id');
    return id === '' ? undefined : { id, name: text('os.pretty-name') || text('os.name') || id };
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}
