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

/** What a host opens to get at a disk's bytes: a file, a device node, or something that only QEMU reaches. */
export type PlaceKind = 'file' | 'block' | 'network';

/** A disk that QEMU reaches over the network; never holds a secret, only names one. */
export interface NetworkPlace {
  protocol: 'rbd' | 'iscsi' | 'nfs' | 'nbd' | 'other';
  /** As libvirt's `<source name=...>`: `pool/image`, `iqn.2026-11.example:disk/1`, `/export/vda.raw`. */
  name: string;
  hosts: { name: string; port?: number }[];
  /** libvirt secret that the host's QEMU logs in with. */
  auth?: { username: string; secret: SecretRef };
}

/** A secret of libvirt, by UUID or by what it is used for. */
export interface SecretRef {
  uuid?: string;
  /** `ceph`, `iscsi`, `volume`, `vtpm`. */
  usageType?: string;
  usage?: string;
}

export interface VmDisk {
  /** The name in the guest's definition: `vda`, `sdb`. Unique in a VM. */
  name: string;
  device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  kind: PlaceKind | 'none';
  /**
   * Absolute path of the file or device node. Of a network disk what names it for people and for the guard's ledger:
   * `rbd:pool/image`, `iscsi:<iqn>/<lun>`, `nfs:<export path>/<file>`. Empty where the kind has none.
   */
  path: string;
  /** Present for network disks. */
  network?: NetworkPlace;
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
  /** What each of `backing` is, in its order. Absent where there is none, or nobody looked. */
  layers?: BackingLayer[];
  /** Secrets that opening it needs: a login, or the key of its encryption. */
  secrets?: SecretRef[];
  /** Encrypted below the guest, by QEMU or libvirt. */
  encrypted?: boolean;
  /** The driver's cache mode as the definition states it: `none`, `writeback`. Absent: QEMU's choice. */
  cache?: string;
}

/** An image that others lie on. */
export interface BackingLayer {
  /** As QEMU calls it: `raw`, `qcow2`, others. */
  format: string;
  /** A file of the host; not a device, nor anything that QEMU reaches over the network. */
  isFile: boolean;
  /** Virtual size, bytes; may differ from the disk's. */
  capacityBytes: number;
  /** Bytes allocated on the storage. */
  allocationBytes: number;
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

export interface KeptState {
  role: 'nvram' | 'tpm';
  /** File or folder on the host. */
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
  /** Devices that cannot follow the VM: `hostdev pci 0000:03:00.0`, `filesystem /srv`, a TPM of the host. */
  fixedDevices: string[];
  /**
   * What libvirt keeps of the VM beside definition and disks and what crosses with a move in one parcel:
   * UEFI variables, the state of an emulated TPM. Absent or empty: nothing.
   */
  keptState?: KeptState[];
  /**
   * Present if the definition leaves the UEFI firmware to libvirt. `loader`: the file that an earlier choice wrote down;
   * empty if it is chosen anew at each start, from the host's `loaders`, the preferred one first.
   */
  firmware?: { loader: string; loaders: string[] };
  /** Secrets of libvirt that the definition names, and whether the host gives their value out. */
  secrets?: (SecretRef & { readable: boolean })[];
  /** `<cpu>` of the definition as XML, where libvirt holds it against the host's at each start. */
  checkedCpu?: string;
  /** Present while it runs. */
  running?: RunningFacts;
}

/** A running guest, as far as its stored definition does not tell. */
export interface RunningFacts {
  /** `<cpu>` that another host has to offer, as XML; empty where the guest has none to name. */
  cpu: string;
  /** Why its CPU can leave no host, each a clause: `it has the feature invtsc`. */
  cpuTies: string[];
  /** What it has otherwise than the stored definition, each a clause: `disk vdb (/x) is not in the definition`. */
  drift: string[];
  /** Jobs that libvirt would not migrate beside, each a clause: `disk vda is being copied`. */
  jobs: string[];
  /** Files of the host that it has open and that have to be wherever it goes: firmware, media. */
  files: VmHostFile[];
}

/** One line of `vmferry vms`. */
/** Code of the fault that a host has not the memory which a guest asks for at its start. */
export const lacksMemory = 'host-lacks-memory';

/** Which VM is meant, and whether it runs: what a host knows without looking at any disk. */
export interface VmGlance {
  uuid: string;
  name: string;
  state: VmState;
  autostart: boolean;
}

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
