/** A virtual machine as vmferry needs to know it, whatever the platform. */

export const VmState = {
  running: 'running',
  paused: 'paused',
  shutOff: 'shut-off',
  shuttingDown: 'shutting-down',
  crashed: 'crashed',
  other: 'other',
} as const;
export type VmState = (typeof VmState)[keyof typeof VmState];

export type DiskFormat = 'raw' | 'qcow2';

export interface VmDisk {
  /** The name in the guest's definition: `vda`, `sdb`. Unique in a VM. */
  name: string;
  device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  kind: 'file' | 'block' | 'network' | 'none';
  /** Absolute path on the host; empty where the kind has none. */
  path: string;
  /** Driver type as the definition states it; `raw` and `qcow2` can be moved. */
  format: string;
  readonly: boolean;
  shareable: boolean;
  /** Virtual size, bytes. 0 if not known. */
  capacityBytes: number;
  /** Bytes allocated on the storage. 0 if not known. */
  allocationBytes: number;
  /** Pool and volume, where libvirt knows the path as one. */
  pool?: string;
  volume?: string;
  /** Paths of the backing files below the top image, nearest first. */
  backing: string[];
}

export interface VmNic {
  mac: string;
  kind: 'bridge' | 'network' | 'other';
  /** Bridge or libvirt network; empty for other kinds. */
  sourceName: string;
}

/** A file of the host that the definition names and that is not a disk. */
export interface VmHostFile {
  role: 'kernel' | 'initrd' | 'dtb' | 'loader' | 'nvram' | 'rom' | 'other';
  path: string;
}

export interface VmFacts {
  host: string;
  uuid: string;
  name: string;
  state: VmState;
  persistent: boolean;
  autostart: boolean;
  hasManagedSave: boolean;
  snapshots: string[];
  checkpoints: string[];
  memoryBytes: number;
  vcpus: number;
  /** libvirt domain type: `kvm`, `qemu`. */
  domainType: string;
  arch: string;
  machine: string;
  emulator: string;
  disks: VmDisk[];
  nics: VmNic[];
  hostFiles: VmHostFile[];
  /** Devices that cannot follow the VM: `hostdev pci 0000:03:00.0`, `filesystem /srv`, `tpm`. */
  fixedDevices: string[];
}

/** One line of `vmferry vms`. */
export interface VmSummary {
  host: string;
  uuid: string;
  name: string;
  state: VmState;
  memoryBytes: number;
  vcpus: number;
  diskBytes: number;
  /** What the host's guard says of it; absent if vmferry never saw the VM. */
  ownership?: string;
}
