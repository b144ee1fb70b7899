/** What only a foreign KVM host can say against copying one of its VMs. */
import type { Concern } from '../../domain/concerns.ts';
import type { ForeignVm } from '../../domain/foreign.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { Abilities } from '../../protocols/libvirt/index.ts';
import { isOff } from '../libvirt/lifecycle.ts';
import type { Inspected } from './inventory.ts';
import { WhileRunning } from './options.ts';

export interface ConcernOptions {
  host: string;
  whileRunning: WhileRunning;
}

/** Looks at a VM as it is now. Rejects with libvirt's refusals. */
export async function concernsOf(
  connection: Connection,
  { vm, dom, places }: Inspected,
  options: ConcernOptions,
): Promise<Concern[]> {
  const off = isOff(vm.state);
  const found = off ? [] : await runningConcerns(connection, vm, options);
  const { result } = await connection.call('DomainHasManagedSaveImage', { dom });
  const { host } = options;
  if (result === 1) {
    found.push({
      code: 'source-managed-save',
      level: 'critical',
      message: `${vm.name} on ${host} was saved with its memory: its disks are as after a power cut, and the memory stays behind`,
      remedy: 'Start it there and shut it down, or discard the memory: virsh managedsave-remove.',
      host,
    });
  }
  for (const [key, { kind, path }] of places) {
    if (!off || kind !== 'network') continue;
    found.push({
      code: 'disk-kind-unsupported',
      level: 'critical',
      message: `disk ${key} of ${vm.name} (${path}) is reached over the network, and is not read while the VM is off`,
      remedy: 'Start the VM and copy it while it runs: its own QEMU reads the disk then.',
      host,
    });
  }
  return found;
}

async function runningConcerns(
  connection: Connection,
  vm: ForeignVm,
  { host, whileRunning }: ConcernOptions,
): Promise<Concern[]> {
  if (!(await new Abilities(connection).knowsCall('DomainBackupBegin'))) {
    const code = 'pull-backup-unsupported';
    const message = `libvirt on ${host} is too old to show the disks of ${vm.name} while it runs`;
    const remedy = 'Shut the VM down before the copy.';
    return [{ code, level: 'critical', message, remedy, host }];
  }
  if (whileRunning === WhileRunning.pause) return [];
  return [
    {
      code: 'source-keeps-running',
      level: 'warning',
      message: `${vm.name} on ${host} runs on: the copy shows its disks at one moment, as after a power cut, and what it writes later is not in it`,
      remedy: 'For a move rather than a clone, shut it down first, or have it paused.',
      host,
    },
  ];
}
