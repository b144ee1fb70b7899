/** What imported VMs become: options for all VMs of a command, or for one of them as `VM=VALUE`. */
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { parseBytes } from '../config/units.ts';
import { VmFerryError } from '../domain/errors.ts';
import type {
  AddressWish,
  CardWish,
  ImportBus,
  ImportShape,
  VolumeWish,
} from '../domain/import.ts';
import { usageError } from './fault.ts';
import { readCount } from './options.ts';

interface Said<T> {
  /** Absent: for all VMs of the command. */
  vm?: string;
  value: T;
}

interface OnCard {
  key: string;
  address: string;
}

export interface ShapeOptions {
  name?: Said<string>[];
  cpus?: Said<number>[];
  memory?: Said<number>[];
  disks?: Said<string[]>[];
  volumes?: Said<VolumeWish[]>[];
  os?: Said<System>[];
  nics?: Said<CardWish[]>[];
  addresses?: Said<OnCard[]>[];
  gateways?: Said<OnCard[]>[];
  dns?: Said<OnCard[]>[];
  bus?: ImportBus;
  newMacs?: true;
  emulate?: true;
  tpm?: boolean;
  secureBoot?: boolean;
}

type System = NonNullable<ImportShape['system']>;

const systems: readonly System[] = ['linux', 'windows', 'other'];
const buses: readonly ImportBus[] = ['virtio-scsi', 'virtio-blk', 'sata', 'ide'];
const ofEach = [
  ...(['name', 'cpus', 'memory', 'disks', 'volumes', 'nics'] as const),
  ...(['addresses', 'gateways', 'dns', 'os'] as const),
];
/** What two VMs cannot share. */
const ofOne: readonly string[] = [
  'name',
  'disks',
  'volumes',
  'nics',
  'addresses',
  'gateways',
  'dns',
];

const mebibyte = 1024 ** 2;

function readMemory(text: string): number {
  try {
    const bytes = parseBytes(text);
    if (bytes >= mebibyte) return bytes;
    throw new InvalidArgumentError('That is less than 1 MiB: name the unit, as in 8GiB.');
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    throw new InvalidArgumentError(`${error.message}. ${error.remedy}`);
  }
}

const readKeys = (text: string): string[] => text.split(',').filter((key) => key !== '');

/** `KEY`, or `KEY@MAC`. */
const readCards = (text: string): CardWish[] =>
  readKeys(text).map((word) => {
    const at = word.lastIndexOf('@');
    return at === -1 ? { key: word } : { key: word.slice(0, at), mac: word.slice(at + 1) };
  });

/** `KEY@VALUE`, several with commas. */
const readByKey = (text: string, of: string): { key: string; value: string }[] =>
  readKeys(text).map((word) => {
    const at = word.lastIndexOf('@');
    if (at > 0) return { key: word.slice(0, at), value: word.slice(at + 1) };
    throw new InvalidArgumentError(
      `Say for which ${of}, as KEY@${word}: \`vmferry inspect\` shows the keys.`,
    );
  });

const readOnCards = (text: string): OnCard[] =>
  readByKey(text, 'card').map(({ key, value }) => ({ key, address: value }));

const readVolumes = (text: string): VolumeWish[] =>
  readByKey(text, 'disk').map(({ key, value }) => ({ key, name: value }));

function readSystem(text: string): System {
  const found = systems.find((system) => system === text);
  if (found !== undefined) return found;
  throw new InvalidArgumentError(`Allowed choices are ${systems.join(', ')}.`);
}

/** `VALUE`, or `VM=VALUE`: a VM's name may hold a `=`, a value does not. */
const readSaid =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly Said<T>[] = []): Said<T>[] => {
    const at = text.lastIndexOf('=');
    const value = read(text.slice(at + 1));
    return [...before, at === -1 ? { value } : { vm: text.slice(0, at), value }];
  };

/** For all VMs of the command, or for one of them. */
const ofVms = (flags: string, help: string, read: (text: string) => unknown): Option =>
  new Option(flags, help).argParser(readSaid(read));

export const withShape = (command: Command): Command =>
  command
    .addOption(ofVms('--name <[vm=]name>', 'another name on the target; repeatable', String))
    .addOption(ofVms('--cpus <[vm=]n>', 'another number of CPUs; repeatable', readCount))
    .addOption(ofVms('--memory <[vm=]size>', 'another size, e.g. 8GiB; repeatable', readMemory))
    .addOption(
      ofVms(
        '--disks <[vm=]keys>',
        'keys of the disks that come beside the boot disk; repeatable',
        readKeys,
      ),
    )
    .addOption(
      ofVms(
        '--volumes <[vm=]names>',
        'names of volumes on the target, each as KEY@NAME, without the ending; repeatable',
        readVolumes,
      ),
    )
    .addOption(
      ofVms(
        '--os <[vm=]system>',
        'linux, windows or other, where the source says another one; repeatable',
        readSystem,
      ),
    )
    .addOption(
      ofVms(
        '--nics <[vm=]keys>',
        'keys of the network cards that come, in their order there, KEY or KEY@MAC; repeatable',
        readCards,
      ),
    )
    .addOption(
      ofVms(
        '--addresses <[vm=]addresses>',
        'IP addresses that the guest is given in place of its own, each as KEY@ADDRESS/PREFIX; repeatable',
        readOnCards,
      ),
    )
    .addOption(
      ofVms(
        '--gateways <[vm=]addresses>',
        'of these cards, each as KEY@ADDRESS (default: those it had, where they are beside)',
        readOnCards,
      ),
    )
    .addOption(
      ofVms(
        '--dns <[vm=]addresses>',
        'name servers of these cards, each as KEY@ADDRESS (default: as they are)',
        readOnCards,
      ),
    )
    .addOption(
      new Option(
        '--bus <bus>',
        'of the disks of a guest that is converted (default: virtio-scsi)',
      ).choices(buses),
    )
    .option('--new-macs', 'new addresses for all its cards')
    .option('--emulate', 'without KVM, where the target offers it and it does not work: slow')
    .option('--tpm', 'with a TPM')
    .option('--no-tpm', 'without a TPM')
    .option('--secure-boot', 'with Secure Boot')
    .option('--no-secure-boot', 'without Secure Boot');

/** Throws `usage` where an option is for a VM that is not named, for one twice, or for several that cannot share it. */
export function assertShapesFit(vms: readonly string[], options: ShapeOptions): void {
  for (const option of ofEach) {
    const said = options[option] ?? [];
    const of = said.map(({ vm }) => vm);
    if (of.includes(undefined) && vms.length !== 1 && ofOne.includes(option))
      throw usageError(
        `--${option} is for one VM, and ${vms.length} are named`,
        `Say which, as in --${option} ${vms[0] ?? 'VM'}=VALUE, name one VM, or leave it out.`,
      );
    const stranger = of.find((vm) => vm !== undefined && !vms.includes(vm));
    if (stranger !== undefined)
      throw usageError(
        `--${option} is for ${stranger}, which is not among the VMs that are named`,
        'Write its name as it stands before the options.',
      );
    const twice = of.find((vm, index) => of.indexOf(vm) !== index);
    if (twice !== undefined || of.filter((vm) => vm === undefined).length > 1)
      throw usageError(
        `--${option} is given twice for ${twice ?? 'all VMs'}`,
        'Leave one of them out.',
      );
  }
}

/** What `vm` becomes: what is said of it alone, else what is said of all. */
export function shapeFor(vm: string, options: ShapeOptions): ImportShape {
  const { bus, newMacs, emulate, tpm, secureBoot } = options;
  const name = saidOf(vm, options.name);
  const cpus = saidOf(vm, options.cpus);
  const memoryBytes = saidOf(vm, options.memory);
  const disks = saidOf(vm, options.disks);
  const volumes = saidOf(vm, options.volumes);
  const system = saidOf(vm, options.os);
  const nics = saidOf(vm, options.nics);
  const addresses = wishesOf(vm, options);
  return {
    ...(name === undefined ? {} : { name }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(disks === undefined ? {} : { disks }),
    ...(volumes === undefined ? {} : { volumes }),
    ...(system === undefined ? {} : { system }),
    ...(nics === undefined ? {} : { nics }),
    ...(addresses.length === 0 ? {} : { addresses }),
    ...(bus === undefined ? {} : { bus }),
    ...(newMacs === undefined ? {} : { newMacs }),
    ...(emulate === undefined ? {} : { domainType: 'qemu' }),
    ...(tpm === undefined ? {} : { tpm }),
    ...(secureBoot === undefined ? {} : { secureBoot }),
  };
}

function wishesOf(vm: string, options: ShapeOptions): AddressWish[] {
  const byCard = (said?: readonly Said<OnCard[]>[]): CardAddresses =>
    Map.groupBy(saidOf(vm, said) ?? [], ({ key }) => key);
  const addresses = byCard(options.addresses);
  const gateways = byCard(options.gateways);
  const dns = byCard(options.dns);
  const keys = new Set([...addresses.keys(), ...gateways.keys(), ...dns.keys()]);
  return [...keys].map((key) => {
    const [via, servers] = [textsOf(gateways, key), textsOf(dns, key)];
    return {
      key,
      addresses: textsOf(addresses, key) ?? [],
      ...(via === undefined ? {} : { gateways: via }),
      ...(servers === undefined ? {} : { dns: servers }),
    };
  });
}

type CardAddresses = Map<string, OnCard[]>;

const textsOf = (said: CardAddresses, key: string): string[] | undefined =>
  said.get(key)?.map(({ address }) => address);

const saidOf = <T>(vm: string, said: readonly Said<T>[] = []): T | undefined =>
  (said.find((one) => one.vm === vm) ?? said.find((one) => one.vm === undefined))?.value;
