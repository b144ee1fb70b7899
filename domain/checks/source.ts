import type { Concern } from '../concerns.ts';
import { movedDisks } from '../disk-plan.ts';
import type { NeighbourVm } from '../host.ts';
import type { MoveRequest } from '../move.ts';
import type { OwnerState } from '../ownership.ts';
import type { VmDisk, VmFacts } from '../vm.ts';

export interface SourceView {
  vm: VmFacts;
  request: Pick<MoveRequest, 'shutdown'>;
  /** The other VMs of the host. */
  neighbours: readonly NeighbourVm[];
  guard: { hookLive: boolean; detail: string };
  /** What the host's ledger says of the VM, if anything. */
  ledger?: { state: OwnerState; note: string };
}

/** Everything on the source that speaks against a cold move, criticals first found first. */
export function sourceConcerns(view: SourceView): Concern[] {
  return [
    ...guardConcerns(view),
    ...stateConcerns(view),
    ...keptConcerns(view.vm),
    ...movedDisks(view.vm).flatMap((disk) => diskConcerns(view, disk)),
    ...deviceConcerns(view.vm),
  ];
}

function guardConcerns({ vm, guard, ledger }: SourceView): Concern[] {
  const found: Concern[] = [];
  if (!guard.hookLive) found.push(hookNotLive(vm.host, guard.detail));
  if (ledger !== undefined && ledger.state !== 'owner') {
    found.push({
      code: 'not-owner',
      level: 'critical',
      message: `${vm.host} does not own ${vm.name}: its ledger says ${ledger.state}${ledger.note === '' ? '' : ` (${ledger.note})`}`,
      remedy: `Move it from the host that owns it; if that is ${vm.host} after all, \`vmferry guard claim\` there says so.`,
      host: vm.host,
    });
  }
  return found;
}

/** No proof that libvirt asks the guard: no cutover. */
export const hookNotLive = (host: string, detail: string): Concern => ({
  code: 'guard-not-live',
  level: 'critical',
  message: `the guard of ${host} is not live: ${detail}`,
  remedy: `Run \`vmferry host\` as root on ${host} (it installs the libvirt hook) and restart libvirtd once, so that it sees the hook.`,
  host,
});

function stateConcerns({ vm, request }: SourceView): Concern[] {
  const { host, name } = vm;
  const critical = (code: string, message: string, remedy: string): Concern[] => [
    { code, level: 'critical', message, remedy, host },
  ];
  if (!vm.persistent) {
    return critical(
      'vm-transient',
      `${name} on ${host} is transient: it has no stored definition`,
      `Define it first: virsh dumpxml ${name} > vm.xml && virsh define vm.xml`,
    );
  }
  if (vm.state === 'running' && request.shutdown === 'refuse') {
    return critical(
      'vm-running',
      `${name} runs on ${host}, and --shutdown refuse forbids to stop it`,
      'Shut it down yourself, or say --shutdown graceful or --shutdown force.',
    );
  }
  if (vm.state !== 'running' && vm.state !== 'shut-off') {
    return critical(
      'vm-state',
      `${name} on ${host} is ${vm.state}; a cold move starts from running or shut off`,
      `Resume it (virsh resume ${name}) or stop it (virsh destroy ${name}) first.`,
    );
  }
  return [];
}

/** State that a cold move would lose without a word. */
function keptConcerns(vm: VmFacts): Concern[] {
  const { host, name } = vm;
  const found: Concern[] = [];
  if (vm.hasManagedSave) {
    found.push({
      code: 'managed-save',
      level: 'critical',
      message: `${name} on ${host} has a managed save: memory that a cold move cannot take along`,
      remedy: `Start it and shut it down, or discard the saved memory: virsh managedsave-remove ${name}`,
      host,
    });
  }
  if (vm.checkpoints.length > 0) {
    found.push({
      code: 'checkpoints',
      level: 'warning',
      message: `${name} on ${host} has checkpoints (${listed(vm.checkpoints)}); they do not move: the next backup of it is a full one`,
      remedy: 'Nothing to do if that is fine.',
      host,
    });
  }
  return found;
}

function diskConcerns({ vm, neighbours }: SourceView, disk: VmDisk): Concern[] {
  const { host, name } = vm;
  const found: Concern[] = [];
  const critical = (code: string, message: string, remedy: string): void => {
    found.push({ code, level: 'critical', message, remedy, host });
  };
  if (disk.device === 'lun' || disk.network?.protocol === 'other') {
    critical(
      'disk-kind-unsupported',
      `disk ${disk.name} of ${name} is a ${disk.device === 'lun' ? 'SCSI device passed through' : `network disk (${disk.path})`}; files, block devices, RBD, iSCSI and NFS can be moved`,
      'Detach it, or copy it to a volume first.',
    );
  } else if (disk.format !== 'raw' && disk.format !== 'qcow2') {
    critical(
      'disk-format-unsupported',
      `disk ${disk.name} of ${name} has the format ${disk.format}; raw and qcow2 can be moved`,
      `Convert it: qemu-img convert -O qcow2 ${disk.path} NEW`,
    );
  }
  if (disk.readonly || disk.shareable) return found;
  const other = neighbours.find(
    (vmOf) => vmOf.uuid !== vm.uuid && vmOf.diskPaths.includes(disk.path),
  );
  if (disk.path !== '' && other !== undefined) {
    critical(
      'disk-in-use',
      `disk ${disk.name} of ${name} (${disk.path}) also belongs to VM ${other.name} on ${host}${other.running ? ', which runs' : ''}`,
      `Detach it from ${other.name} first.`,
    );
  }
  return found;
}

function deviceConcerns(vm: VmFacts): Concern[] {
  const found: Concern[] = vm.fixedDevices.map((device) => ({
    code: 'device-cannot-move',
    level: 'critical',
    message: `${vm.name} has a device that is bound to ${vm.host}: ${device}`,
    remedy: 'Detach it from the VM before the move.',
    host: vm.host,
  }));
  for (const { role, path } of vm.hostFiles) {
    if (role !== 'nvram') continue;
    found.push({
      code: 'nvram-not-moved',
      level: 'critical',
      message: `${vm.name} keeps UEFI variables in ${path}, outside of the folder that libvirt keeps them in; they are not moved from there`,
      remedy: `Let libvirt keep them: take <nvram> out of the definition and copy the file to where libvirt then looks for it.`,
      host: vm.host,
    });
  }
  for (const { device, name, path } of vm.disks) {
    if (device !== 'cdrom' && device !== 'floppy') continue;
    found.push({
      code: 'removable-medium',
      level: 'information',
      message: `${vm.name} has a ${device === 'cdrom' ? 'CD-ROM' : 'floppy'} drive ${name}${path === '' ? ' without a medium' : ` with ${path}`}; the drive moves, a medium does not`,
      remedy: path === '' ? 'Nothing to do.' : `See that the medium is on the target, or eject it.`,
      host: vm.host,
    });
  }
  return found;
}

/** The first few of a list that may be long. */
const listed = (names: readonly string[]): string =>
  names.length <= 5
    ? names.join(', ')
    : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
