/** A host as the checks need to know it: read fresh, never cached across a decision. */
export interface PoolFacts {
  name: string;
  type: string;
  active: boolean;
  /** Directory or device path of the pool. */
  path: string;
  capacityBytes: number;
  availableBytes: number;
}

/** What stands on a host under a name, a UUID, MACs and disk paths: for collisions. */
export interface NeighbourVm {
  uuid: string;
  name: string;
  running: boolean;
  macs: string[];
  diskPaths: string[];
}

export interface GuardFacts {
  /** Whether a probe domain was refused by libvirt itself through our hook just now. */
  hookLive: boolean;
  /** Why not, or how it was seen. */
  detail: string;
}

export interface HostFacts {
  name: string;
  hostname: string;
  /** libvirt's own UUID of the host: two names for one machine are found by it. */
  hostUuid: string;
  libvirtVersion: string;
  hypervisorVersion: string;
  memoryBytes: number;
  freeMemoryBytes: number;
  cpus: number;
  arch: string;
  /** `domainType/arch/machine` triples that the host's emulators offer. */
  machines: string[];
  pools: PoolFacts[];
  /** Active libvirt networks. */
  networks: string[];
  /** Bridges of the host's kernel. */
  bridges: string[];
  vms: NeighbourVm[];
  guard: GuardFacts;
  /** Address on which this host's exports and copies run. */
  migrationAddress: string;
  /** Version of vmferry that the worker runs. */
  version: string;
}
