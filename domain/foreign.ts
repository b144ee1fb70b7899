/**
 * A VM on a platform that has no guard of ours (vSphere, a KVM host reached by SSH, an OVA), and the way to its bytes.
 * Everything here was said by a foreign system: names, paths and numbers are bounded and checked by who parsed them.
 */
import type { Concern } from './concerns.ts';
import type { DiskSource } from './platform.ts';
import type { VmState } from './vm.ts';

export const ForeignKind = {
  vsphere: 'vsphere',
  kvm: 'kvm',
  ova: 'ova',
} as const;
export type ForeignKind = (typeof ForeignKind)[keyof typeof ForeignKind];

/** A line of an inventory. */
export interface ForeignVmSummary {
  /** What the platform calls it and never gives to another: `vm-42`, a UUID, a name inside an OVA. */
  id: string;
  name: string;
  state: VmState;
  memoryBytes: number;
  cpus: number;
  /** Sum of the disks' virtual sizes, bytes; 0 if not known. */
  diskBytes: number;
  /** Where it stands, for people: `DC0/vm/web`, a host's name; empty if the platform has no such thing. */
  path: string;
}

/** Order in a VM counts: the first disk is the boot disk unless `boot` says otherwise. */
export interface ForeignDisk {
  /** Unique in the VM, stable between two looks: `2000`, `vda`, an OVF's `disk1`. */
  key: string;
  /** Where its bytes are, in the platform's words: `[ds1] web/web.vmdk`, a path. */
  path: string;
  capacityBytes: number;
  /** Bytes allocated; 0 if not known. */
  allocationBytes: number;
  /** `scsi`, `ide`, `sata`, `nvme`, `virtio`, others as the platform says. */
  bus: string;
  /** The controller's number and the place on it. */
  unit: { controller: number; unit: number };
  /** Left out of snapshots (`independent`), shared between VMs, a device of the host, encrypted: each a concern. */
  independent: boolean;
  shared: boolean;
  raw: boolean;
  encrypted: boolean;
  boot?: boolean;
}

export interface ForeignNic {
  key: string;
  /** Lower case, colons; empty if the platform gives none. */
  mac: string;
  /** Port group, network or bridge, as the map of networks names it. */
  network: string;
  /** Model: `vmxnet3`, `e1000`, `virtio`. */
  model: string;
  connected: boolean;
}

/** What a guest said of its network while it ran; the source of static addresses after the move. */
export interface GuestInterface {
  mac: string;
  /** The guest's own name for it: `ens192`; empty if not told. */
  name: string;
  addresses: {
    address: string;
    prefix: number;
    origin: 'static' | 'dhcp' | 'linklayer' | 'unknown';
  }[];
  gateways: string[];
  dns: string[];
  searchDomains: string[];
}

export interface ForeignVm extends Omit<ForeignVmSummary, 'diskBytes'> {
  kind: ForeignKind;
  /** SMBIOS UUID, lower case; empty if the platform has none. */
  uuid: string;
  arch: string;
  coresPerSocket: number;
  firmware: 'bios' | 'uefi';
  secureBoot: boolean;
  tpm: boolean;
  /** The platform's own name of the guest's system, for people and rules: `debian11_64Guest`, `Windows Server 2019`. */
  guestOs: string;
  guestFamily: 'linux' | 'windows' | 'other';
  disks: ForeignDisk[];
  nics: ForeignNic[];
  /** Paths of media in the drives; an empty drive is an empty string. */
  cdroms: string[];
  snapshots: string[];
  guestNetwork: GuestInterface[];
  /** Devices that cannot come along, each a clause: `PCI passthrough 0000:03:00.0`. */
  fixedDevices: string[];
}

/** A disk open to be read, and what tells two states of it apart. */
export interface ForeignDiskHandle {
  source: DiskSource;
  /** Changes whenever the bytes may have changed: the journal is only good for the same one. */
  fingerprint: string;
  /** By which way its bytes come and why, for people; absent where the platform has one only. */
  way?: string;
}

/** Nothing of it outlives `close`: no session, lease, snapshot, process or file at the source. */
export interface ForeignSource extends AsyncDisposable {
  readonly kind: ForeignKind;
  /** The inventory, as it comes; a large one is never held as a whole. */
  list(signal?: AbortSignal): AsyncIterable<ForeignVmSummary>;
  /** By ID, name or UUID. Throws `vm-not-found`, `vm-ambiguous`. */
  inspect(vm: string, signal?: AbortSignal): Promise<ForeignVm>;
  /** What only this platform can say against moving the VM; the rules on `ForeignVm` are the table's. */
  concerns(vm: ForeignVm, signal?: AbortSignal): Promise<Concern[]>;
  state(id: string): Promise<VmState>;
  /** Asks the guest; returns once it was asked. Throws `shutdown-unsupported` where nobody in the guest would hear. */
  requestShutdown(id: string): Promise<void>;
  forceOff(id: string): Promise<void>;
  /** Starts a VM that is off; no error if it runs. Absent where the platform cannot, or nothing of ours does it. */
  start?(id: string): Promise<void>;
  /**
   * Ends what an earlier run of the same label left at the source because it was killed. Before the first `openDisk`.
   * Absent where nothing can be left.
   */
  sweep?(): Promise<unknown>;
  /** Lets a guest go on that `openDisk` paused. No error unless it is off. Absent where nothing is paused. */
  resume?(id: string): Promise<void>;
  /**
   * The way to the bytes that `options.dataPath` of the platform chose. Throws `disk-not-found`, and what says who locks or
   * withholds the disk.
   */
  openDisk(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle>;
  /**
   * To be called after the last byte of the last disk was read, before `close`. Throws `source-changed` where a disk that
   * `openDisk` opened may hold other bytes by now: the VM was started meanwhile, its file was written or replaced.
   * What was read from a frozen point in time does not change.
   */
  verifyUnchanged(vm: ForeignVm, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
