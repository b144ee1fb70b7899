/** What a host's worker tells of its host: figures and groups for placement, never the list of its VMs. */
import type { HostFacts, NumaNode } from '../host.ts';
import type { PlacementHost, PlacementPool } from '../placement/host.ts';
import type { BandwidthInForce } from './state.ts';

export interface HostReading extends Pick<
  PlacementHost,
  | 'hostUuid'
  | 'arch'
  | 'machines'
  | 'cpus'
  | 'memoryBytes'
  | 'freeMemoryBytes'
  | 'networks'
  | 'bridges'
  | 'cpuModels'
  | 'firmwares'
  | 'runningVms'
  | 'runningVcpus'
  | 'groups'
> {
  /** See `HostFacts`; the first of many nodes. */
  numa?: NumaNode[];
  load?: number;
  pools: readonly PlacementPool[];
  /** All that are defined or run. */
  vms: number;
  libvirtVersion: string;
  hypervisorVersion: string;
  /** The caps that its worker holds to now. */
  bandwidth: BandwidthInForce;
  /** ISO 8601, UTC, by the host's clock: for people. */
  readAt: string;
}

/** The entity of a host is carried from run to run with all of this: each list has its most. */
const most = {
  machines: 600,
  networks: 128,
  pools: 64,
  groups: 500,
  cpuModels: 128,
  numa: 64,
  text: 200,
};

const short = (text: string): string => text.slice(0, most.text);
const shortened = (texts: readonly string[], count: number): string[] =>
  texts.slice(0, count).map(short);

/** What the daemon does not tell by itself. */
export interface ReadBeside extends Pick<
  HostReading,
  'runningVcpus' | 'groups' | 'bandwidth' | 'readAt'
> {
  cpuModels?: readonly string[];
  firmwares?: readonly string[];
}

/** A reading from a host's facts, cut to its bounds. */
export function readingOf(
  facts: Omit<HostFacts, 'guard' | 'migrationAddress' | 'version' | 'name'>,
  { runningVcpus, groups, bandwidth, readAt, cpuModels, firmwares }: ReadBeside,
): HostReading {
  return {
    hostUuid: facts.hostUuid,
    arch: facts.arch,
    machines: shortened(facts.machines, most.machines),
    cpus: facts.cpus,
    memoryBytes: facts.memoryBytes,
    freeMemoryBytes: facts.freeMemoryBytes,
    networks: shortened(facts.networks, most.networks),
    bridges: shortened(facts.bridges, most.networks),
    pools: facts.pools.slice(0, most.pools).map((pool) => ({ ...pool, path: short(pool.path) })),
    runningVms: facts.vms.filter(({ running }) => running).length,
    runningVcpus,
    groups: Object.fromEntries(Object.entries(groups).slice(0, most.groups)),
    vms: facts.vms.length,
    libvirtVersion: short(facts.libvirtVersion),
    hypervisorVersion: short(facts.hypervisorVersion),
    bandwidth,
    readAt,
    ...(facts.numa === undefined ? {} : { numa: facts.numa.slice(0, most.numa) }),
    ...(facts.load === undefined ? {} : { load: facts.load }),
    ...(cpuModels === undefined ? {} : { cpuModels: shortened(cpuModels, most.cpuModels) }),
    ...(firmwares === undefined ? {} : { firmwares: shortened(firmwares, 8) }),
  };
}

/** Free memory and room in pools move all the time: less than this share of the whole says nothing new. */
const noiseShare = 0.02;

/** Of the load, for each CPU. */
const noiseLoad = 0.25;

/** Whether a reading tells anything that the one before did not. */
export function tellsMore(before: HostReading, now: HostReading): boolean {
  if (JSON.stringify(withoutFigures(before)) !== JSON.stringify(withoutFigures(now))) return true;
  if (Math.abs((now.load ?? 0) - (before.load ?? 0)) > now.cpus * noiseLoad) return true;
  if (differs(before.freeMemoryBytes, now.freeMemoryBytes, now.memoryBytes)) return true;
  return now.pools.some((pool, at) =>
    differs(before.pools[at]?.availableBytes ?? 0, pool.availableBytes, pool.capacityBytes),
  );
}

const differs = (before: number, now: number, whole: number): boolean =>
  Math.abs(now - before) > whole * noiseShare;

const withoutFigures = ({ pools, load: _load, ...rest }: HostReading): object => ({
  ...rest,
  readAt: '',
  freeMemoryBytes: 0,
  pools: pools.map((pool) => ({ ...pool, availableBytes: 0 })),
});
