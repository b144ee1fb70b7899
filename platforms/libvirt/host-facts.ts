/** A host as the checks of a move need it, read fresh each time. */
import { readFile } from 'node:fs/promises';
import type { Element } from '@xmldom/xmldom';
import type { HostFacts, NeighbourVm, NumaNode } from '../../domain/host.ts';
import {
  DomainXmlFlag,
  formatVersion,
  LibvirtError,
  ListNetworksFlag,
} from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { readBridges } from './bridges.ts';
import type { LibvirtHost } from './connect.ts';
import { DomainDocument } from './domain-xml.ts';
import type { DefinedFacts } from './domain-facts.ts';
import { isRefusal } from './faults.ts';
import { isOff, vmStateOf } from './lifecycle.ts';
import { remembering } from './remembering.ts';
import { readPools } from './storage.ts';
import {
  XmlError,
  attribute,
  childElements,
  elementAt,
  parseXml,
  sizeBytesOf,
  textOf,
} from './xml.ts';

/** The part of `HostFacts` that the platform can tell. */
export type PlatformFacts = Omit<HostFacts, 'guard' | 'migrationAddress' | 'version' | 'name'>;

/** Capabilities list every machine of every emulator: some hundred KiB where all architectures are there. */
const maxCapabilitiesBytes = 8 * 1024 * 1024;

/** Throws the domain errors of `LibvirtHost.use`. */
export async function readHostFacts(host: LibvirtHost): Promise<PlatformFacts> {
  return host.use(async (connection) => {
    const [pools, vms, capabilities, hostname, node, free, networks] = await Promise.all([
      readPools(connection),
      readNeighbours(connection),
      connection.call('ConnectGetCapabilities', {}),
      connection.call('ConnectGetHostname', {}),
      connection.call('NodeGetInfo', {}),
      connection.call('NodeGetFreeMemory', {}),
      connection.call('ConnectListAllNetworks', { needResults: 1, flags: ListNetworksFlag.active }),
    ]);
    const { hypervisorVersion, libvirtVersion } = connection;
    return {
      ...readCapabilities(capabilities.capabilities),
      hostname: hostname.hostname,
      libvirtVersion: formatVersion(libvirtVersion),
      hypervisorVersion: hypervisorVersion === undefined ? '' : formatVersion(hypervisorVersion),
      ...((await readMemory()) ?? {
        memoryBytes: node.memory * 1024,
        freeMemoryBytes: free.freeMemory,
      }),
      cpus: node.cpus,
      ...(await readLoad()),
      pools,
      networks: networks.nets.map(({ name }) => name).sort(),
      bridges: (await readBridges(host.name)).map(({ name }) => name),
      vms,
    };
  });
}

/** The domain types of all machines of the host. Throws the domain errors of `LibvirtHost.use`. */
export async function readDomainTypes(host: LibvirtHost): Promise<string[]> {
  return host.use(async (connection) => {
    const { capabilities } = await connection.call('ConnectGetCapabilities', {});
    const { machines } = readCapabilities(capabilities);
    return [...new Set(machines.map((machine) => machine.slice(0, machine.indexOf('/'))))];
  });
}

type Capabilities = Pick<HostFacts, 'hostUuid' | 'arch' | 'machines' | 'numa'>;

/** They change with the host's software alone, and to read them takes 50 ms of a processor. */
let latest: { xml: string; capabilities: Capabilities } | undefined;

/** The host's UUID and architecture, and `domainType/arch/machine` triples with aliases and their canonical names. */
export function readCapabilities(xml: string): Capabilities {
  if (latest?.xml !== xml) latest = { xml, capabilities: parseCapabilities(xml) };
  return latest.capabilities;
}

function parseCapabilities(xml: string): Capabilities {
  const root = parseXml(xml, {
    root: 'capabilities',
    maxBytes: maxCapabilitiesBytes,
  }).documentElement;
  if (root === null) throw new XmlError('it is empty');
  const machines = new Set<string>();
  for (const guest of childElements(root, 'guest')) {
    if (textOf(elementAt(guest, 'os_type')) !== 'hvm') continue;
    for (const arch of childElements(guest, 'arch')) {
      const shared = childElements(arch, 'machine');
      for (const domain of childElements(arch, 'domain')) {
        // A domain type may have machines of its own; else those of the architecture hold.
        const own = childElements(domain, 'machine');
        for (const machine of own.length > 0 ? own : shared) {
          const prefix = `${attribute(domain, 'type')}/${attribute(arch, 'name')}`;
          for (const name of [textOf(machine), attribute(machine, 'canonical')]) {
            if (name !== '') machines.add(`${prefix}/${name}`);
          }
        }
      }
    }
  }
  const numa = readNuma(elementAt(root, 'host', 'topology', 'cells'));
  return {
    ...(numa.length === 0 ? {} : { numa }),
    hostUuid: textOf(elementAt(root, 'host', 'uuid')),
    arch: textOf(elementAt(root, 'host', 'cpu', 'arch')),
    machines: [...machines].sort(),
  };
}

const readNuma = (cells: Element | undefined): NumaNode[] =>
  cells === undefined
    ? []
    : childElements(cells, 'cell').map((cell) => ({
        cpus: Number(attribute(elementAt(cell, 'cpus'), 'num') || 0),
        memoryBytes: sizeBytesOf(elementAt(cell, 'memory'), 'KiB'),
      }));

/** The mean of five minutes: that of one would be news each minute. */
async function readLoad(): Promise<Pick<HostFacts, 'load'>> {
  const text = await readFile('/proc/loadavg', 'utf8').catch(() => '');
  const load = Number(text.split(' ')[1] || Number.NaN);
  return Number.isNaN(load) ? {} : { load };
}

/**
 * The kernel's own account: what it has, and what it could give without swapping. libvirt's free memory leaves the
 * page cache out, and its total adds up NUMA nodes, which on some machines is less than the whole.
 */
async function readMemory(): Promise<
  Pick<HostFacts, 'memoryBytes' | 'freeMemoryBytes'> | undefined
> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const bytesOf = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024;
  const memoryBytes = bytesOf('MemTotal');
  const freeMemoryBytes = bytesOf('MemAvailable');
  return Number.isNaN(memoryBytes + freeMemoryBytes) ? undefined : { memoryBytes, freeMemoryBytes };
}

async function readNeighbours(connection: Connection): Promise<NeighbourVm[]> {
  const { domains } = await connection.call('ConnectListAllDomains', { needResults: 1 });
  const found = await Promise.all(domains.map(async (dom) => readNeighbour(connection, dom)));
  return found.filter((vm) => vm !== undefined);
}

/** One VM with all that it has now or will have at its next start; undefined if it goes away meanwhile. */
async function readNeighbour(
  connection: Connection,
  dom: DomainRef,
): Promise<NeighbourVm | undefined> {
  try {
    const { state } = await connection.call('DomainGetState', { dom });
    const { persistent } = await connection.call('DomainIsPersistent', { dom });
    const running = !isOff(vmStateOf(state));
    const read = async (flags: number): Promise<DefinedFacts | undefined> =>
      factsOrNothing((await connection.call('DomainGetXMLDesc', { dom, flags })).xml);
    const facts = [
      running ? await read(0) : undefined,
      persistent === 1 ? await read(DomainXmlFlag.inactive) : undefined,
    ].filter((each) => each !== undefined);
    const macs = facts.flatMap(({ nics }) => nics.map(({ mac }) => mac));
    const paths = facts.flatMap(({ disks }) =>
      disks.flatMap(({ path, backing }) => [path, ...backing]),
    );
    return {
      uuid: dom.uuid,
      name: dom.name,
      running,
      macs: [...new Set(macs)].filter((mac) => mac !== ''),
      diskPaths: [...new Set(paths)].filter((path) => path !== ''),
    };
  } catch (error) {
    if (error instanceof LibvirtError && isRefusal(error, 'NO_DOMAIN')) return undefined;
    throw error;
  }
}

const factsOf = remembering((xml): DefinedFacts => DomainDocument.parse(xml).facts());

/** A neighbour with an odd definition must not stop every move to its host; name and UUID still count. */
function factsOrNothing(xml: string): DefinedFacts | undefined {
  try {
    return factsOf(xml);
  } catch (error) {
    if (error instanceof XmlError) return undefined;
    throw error;
  }
}
