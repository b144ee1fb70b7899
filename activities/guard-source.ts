import type { GuardSourceInput } from './contract.ts';
import { identitiesOf } from './identities.ts';
import { removeNonces } from './nonces.ts';
import { folderOf, whileOpen, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/** From here on libvirt refuses to start the VM here; one that runs goes on until it is shut down. */
export async function guardSource(
  parts: HostParts,
  input: GuardSourceInput,
  signal: AbortSignal,
): Promise<void> {
  await whileOpen(parts, { ref: input, operation: 'guard', signal }, () =>
    guard(parts, input, signal),
  );
}

async function guard(
  parts: HostParts,
  input: GuardSourceInput,
  signal: AbortSignal,
): Promise<void> {
  const { hypervisor, ledger } = parts;
  const { vm, epoch, migrationId, target } = input;
  const folder = folderOf(parts, input);
  if ((await folder.read('source')) === undefined) {
    const { state, autostart } = await hypervisor.glance(vm.uuid);
    await folder.write('source', { wasRunning: state === 'running', autostart });
  }
  const disks = await identitiesOf(input.disks, 'source');
  await ledger.transition(vm.uuid, {
    to: 'migrating-out',
    epoch,
    migrationId,
    name: vm.name,
    note: `on its way to ${target}`,
    disks,
    signal,
  });
  await whileOurs(
    parts,
    { ref: input, states: ['migrating-out'], operation: 'turn autostart off', signal },
    () => hypervisor.setAutostart(vm.uuid, false),
  );
  await removeNonces(parts, input);
}
