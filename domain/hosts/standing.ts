/** A host's entity as placement sees it. */
import type { PlacementHost, Supposed } from '../placement/host.ts';
import { movesInUnderWay } from './state.ts';
import type { HostState } from './state.ts';

/** One that has told nothing yet has no room at all; whoever places on it has to say so first. */
const nothingRead = {
  hostUuid: '',
  arch: '',
  machines: [],
  cpus: 0,
  memoryBytes: 0,
  freeMemoryBytes: 0,
  networks: [],
  bridges: [],
  pools: [],
  runningVms: 0,
  runningVcpus: 0,
  groups: {},
};

/** What is known of a host, for the rules of placement. */
export function placementHost(name: string, state: HostState): PlacementHost {
  const { settings, reading = nothingRead, movesIn, movesOut } = state;
  const { enabled, draining, labels, vcpuRatio, limits } = settings;
  const { cpuModels, firmwares } = state.reading ?? {};
  return {
    name,
    hostUuid: reading.hostUuid,
    arch: reading.arch,
    machines: [...reading.machines],
    cpus: reading.cpus,
    memoryBytes: reading.memoryBytes,
    freeMemoryBytes: reading.freeMemoryBytes,
    networks: [...reading.networks],
    bridges: [...reading.bridges],
    pools: reading.pools,
    runningVms: reading.runningVms,
    runningVcpus: reading.runningVcpus,
    groups: reading.groups,
    ...(cpuModels === undefined ? {} : { cpuModels }),
    ...(firmwares === undefined ? {} : { firmwares }),
    enabled,
    draining,
    labels,
    vcpuRatio,
    movesIn: { underWay: movesInUnderWay(state), limit: limits.movesIn },
    movesOut: { underWay: movesOut.length, limit: limits.movesOut },
    reservations: movesIn.map(({ reservation }) => reservation),
  };
}

/** The host as it is to a VM that comes later: moves under way are over by then. A limit of none stands. */
export const withoutMovesIn = (host: PlacementHost): PlacementHost => ({
  ...host,
  movesIn: { ...host.movesIn, underWay: 0 },
});

/** The host as it would be then. Of the moves that are supposed none counts against its limit: they come and go. */
export function supposedHost(host: PlacementHost, { draining, promised }: Supposed): PlacementHost {
  const more = promised.filter((one) => one.host === host.name);
  if (more.length === 0 && host.name !== draining) return host;
  return {
    ...host,
    draining: host.draining || host.name === draining,
    reservations: [...host.reservations, ...more.map(({ reservation }) => reservation)],
  };
}
