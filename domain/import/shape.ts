/** Which machine a foreign VM becomes. */
import type { ForeignVm } from '../foreign.ts';
import type { HostFacts } from '../host.ts';
import type { ImportBus, ImportRequest, ImportShape } from '../import.ts';
import { bootDisk, broughtDisks } from './disks.ts';
import { idePlaces } from './limits.ts';

type Wishes = Pick<ImportRequest, 'convert' | 'shape'>;

/** The least that a guest of today can be given: less is a slip of the pen. */
export const leastMemoryBytes = 16 * 1024 ** 2;

export const cpusOf = ({ cpus }: Pick<ForeignVm, 'cpus'>, shape: ImportShape): number =>
  shape.cpus ?? cpus;
export const memoryOf = ({ memoryBytes }: Pick<ForeignVm, 'memoryBytes'>, shape: ImportShape) =>
  shape.memoryBytes ?? memoryBytes;
export const nameOf = ({ name }: Pick<ForeignVm, 'name'>, shape: ImportShape): string =>
  shape.name ?? name;
export const secureBootOf = (
  { secureBoot }: Pick<ForeignVm, 'secureBoot'>,
  shape: ImportShape,
): boolean => shape.secureBoot ?? secureBoot;
export const tpmOf = ({ tpm }: Pick<ForeignVm, 'tpm'>, shape: ImportShape): boolean =>
  shape.tpm ?? tpm;

/**
 * The old machine is for one case: a guest that keeps its drivers and whose boot disk is on IDE finds the same
 * controller there. All others have q35, as UEFI wants it anyway.
 */
export function machineFor(vm: ForeignVm, { convert, shape }: Wishes): 'q35' | 'pc' {
  const places = broughtDisks(vm, shape).length;
  const isOld = vm.firmware === 'bios' && bootDisk(vm)?.bus === 'ide';
  return convert === 'no' && isOld && places <= idePlaces ? 'pc' : 'q35';
}

export function busFor(vm: ForeignVm, wishes: Wishes): ImportBus {
  if (wishes.convert === 'yes') return wishes.shape.bus ?? 'virtio-scsi';
  return machineFor(vm, wishes) === 'pc' ? 'ide' : 'sata';
}

/**
 * As was asked, else KVM where the target has it for that machine, else emulation; undefined if it does not have what is
 * wanted.
 */
export function domainTypeFor(
  { arch }: Pick<ForeignVm, 'arch'>,
  { machine, wish }: { machine: string; wish: ImportShape['domainType'] },
  { machines }: Pick<HostFacts, 'machines'>,
): 'kvm' | 'qemu' | undefined {
  const wanted = wish === undefined ? (['kvm', 'qemu'] as const) : [wish];
  return wanted.find((type) => machines.includes(`${type}/${arch}/${machine}`));
}

/** `x86_64/q35`, with the domain type in front where one was asked for. */
export const machineText = (
  { arch }: Pick<ForeignVm, 'arch'>,
  { machine, wish }: { machine: string; wish: ImportShape['domainType'] },
): string => [...(wish === undefined ? [] : [wish]), arch, machine].join('/');
