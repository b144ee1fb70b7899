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

/** A part of a host whose processors are near to its memory. */
export interface NumaNode {
  cpus: number;
  memoryBytes: number;
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
  /** Its NUMA nodes, as libvirt counts them; absent where it tells of none. */
  numa?: NumaNode[];
  /** Processes that ran or waited for a processor or a disk, in the mean of five minutes; absent where not told. */
  load?: number;
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

/** A host as a guest that runs would feel it, and what a migration between two hosts hangs on. Read fresh. */
export interface MachineFacts {
  /** As libvirt calls the host. */
  hostname: string;
  /** Release of the kernel, as `uname -r`. */
  kernel: string;
  /** Present on x86. */
  cpu?: CpuFacts;
  /** MTU of each bridge of the kernel and of each active libvirt network that has one, by name. */
  mtus: { bridges: Record<string, number>; networks: Record<string, number> };
  /**
   * How far the host's clock is ahead of the Temporal server's, ms, the way of the message included. Absent where
   * nobody could tell.
   */
  clockAheadMs?: number;
  /** libvirt's `lock_manager`; empty if it has none. */
  lockManager: string;
  /** Certificates for the memory of guests, which QEMU sends by itself. */
  qemuTls: QemuTls;
}

/** From /proc/cpuinfo. */
export interface CpuFacts {
  vendor: string;
  /** Family, model and stepping, `6-143-8`: revisions of microcode compare within these. Empty where one is not told. */
  signature: string;
  /** Revision of the microcode; empty where the kernel does not tell. */
  microcode: string;
  /** Whether it has long mode. */
  has64Bit: boolean;
  /** Whether it can forbid to execute data. */
  hasNx: boolean;
}

/** Where QEMU looks for certificates of migrations, by qemu.conf, and which of the files are not there. */
export interface QemuTls {
  folder: string;
  missing: QemuTlsFile[];
}

export const qemuTlsFiles = [
  'ca-cert.pem',
  'server-cert.pem',
  'server-key.pem',
  'client-cert.pem',
  'client-key.pem',
] as const;
export type QemuTlsFile = (typeof qemuTlsFiles)[number];

/** How a host's own certificates and ways towards another one fared, when tried. */
export interface LiveProbe {
  /** What was called. */
  address: string;
  /**
   * `ready`: the other libvirtd let it in. `unreachable`: no answer at its port. `refused`: one of the two does not
   * take the other's certificate. `untried`: this host's own certificate could not be read.
   */
  libvirtd: 'ready' | 'unreachable' | 'refused' | 'untried';
  /** Why it is not ready; empty if it is. */
  detail: string;
  /** Whether something on the way swallows what goes to the ports that QEMU listens on. */
  portsFiltered: boolean;
}

/** What libvirt on a host offers for a kind of machine. */
export interface MachineOffer {
  /** Files of UEFI firmware that it chooses from, the preferred one first; none if it has no UEFI for it. */
  efiLoaders: readonly string[];
  /** Whether one of them can do Secure Boot; absent if it does not say. */
  secureBoot?: boolean;
  /** Whether it can emulate a TPM; absent if it does not say. */
  tpm?: boolean;
}

/** What libvirt says of running a guest's CPU on a host. */
export interface CpuComparison {
  verdict: 'fits' | 'incompatible' | 'unknown';
  /** libvirt's words where it does not fit, or why it is not known. */
  detail: string;
}
