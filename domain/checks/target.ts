import type { Concern } from '../concerns.ts';
import { movedDisks } from '../disk-plan.ts';
import type { OwnerState } from '../ownership.ts';
import type { SecretRef, VmFacts, VmHostFile } from '../vm.ts';
import { hookNotLive } from './source.ts';
import { mib, storageConcerns } from './storage.ts';
import type { StorageView } from './storage.ts';

export interface TargetView extends StorageView {
  sourceHostUuid: string;
  ledger?: { state: OwnerState; note: string };
  /** Which of the VM's host files and CD images do not exist on the target. */
  missingFiles: readonly string[];
  /** As `VmFacts.firmware.loaders`, of the target; absent if it has no such machine or nobody has to know. */
  efiLoaders?: readonly string[];
  /** Secrets of libvirt that the definition names and the target does not have. */
  missingSecrets: readonly SecretRef[];
}

/** Everything on the target that speaks against a cold move. */
export function targetConcerns(view: TargetView): Concern[] {
  return [
    ...ownershipConcerns(view),
    ...collisionConcerns(view),
    ...networkConcerns(view),
    ...storageConcerns(view),
    ...fitConcerns(view),
    ...firmwareConcerns(view),
    ...secretConcerns(view),
  ];
}

const critical = (host: string, code: string, message: string, remedy: string): Concern => ({
  code,
  level: 'critical',
  message,
  remedy,
  host,
});

function ownershipConcerns({ vm, target, sourceHostUuid, ledger }: TargetView): Concern[] {
  const found: Concern[] = [];
  if (target.hostUuid === sourceHostUuid) {
    found.push(
      critical(
        target.name,
        'same-host',
        `${vm.host} and ${target.name} are the same machine (host UUID ${sourceHostUuid})`,
        'Name another host with --to. If they are two machines, give each libvirtd its own host_uuid.',
      ),
    );
  }
  if (!target.guard.hookLive) found.push(hookNotLive(target.name, target.guard.detail));
  if (ledger !== undefined && ledger.state !== 'released') {
    found.push(
      critical(
        target.name,
        'ownership-conflict',
        `the ledger of ${target.name} already says ${ledger.state} for ${vm.name}${ledger.note === '' ? '' : ` (${ledger.note})`}`,
        `Find out which host really runs ${vm.name}; \`vmferry doctor\` on both shows their ledgers.`,
      ),
    );
  }
  return found;
}

function collisionConcerns({ vm, target }: TargetView): Concern[] {
  const found: Concern[] = [];
  const macs = new Set(vm.nics.map(({ mac }) => mac.toLowerCase()));
  for (const other of target.vms) {
    if (other.uuid === vm.uuid) {
      found.push(
        critical(
          target.name,
          'uuid-taken',
          `${target.name} already has a VM with the UUID ${vm.uuid}: ${other.name}`,
          `If it is a left-over copy, undefine it there: virsh undefine ${other.name}`,
        ),
      );
      continue;
    }
    if (other.name === vm.name) {
      found.push(
        critical(
          target.name,
          'name-taken',
          `${target.name} already has another VM named ${vm.name} (${other.uuid})`,
          `Rename one of them: virsh domrename ${vm.name} NEW-NAME`,
        ),
      );
    }
    const mac = other.macs.find((one) => macs.has(one.toLowerCase()));
    if (mac !== undefined) {
      found.push(
        critical(
          target.name,
          'mac-taken',
          `VM ${other.name} on ${target.name} already has the MAC address ${mac} of ${vm.name}`,
          'Give one of them another MAC address: virsh edit.',
        ),
      );
    }
  }
  return found;
}

function networkConcerns({ vm, target }: TargetView): Concern[] {
  return vm.nics.flatMap(({ kind, sourceName, mac }): Concern[] => {
    if (kind === 'bridge' && !target.bridges.includes(sourceName)) {
      return [
        critical(
          target.name,
          'bridge-missing',
          `${target.name} has no bridge ${sourceName}, which the interface ${mac} of ${vm.name} needs`,
          `Create the bridge on ${target.name}, or change the interface before the move.`,
        ),
      ];
    }
    if (kind === 'network' && !target.networks.includes(sourceName)) {
      return [
        critical(
          target.name,
          'network-missing',
          `${target.name} has no active libvirt network ${sourceName}, which the interface ${mac} of ${vm.name} needs`,
          `Define and start it on ${target.name}: virsh net-start ${sourceName}`,
        ),
      ];
    }
    if (kind === 'other') {
      return [
        critical(
          target.name,
          'interface-unsupported',
          `the interface ${mac} of ${vm.name} is neither on a bridge nor on a libvirt network`,
          'Attach it to a bridge or a network before the move.',
        ),
      ];
    }
    return [];
  });
}

function fitConcerns({ vm, target, missingFiles }: TargetView): Concern[] {
  const found: Concern[] = [];
  const machine = `${vm.domainType}/${vm.arch}/${vm.machine}`;
  if (vm.machine !== '' && !target.machines.includes(machine)) {
    found.push(
      critical(
        target.name,
        'machine-unsupported',
        `${target.name} cannot run ${vm.name}: it has no emulator for ${machine}`,
        `Install the emulator of that architecture there, or change <type machine=...> of ${vm.name}.`,
      ),
    );
  }
  for (const path of missingFiles) {
    found.push(
      critical(
        target.name,
        'host-file-missing',
        `${target.name} has no file ${path}, which ${vm.name} needs to start`,
        `Put the file there, or take it out of the definition (for a CD: virsh change-media ${vm.name} --eject).`,
      ),
    );
  }
  if (vm.memoryBytes > target.memoryBytes) {
    found.push(
      critical(
        target.name,
        'too-little-memory',
        `${vm.name} has ${mib(vm.memoryBytes)} of memory, ${target.name} only ${mib(target.memoryBytes)} in all`,
        'Choose a bigger host, or give the VM less memory.',
      ),
    );
  } else if (vm.memoryBytes > target.freeMemoryBytes) {
    found.push({
      code: 'memory-tight',
      level: 'warning',
      message: `${target.name} has ${mib(target.freeMemoryBytes)} of memory free now; ${vm.name} wants ${mib(vm.memoryBytes)}`,
      remedy: 'It may still start, by swapping; free memory there if it does not.',
      host: target.name,
    });
  }
  return found;
}

/** libvirt's choice of UEFI firmware goes by what is installed: another host may lack it, or choose otherwise. */
function firmwareConcerns({ vm, target, missingFiles, efiLoaders }: TargetView): Concern[] {
  const { firmware } = vm;
  if (firmware === undefined || efiLoaders === undefined) return [];
  const { loader, loaders } = firmware;
  if (efiLoaders.length === 0 || (loader !== '' && !efiLoaders.includes(loader))) {
    // A file that is not there at all is named as such.
    if (missingFiles.includes(loader)) return [];
    return [
      critical(
        target.name,
        'firmware-missing',
        `libvirt on ${target.name} has no UEFI firmware for ${vm.name}${loader === '' ? '' : ` that is ${loader}`}; for ${vm.machine} it offers: ${listed(efiLoaders)}`,
        `Install the firmware of ${vm.host} there (package ovmf or edk2), with its descriptors in /usr/share/qemu/firmware.`,
      ),
    ];
  }
  if (loader !== '' || loaders.join() === efiLoaders.join()) return [];
  return [
    {
      code: 'firmware-differs',
      level: 'information',
      message: `libvirt chooses the UEFI firmware of ${vm.name}: on ${vm.host} from ${listed(loaders)}, on ${target.name} from ${listed(efiLoaders)}`,
      remedy: `If ${vm.name} has to keep the very file, put it on both hosts and name it in the definition's <loader>.`,
      host: target.name,
    },
  ];
}

const listed = (files: readonly string[]): string =>
  files.length === 0 ? 'none' : files.join(', ');

/** Secrets cross with the VM where libvirt gives their value out; a private one it never does. */
function secretConcerns({ vm, target, missingSecrets }: TargetView): Concern[] {
  return missingSecrets.map((secret): Concern => {
    const named = secret.uuid ?? `${secret.usageType ?? 'none'} ${secret.usage ?? ''}`.trim();
    const known = vm.secrets?.find((one) => one.uuid === secret.uuid && one.usage === secret.usage);
    if (known?.readable === true) {
      return {
        code: 'secret-moves',
        level: 'information',
        message: `${target.name} has no secret ${named}, which ${vm.name} needs; it is made there with the value that ${vm.host} holds`,
        remedy: 'Nothing to do.',
        host: target.name,
      };
    }
    return critical(
      target.name,
      'secret-missing',
      `${target.name} has no secret ${named}, which ${vm.name} needs, and ${vm.host} does not give its value out`,
      `Define it there: virsh secret-define and virsh secret-set-value.`,
    );
  });
}

/** The files and devices that have to exist on the target for the VM to start there. */
export const neededFiles = (vm: VmFacts, sharedByWord: readonly string[] = []): VmHostFile[] => [
  ...vm.hostFiles.filter(({ role }) => role !== 'nvram'),
  ...vm.disks
    .filter(({ device, kind, path }) => device !== 'disk' && kind === 'file' && path !== '')
    .map(({ path }): VmHostFile => ({ role: 'other', path })),
  ...movedDisks(vm)
    .filter(({ name, kind }) => kind === 'block' && sharedByWord.includes(name))
    .map(({ path }): VmHostFile => ({ role: 'other', path })),
];
