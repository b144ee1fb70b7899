import { permanent } from '../errors.ts';
import { emptyBucketMap, lookUp, withEntry } from './bucket-map.ts';
import type { BucketMap } from './bucket-map.ts';
import type { PlacementHost, PlacementPool, Reservation } from './host.ts';

/**
 * What every placement asks of every host, a column a figure, reservations taken off; a host's place in it is its place
 * in `Fleet.hosts`. Columns of plain numbers are what lets ten thousand VMs be placed in a second or two.
 */
export interface Columns {
  /** May be below zero, where more was promised than is there. */
  readonly freeMemoryBytes: Float64Array;
  /** Of all its memory; 0 where that is not known. */
  readonly freeMemoryShare: Float64Array;
  readonly cpus: Float64Array;
  /** vCPUs that may still come before the host's ratio is reached. */
  readonly freeVcpus: Float64Array;
  /** Running, or awaited by a reservation. */
  readonly vms: Float64Array;
  /** How many more moves towards it there may be at this moment. */
  readonly movesInLeft: Float64Array;
  /** Under way, in and out. */
  readonly moves: Float64Array;
}

/** The pools of one name; no number where a host has none. */
export interface PoolColumn {
  readonly freeBytes: Float64Array;
  readonly freeShare: Float64Array;
}

/** All hosts at one moment. Never changed: `reserve` and `release` give a new one. */
export interface Fleet {
  /** Sorted by name, so that the order in which hosts were given decides nothing. */
  readonly hosts: readonly PlacementHost[];
  readonly indexOf: ReadonlyMap<string, number>;
  readonly reservations: readonly (readonly Reservation[])[];
  readonly columns: Columns;
  readonly pools: ReadonlyMap<string, PoolColumn>;
  /** Bytes that are promised in each store, over all hosts. */
  readonly reservedByStore: ReadonlyMap<string, number>;
  /** By group: how many VMs of it each host has or awaits; hosts without any are not in it. */
  readonly groups: BucketMap<ReadonlyMap<number, number>>;
  /** By move: the host that it has its room on. */
  readonly moves: BucketMap<string>;
  /**
   * Which hosts pass the filters that no reservation changes, by what was asked. Remembered, since it is the same for
   * every later fleet of these hosts and for most of their VMs; forgotten whole when it grows over `rememberedAsks`.
   */
  readonly eligible: Map<string, readonly number[]>;
}

/** Lists of hosts that a fleet remembers; a thousand hosts make 8 KiB of each. */
export const rememberedAsks = 256;

/** Makes hosts ready for placing. Throws a permanent `host-named-twice`. */
export function fleetOf(given: readonly PlacementHost[]): Fleet {
  const hosts = given.toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  const indexOf = new Map(hosts.map(({ name }, at) => [name, at]));
  if (indexOf.size < hosts.length) {
    const name = hosts.find((host, at) => host.name === hosts[at + 1]?.name)?.name ?? '';
    throw permanent({
      code: 'host-named-twice',
      message: `two hosts are called ${name}`,
      remedy: 'Give each host a name of its own.',
      host: name,
    });
  }
  const column = (): Float64Array => new Float64Array(hosts.length);
  const names = new Set(hosts.flatMap(({ pools }) => pools.map(({ name }) => name)));
  let fleet: Fleet = {
    hosts,
    indexOf,
    reservations: hosts.map(({ reservations }) => reservations),
    columns: {
      freeMemoryBytes: column(),
      freeMemoryShare: column(),
      cpus: column(),
      freeVcpus: column(),
      vms: column(),
      movesInLeft: column(),
      moves: column(),
    },
    pools: new Map(
      [...names].map((name) => [
        name,
        { freeBytes: column().fill(Number.NaN), freeShare: column().fill(Number.NaN) },
      ]),
    ),
    reservedByStore: new Map(),
    groups: emptyBucketMap(),
    moves: emptyBucketMap(),
    eligible: new Map(),
  };
  hosts.forEach((host, at) => {
    for (const [group, vms] of Object.entries(host.groups))
      fleet = withGroup(fleet, group, at, vms);
    for (const reservation of host.reservations) fleet = withPromise(fleet, at, reservation, 1);
    countHost(fleet, at);
  });
  // Only now is known what all hosts together promised of a store.
  hosts.forEach((host, at) => {
    for (const { name } of host.pools) countPool(fleet, at, name);
  });
  return fleet;
}

/** The fleet with a reservation put to those of a host, or taken off. */
export function withReservation(
  fleet: Fleet,
  at: number,
  change: { added: Reservation } | { removed: Reservation },
): Fleet {
  const isAdded = 'added' in change;
  const reservation = isAdded ? change.added : change.removed;
  const before = fleet.reservations[at] ?? [];
  const reservations = [...fleet.reservations];
  reservations[at] = isAdded
    ? [...before, reservation]
    : before.filter(({ moveId }) => moveId !== reservation.moveId);
  const promised = withPromise(fleet, at, reservation, isAdded ? 1 : -1);
  const columns = columnsCopied(fleet.columns);
  const pools = new Map(fleet.pools);
  const next: Fleet = { ...promised, reservations, columns, pools };
  countHost(next, at);
  for (const { pool, store } of storesOf(fleet, at, reservation)) {
    const members = store === undefined ? [[pool, [at]] as const] : membersOf(fleet, store);
    for (const [name, ats] of members) {
      const column = pools.get(name);
      if (column === undefined) continue;
      pools.set(name, {
        freeBytes: column.freeBytes.slice(),
        freeShare: column.freeShare.slice(),
      });
      for (const member of ats) countPool(next, member, name);
    }
  }
  return next;
}

/** What a reservation says beyond its own host's figures: stores, groups and the move itself. */
function withPromise(fleet: Fleet, at: number, reservation: Reservation, sign: 1 | -1): Fleet {
  const { moveId } = reservation;
  const name = fleet.hosts[at]?.name;
  let next: Fleet = {
    ...fleet,
    moves: withEntry(fleet.moves, moveId, sign === 1 ? name : undefined),
  };
  for (const group of reservation.groups) next = withGroup(next, group, at, sign);
  const stores = storesOf(fleet, at, reservation).filter(({ store }) => store !== undefined);
  if (stores.length === 0) return next;
  const reservedByStore = new Map(fleet.reservedByStore);
  for (const { store = '', bytes } of stores) {
    reservedByStore.set(store, (reservedByStore.get(store) ?? 0) + sign * bytes);
  }
  return { ...next, reservedByStore };
}

const storesOf = ({ hosts }: Fleet, at: number, { pools }: Reservation) =>
  pools.map(({ pool, bytes }) => ({
    pool,
    bytes,
    store: hosts[at]?.pools.find(({ name }) => name === pool)?.store,
  }));

function withGroup(fleet: Fleet, group: string, at: number, more: number): Fleet {
  const hosts = new Map(lookUp(fleet.groups, group));
  const vms = (hosts.get(at) ?? 0) + more;
  if (vms > 0) hosts.set(at, vms);
  else hosts.delete(at);
  return { ...fleet, groups: withEntry(fleet.groups, group, hosts) };
}

/** Counted anew from facts and reservations each time: a sum that is kept up could drift from what it sums. */
function countHost({ hosts, reservations, columns }: Fleet, at: number): void {
  const host = hosts[at];
  const promised = reservations[at];
  if (host === undefined || promised === undefined) return;
  let { freeMemoryBytes } = host;
  let freeVcpus = Math.floor(host.cpus * host.vcpuRatio) - host.runningVcpus;
  for (const { memoryBytes, vcpus } of promised) {
    freeMemoryBytes -= memoryBytes;
    freeVcpus -= vcpus;
  }
  // The host counted its own reservations already.
  const movesIn = host.movesIn.underWay + promised.length - host.reservations.length;
  columns.freeMemoryBytes[at] = freeMemoryBytes;
  columns.freeMemoryShare[at] = host.memoryBytes > 0 ? freeMemoryBytes / host.memoryBytes : 0;
  columns.cpus[at] = host.cpus;
  columns.freeVcpus[at] = freeVcpus;
  columns.vms[at] = host.runningVms + promised.length;
  columns.movesInLeft[at] = host.movesIn.limit - movesIn;
  columns.moves[at] = movesIn + host.movesOut.underWay;
}

function countPool(fleet: Fleet, at: number, name: string): void {
  const column = fleet.pools.get(name);
  const pool = fleet.hosts[at]?.pools.find((one) => one.name === name);
  if (column === undefined || pool === undefined) return;
  const freeBytes = pool.availableBytes - reservedIn(fleet, at, pool);
  column.freeBytes[at] = freeBytes;
  column.freeShare[at] = pool.capacityBytes > 0 ? freeBytes / pool.capacityBytes : 0;
}

function reservedIn(fleet: Fleet, at: number, { name, store }: PlacementPool): number {
  if (store !== undefined) return fleet.reservedByStore.get(store) ?? 0;
  let bytes = 0;
  for (const { pools } of fleet.reservations[at] ?? []) {
    for (const promised of pools) if (promised.pool === name) bytes += promised.bytes;
  }
  return bytes;
}

/** Every pool that lies on a store, whatever it is called: its name, and the hosts that have it so. */
function membersOf({ hosts }: Fleet, store: string): Map<string, number[]> {
  const members = new Map<string, number[]>();
  hosts.forEach(({ pools }, at) => {
    for (const pool of pools) {
      if (pool.store !== store) continue;
      const ats = members.get(pool.name) ?? [];
      ats.push(at);
      members.set(pool.name, ats);
    }
  });
  return members;
}

const columnsCopied = (columns: Columns): Columns => ({
  freeMemoryBytes: columns.freeMemoryBytes.slice(),
  freeMemoryShare: columns.freeMemoryShare.slice(),
  cpus: columns.cpus,
  freeVcpus: columns.freeVcpus.slice(),
  vms: columns.vms.slice(),
  movesInLeft: columns.movesInLeft.slice(),
  moves: columns.moves.slice(),
});
