/** What a foreign VM becomes on its target: the plan's wishes and the foreign facts, settled into one. */
import { permanent } from '../domain/errors.ts';
import type { ForeignDisk, ForeignNic, ForeignVm } from '../domain/foreign.ts';

/** How the guest reaches its disks. The last two are emulated, for a guest that was not converted: `ide` on old machines. */
export type DiskBus = 'virtio-scsi' | 'virtio-blk' | 'sata' | 'ide';
export type NicModel = 'virtio' | 'e1000e' | 'rtl8139';

export interface TargetDisk {
  /** `ForeignDisk.key`. Disks that are not named do not come along. */
  key: string;
  /** A file or block device of the target; absolute. */
  kind: 'file' | 'block';
  path: string;
  format: 'raw' | 'qcow2';
}

export interface TargetNetwork {
  kind: 'bridge' | 'network';
  name: string;
}

export interface TargetPlan {
  name: string;
  /** The foreign VM's own for a move; a new one for a clone. */
  uuid: string;
  domainType: 'kvm' | 'qemu';
  /** libvirt's choice if absent. */
  emulator?: string;
  /** `q35` if absent; `pc` for systems that are older than it. UEFI is always `q35`. */
  machine?: 'q35' | 'pc';
  disks: readonly TargetDisk[];
  /** Foreign networks by name. */
  networks: ReadonlyMap<string, TargetNetwork>;
  /** For what `networks` does not name, and for the NIC of a VM that had none. */
  defaultNetwork?: TargetNetwork;
  /** False: the guest gets emulated devices. */
  converted: boolean;
  /** For a guest that was converted; `virtio-scsi` if absent. */
  bus?: DiskBus;
  memoryBytes?: number;
  cpus?: number;
  /** Overrides what the source had. */
  secureBoot?: boolean;
  tpm?: boolean;
  /** Media of the target, absolute paths; the source's drives come empty if absent. */
  cdroms?: readonly string[];
  /** A clone must not speak with the source's addresses. */
  newMacs?: boolean;
}

export interface TargetNic {
  /** Empty: libvirt makes one. */
  mac: string;
  network: TargetNetwork;
  model: NicModel;
  connected: boolean;
}

/** All that the definition says, decided. */
export interface TargetShape {
  name: string;
  uuid: string;
  domainType: 'kvm' | 'qemu';
  emulator?: string;
  machine: 'q35' | 'pc';
  arch: string;
  firmware: 'bios' | 'uefi';
  secureBoot: boolean;
  tpm: boolean;
  memoryBytes: number;
  cpus: number;
  coresPerSocket: number;
  windows: boolean;
  bus: DiskBus;
  /** The boot disk first. */
  disks: TargetDisk[];
  nics: TargetNic[];
  cdroms: string[];
}

/** The field's own limit for drives that are kept. */
const maxCdroms = 3;
/** Disks and drives together, on the old machine's one controller. */
const idePlaces = 4;

/**
 * Settles the plan. Throws `target-disk-unknown`, `target-without-disks`, `too-many-ide-disks`, `network-not-mapped`,
 * `secure-boot-impossible`.
 */
export function targetShape(vm: ForeignVm, plan: TargetPlan): TargetShape {
  const secureBoot = plan.secureBoot ?? vm.secureBoot;
  const old = plan.machine === 'pc';
  if (secureBoot && vm.firmware !== 'uefi') {
    throw permanent({
      code: 'secure-boot-impossible',
      message: `${vm.name} starts by BIOS, which has no Secure Boot`,
      remedy: 'Leave Secure Boot out of the plan.',
    });
  }
  const cpus = plan.cpus ?? vm.cpus;
  const model = modelFor(vm, plan.converted);
  const machine = vm.firmware === 'bios' && old ? 'pc' : 'q35';
  const emulated = machine === 'pc' ? 'ide' : 'sata';
  const bus = plan.converted ? (plan.bus ?? 'virtio-scsi') : emulated;
  const disks = orderedDisks(vm, plan.disks);
  if (bus === 'ide' && disks.length > idePlaces) {
    throw permanent({
      code: 'too-many-ide-disks',
      message: `${vm.name} has ${disks.length} disks, and the old machine's controller has room for ${idePlaces}`,
      remedy: 'Convert it, choose the machine q35, or leave disks out.',
    });
  }
  const cdroms = plan.cdroms ?? vm.cdroms.map(() => '');
  const drives = bus === 'ide' ? Math.min(maxCdroms, idePlaces - disks.length) : maxCdroms;
  return {
    name: plan.name,
    uuid: plan.uuid,
    domainType: plan.domainType,
    ...(plan.emulator !== undefined && { emulator: plan.emulator }),
    machine,
    arch: vm.arch,
    firmware: vm.firmware,
    secureBoot,
    tpm: plan.tpm ?? vm.tpm,
    memoryBytes: plan.memoryBytes ?? vm.memoryBytes,
    cpus,
    // A wish for other CPUs may leave the source's sockets behind.
    coresPerSocket: vm.coresPerSocket > 0 && cpus % vm.coresPerSocket === 0 ? vm.coresPerSocket : 1,
    windows: vm.guestFamily === 'windows',
    bus,
    disks,
    nics: targetNics(vm, plan, model),
    cdroms: cdroms.slice(0, drives),
  };
}

/** Every system of the last twenty years has a driver for e1000e but the oldest, which are no longer met on UEFI. */
const modelFor = (vm: ForeignVm, converted: boolean): NicModel => {
  if (converted) return 'virtio';
  return vm.firmware === 'uefi' || vm.guestFamily !== 'other' ? 'e1000e' : 'rtl8139';
};

function orderedDisks(vm: ForeignVm, planned: readonly TargetDisk[]): TargetDisk[] {
  const places = new Map(bootFirst(vm.disks).map(({ key }, index) => [key, index]));
  const place = ({ key }: TargetDisk): number => {
    const at = places.get(key);
    if (at !== undefined) return at;
    throw permanent({
      code: 'target-disk-unknown',
      message: `the plan names a disk ${JSON.stringify(key.slice(0, 100))} that ${vm.name} does not have`,
      remedy: `It has ${vm.disks.map((disk) => disk.key).join(', ')}.`,
    });
  };
  const placed = planned.map((disk) => ({ disk, at: place(disk) }));
  if (placed.length > 0) {
    return placed.toSorted((one, other) => one.at - other.at).map(({ disk }) => disk);
  }
  throw permanent({
    code: 'target-without-disks',
    message: `no disk of ${vm.name} is in the plan`,
    remedy: 'Name at least the boot disk.',
  });
}

/** The boot disk before all others, which keep their order. */
const bootFirst = (disks: readonly ForeignDisk[]): ForeignDisk[] =>
  disks.toSorted((one, other) => Number(other.boot ?? false) - Number(one.boot ?? false));

function targetNics(vm: ForeignVm, plan: TargetPlan, model: NicModel): TargetNic[] {
  const networkFor = (nic: ForeignNic | undefined): TargetNetwork => {
    const network = (nic && plan.networks.get(nic.network)) ?? plan.defaultNetwork;
    if (network !== undefined) return network;
    throw permanent({
      code: 'network-not-mapped',
      message:
        nic === undefined
          ? `${vm.name} has no network interface and the plan names no network to give it one on`
          : `the network ${JSON.stringify(nic.network.slice(0, 200))} of ${vm.name} is mapped to nothing`,
      remedy: 'Map it with --map-network SOURCE=TARGET, or name a default network.',
    });
  };
  const nics = vm.nics.map((nic) => ({
    mac: plan.newMacs === true ? '' : nic.mac,
    network: networkFor(nic),
    model,
    connected: nic.connected,
  }));
  // A guest without any is out of reach for ever.
  return nics.length > 0
    ? nics
    : [{ mac: '', network: networkFor(undefined), model, connected: true }];
}
