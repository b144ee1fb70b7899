/** What a foreign VM becomes on its target: the request's wishes and all facts, settled into one plan. */
import { permanent } from '../errors.ts';
import type { VmFerryError } from '../errors.ts';
import type { ForeignDisk, ForeignVm } from '../foreign.ts';
import type { HostFacts } from '../host.ts';
import type {
  AddressWish,
  ImportPlan,
  ImportRequest,
  PlannedImportDisk,
  PlannedImportNic,
} from '../import.ts';
import { addressTroubles, gatewaysFor } from './addresses.ts';
import {
  broughtDisks,
  diskFit,
  diskName,
  poolNameFor,
  volumeName,
  volumeTroubles,
} from './disks.ts';
import type { DiskFit } from './disks.ts';
import { isUsableMac, madeMac, repeatedMacs, settledMac } from './macs.ts';
import { modeOfImport } from './mode.ts';
import { nameTrouble } from './names.ts';
import { broughtCards, cardsOf, networkFor } from './networks.ts';
import {
  busFor,
  cpusOf,
  domainTypeFor,
  leastMemoryBytes,
  machineFor,
  machineText,
  memoryOf,
  nameOf,
  secureBootOf,
  tpmOf,
} from './shape.ts';

export interface PlanContext {
  vm: ForeignVm;
  request: ImportRequest;
  target: HostFacts;
  /** A new UUID, for a clone or a VM that has none: the same one for the same import. */
  newUuid: string;
}

const invalid = (code: string, message: string, remedy: string) =>
  permanent({ code, message, remedy });

/**
 * Settles the plan; equal input gives an equal plan. The rules of `checks/foreign` tell everything that speaks against
 * it, this the first thing that makes it impossible. Throws a permanent `name-invalid`, `no-disk`, `disk-unknown`, `volume-name-unfit`,
 * `cpus-unfit`, `memory-unfit`, `secure-boot-impossible`, `machine-unsupported`, `storage-unmapped`, `pool-missing`,
 * `pool-unusable`, `format-unfit`, `network-unmapped`, `nic-unfit`,
 * `mac-unusable`, `mac-twice`, `addresses-unfit`.
 */
export function planImport(context: PlanContext): ImportPlan {
  const { vm, request, newUuid } = context;
  const { shape } = request;
  const name = plannedName(vm, request);
  const clone = modeOfImport(vm, request) === 'clone';
  const uuid = clone || vm.uuid === '' ? newUuid : vm.uuid;
  checkSize(vm, request);
  const machine = machineFor(vm, request);
  const bus = busFor(vm, request);
  return {
    name,
    uuid,
    clone,
    domainType: plannedType(context, machine),
    machine,
    disks: plannedDisks(context, name),
    nics: plannedNics(context, uuid),
    cpus: cpusOf(vm, shape),
    memoryBytes: memoryOf(vm, shape),
    converted: request.convert === 'yes',
    bus,
    secureBoot: plannedSecureBoot(vm, request),
    tpm: tpmOf(vm, shape),
  };
}

function plannedName(vm: ForeignVm, { shape }: ImportRequest): string {
  const name = nameOf(vm, shape);
  const trouble = nameTrouble(name);
  if (trouble === undefined) return name;
  const message = `no VM can be called ${JSON.stringify(name.slice(0, 200))}: ${trouble}`;
  throw invalid('name-invalid', message, 'Give it another name: --name.');
}

function checkSize(vm: ForeignVm, { shape }: ImportRequest): void {
  const cpus = cpusOf(vm, shape);
  if (!(Number.isSafeInteger(cpus) && cpus > 0))
    throw invalid('cpus-unfit', `${vm.name} would have ${cpus} CPUs`, 'Say how many: --cpus.');
  const memoryBytes = memoryOf(vm, shape);
  if (memoryBytes >= leastMemoryBytes) return;
  const message = `${vm.name} would have ${memoryBytes} bytes of memory`;
  throw invalid('memory-unfit', message, 'Say how much: --memory.');
}

function plannedSecureBoot(vm: ForeignVm, { shape }: ImportRequest): boolean {
  const isWanted = secureBootOf(vm, shape);
  if (!isWanted || vm.firmware === 'uefi') return isWanted;
  const message = `${vm.name} starts by BIOS, which has no Secure Boot`;
  throw invalid('secure-boot-impossible', message, 'Leave out --secure-boot.');
}

function plannedType(
  { vm, request, target }: PlanContext,
  machine: ImportPlan['machine'],
): ImportPlan['domainType'] {
  const wish = request.shape.domainType;
  const type = domainTypeFor(vm, { machine, wish }, target);
  if (type !== undefined) return type;
  throw permanent({
    code: 'machine-unsupported',
    message: `${target.name} cannot run ${vm.name}: it has no emulator for ${machineText(vm, { machine, wish })}`,
    remedy: 'Choose another host, or install the emulator of that architecture there.',
    host: target.name,
  });
}

function plannedDisks(context: PlanContext, name: string): PlannedImportDisk[] {
  const { vm, request, target } = context;
  const { shape, storage } = request;
  const known = new Set(vm.disks.map(({ key }) => key));
  const strange = [...(shape.disks ?? []), ...Object.keys(storage.byDisk ?? {})].find(
    (key) => !known.has(key),
  );
  if (strange !== undefined) {
    const message = `${vm.name} has no disk ${JSON.stringify(strange.slice(0, 200))}`;
    throw invalid('disk-unknown', message, '`vmferry inspect` shows the keys of its disks.');
  }
  const disks = broughtDisks(vm, shape);
  const [trouble] = volumeTroubles(vm, request);
  if (trouble !== undefined) throw invalid('volume-name-unfit', trouble, 'Correct --volumes.');
  if (disks.length === 0)
    throw invalid('no-disk', `${vm.name} has no disk`, 'See that the right VM is named.');
  const bus = busFor(vm, request);
  return disks.map((disk, index) => {
    const fit = diskFit(disk, storage, target);
    if (typeof fit === 'string') throw noPlace(fit, disk, context);
    const targetVolume = volumeName({ vm: name, key: disk.key, index }, request);
    return {
      key: disk.key,
      name: diskName(bus, index),
      capacityBytes: disk.capacityBytes,
      targetPool: fit.pool.name,
      targetVolume,
      targetPath: fit.kind === 'file' ? `${fit.pool.path}/${targetVolume}` : '',
      targetFormat: storage.format,
      targetKind: fit.kind,
    };
  });
}

const placeCodes = {
  unmapped: 'storage-unmapped',
  missing: 'pool-missing',
  unusable: 'pool-unusable',
  'format-unfit': 'format-unfit',
} as const satisfies Record<Extract<DiskFit, string>, string>;

function noPlace(
  fit: Extract<DiskFit, string>,
  disk: ForeignDisk,
  { vm, request, target }: PlanContext,
): VmFerryError {
  const pool = poolNameFor(disk, request.storage);
  const what = `disk ${disk.key} of ${vm.name}`;
  const messages = {
    unmapped: `no pool of ${target.name} is named for ${what}`,
    missing: `${target.name} has no pool ${pool} for ${what}`,
    unusable: `pool ${pool} of ${target.name} cannot take ${what}: it is not active, or of another kind`,
    'format-unfit': `pool ${pool} of ${target.name} holds raw volumes only; ${what} would be ${request.storage.format}`,
  };
  return permanent({
    code: placeCodes[fit],
    message: messages[fit],
    remedy: 'Name a pool that fits with --pool or --map-storage, or --format raw.',
    host: target.name,
  });
}

function plannedNics({ vm, request, target }: PlanContext, uuid: string): PlannedImportNic[] {
  // A rehearsal alone meets nobody, and its guest is to find the cards that the import itself will give it.
  const mode = request.rehearse?.only === true ? 'move' : modeOfImport(vm, request);
  const { shape } = request;
  checkCards(vm, shape);
  const [trouble] = addressTroubles(vm, request);
  if (trouble !== undefined) throw invalid('addresses-unfit', trouble, 'Correct --addresses.');
  const foreign = vm.nics.map(({ mac }) => mac.toLowerCase()).filter((mac) => mac !== '');
  const settled = broughtCards(vm, shape).map((nic) => settledMac(nic, mode, shape));
  checkMacs(
    vm,
    settled.filter((mac) => mac !== ''),
  );
  const others = target.vms.filter((other) => other.uuid !== uuid);
  // A clone must not get one of its source's either.
  const taken = new Set([...others.flatMap(({ macs }) => macs.map(lower)), ...foreign]);
  return cardsOf(vm, shape).map((nic, card) => {
    const network = networkFor(nic, request);
    if (network === undefined) {
      const message =
        nic === undefined
          ? `${vm.name} has no network card, and no default network is named on which it gets one`
          : `the network ${JSON.stringify(nic.network.slice(0, 200))} of ${vm.name} is mapped to nothing`;
      throw invalid('network-unmapped', message, 'Map it: --map-network SOURCE=bridge:NAME.');
    }
    const kept = settled[card] ?? '';
    const mac = kept === '' ? madeMac({ uuid, card }, taken) : kept;
    taken.add(mac);
    const wish = shape.addresses?.find(({ key }) => key === nic?.key);
    return {
      ...{ key: nic?.key ?? '', mac, network },
      ...(wish === undefined ? {} : { set: setOn(vm, wish) }),
    };
  });
}

function setOn(vm: ForeignVm, wish: AddressWish): NonNullable<PlannedImportNic['set']> {
  const { addresses, dns } = wish;
  const gateways = gatewaysFor(vm, wish);
  return {
    addresses,
    ...(gateways.length === 0 ? {} : { gateways }),
    ...(dns === undefined ? {} : { dns }),
  };
}

const lower = (text: string): string => text.toLowerCase();

function checkCards(vm: ForeignVm, { nics = [] }: ImportRequest['shape']): void {
  const keys = nics.map(({ key }) => key);
  const odd = keys.find(
    (key, index) => !vm.nics.some((nic) => nic.key === key) || keys.indexOf(key) !== index,
  );
  if (odd === undefined) return;
  const message = `${vm.name} has no network card ${JSON.stringify(odd.slice(0, 200))}, or it is named twice`;
  throw invalid('nic-unfit', message, 'Correct --nics.');
}

function checkMacs(vm: ForeignVm, macs: readonly string[]): void {
  const remedy =
    'Correct it at the source or give another one with --nics, or let all cards have new ones: --new-macs.';
  const unusable = macs.find((mac) => !isUsableMac(mac));
  if (unusable !== undefined) {
    const message = `a card of ${vm.name} has the MAC address ${JSON.stringify(unusable)}, which is none for a card`;
    throw invalid('mac-unusable', message, remedy);
  }
  const [twice] = repeatedMacs(macs);
  if (twice === undefined) return;
  throw invalid('mac-twice', `several cards of ${vm.name} have the MAC address ${twice}`, remedy);
}
