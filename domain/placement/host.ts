import type { HostFacts, PoolFacts } from '../host.ts';

/** A pool as placement counts it. */
export interface PlacementPool extends PoolFacts {
  /**
   * Names the storage below, where pools share their room: the same export seen by many hosts, or two pools on one file
   * system. What is reserved in one of them is then missing in all. Absent: the pool has its room to itself.
   */
  store?: string;
}

/** Room that a move was promised on its target, from the choice until the host's facts show the VM itself. */
export interface Reservation {
  moveId: string;
  memoryBytes: number;
  vcpus: number;
  /** By pool of the host; a pool once. */
  pools: readonly { pool: string; bytes: number }[];
  /** The groups that the VM belongs to. */
  groups: readonly string[];
}

/** What is to be taken for granted beside what hosts know, by a plan that touches nothing. */
export interface Supposed {
  /** A host as if it were being emptied. */
  draining: string;
  /** Room as if it were promised already; of these moves none is under way at the moment that is asked about. */
  promised: readonly { host: string; reservation: Reservation }[];
}

/** What is known of a host that a VM may be placed on: its facts, what people set, and what is promised already. */
export interface PlacementHost extends Pick<
  HostFacts,
  | 'name'
  | 'hostUuid'
  | 'arch'
  | 'machines'
  | 'cpus'
  | 'memoryBytes'
  | 'freeMemoryBytes'
  | 'networks'
  | 'bridges'
> {
  /** Whether it takes VMs at all. */
  enabled: boolean;
  /** Its VMs are being moved away; it takes none meanwhile. */
  draining: boolean;
  labels: Readonly<Record<string, string>>;
  /** CPU models that libvirt calls usable there; absent if not known. */
  cpuModels?: readonly string[];
  /** Firmware that it can start: `bios`, `efi`; absent if not known. */
  firmwares?: readonly string[];
  pools: readonly PlacementPool[];
  runningVms: number;
  /** vCPUs of the running VMs. */
  runningVcpus: number;
  /** How many vCPUs may run for each logical CPU. */
  vcpuRatio: number;
  /** Moves towards it that are under way, those with a reservation included, and how many may be. */
  movesIn: { underWay: number; limit: number };
  /** Moves away from it. Their limit says when a move may start, not where it goes to. */
  movesOut: { underWay: number; limit: number };
  /** How many VMs of each group it has, running or not, without those that only have a reservation. */
  groups: Readonly<Record<string, number>>;
  reservations: readonly Reservation[];
}
