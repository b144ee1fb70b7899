import { rm } from 'node:fs/promises';
import { unsafe } from '../domain/errors.ts';
import { diskIdentity } from '../guard/identity.ts';
import type { ClearTargetInput, RestoreResult, RestoreSourceInput } from './contract.ts';
import { markEnded } from './ended.ts';
import { journalPathOf } from './journal-path.ts';
import type { OwnVolume } from './move-folder.ts';
import { removeNonces } from './nonces.ts';
import { folderOf, underLock } from './ours.ts';
import type { HostParts } from './parts.ts';

/** How long a guest that was asked to shut down may still take for it before it is left running. */
const stillGoingDownMs = 60_000;

/** Removes from the target what this move made there, and nothing else; safe where it made nothing. */
export async function clearTarget(
  parts: HostParts,
  input: ClearTargetInput,
  signal: AbortSignal,
): Promise<void> {
  const { ledger, hypervisor, operations } = parts;
  const { vm, migrationId, strangers = [] } = input;
  await operations.endAll(migrationId);
  const folder = folderOf(parts, input);
  await underLock(parts, { ref: input, operation: 'clear', signal }, async () => {
    const memory = await folder.read('target');
    const entry = await ledger.read(vm.uuid);
    const ours = entry?.migrationId === migrationId && entry.epoch === input.epoch;
    if (memory !== undefined) {
      if (entry?.state === 'owner') throw stillOwner(parts.name, vm.name);
      if (memory.defined) await hypervisor.undefine(vm.uuid, { state: 'remove' });
      for (const volume of input.keepVolumes === true ? [] : memory.volumes) {
        await rm(journalPathOf(parts, volume), { force: true });
        if (await isStillOurs(volume)) await hypervisor.deleteVolume(volume);
      }
    }
    // A disk that the move did not make is shared: the source's guest writes to it, and nothing here may.
    // One that was found to hold other bytes is somebody else's, whose VM must start.
    const others = [...(memory?.volumes ?? []).map(({ path }) => path), ...strangers];
    const shared = (entry?.disks ?? []).filter(({ path }) => !others.includes(path));
    const isForgotten = memory?.knownBefore !== true && shared.length === 0;
    if (ours && entry.state === 'incoming' && isForgotten) {
      await ledger.remove(vm.uuid, entry);
    } else if (ours && (entry.state === 'incoming' || entry.state === 'released')) {
      const note = entry.state === 'incoming' ? 'a move here was undone' : entry.note;
      const { epoch } = entry;
      await ledger.transition(vm.uuid, {
        to: 'released',
        epoch,
        migrationId,
        name: vm.name,
        note,
        disks: shared,
      });
    }
    await markEnded(parts, input);
    // What was kept is found by it: the reconciler lists what a move that is over remembers.
    if (input.keepVolumes !== true) await folder.remove();
  });
}

/** The order of the undo forbids it already; a disk that may be the only good one deserves a second wall. */
const stillOwner = (host: string, vm: string) =>
  unsafe({
    code: 'target-still-owner',
    message: `${host} owns ${vm}: what the move made there is not removed`,
    remedy: `Find out where ${vm} runs (\`vmferry explain\`, \`vmferry guard show\`); nothing was changed.`,
    host,
  });

/** An empty identity was written before the volume was made: then it is ours if it stands there now. */
async function isStillOurs({ kind, path, identity }: OwnVolume): Promise<boolean> {
  if (kind === 'network' || path === '') return true;
  const now = await diskIdentity(path);
  return now !== '' && (identity === '' || identity === now);
}

/** The source owns its VM again, as it was: autostart, and running if it ran. */
export async function restoreSource(
  parts: HostParts,
  input: RestoreSourceInput,
  signal: AbortSignal,
): Promise<RestoreResult> {
  const { ledger, hypervisor, dataPlane, operations } = parts;
  const { vm, epoch, migrationId } = input;
  await operations.endAll(migrationId);
  // Before the guest may write: an open export of a qcow2 disk holds a lock that keeps QEMU from starting, and one of
  // a raw disk would show the guest's writes to a copy that should have ended.
  await dataPlane.closeExports(migrationId);
  const folder = folderOf(parts, input);
  return underLock(parts, { ref: input, operation: 'restore', signal }, async () => {
    const memory = await folder.read('source');
    const entry = await ledger.read(vm.uuid);
    if (memory !== undefined && entry?.migrationId === migrationId) {
      await ledger.transition(vm.uuid, {
        to: 'owner',
        epoch,
        migrationId,
        name: vm.name,
        note: 'a move away was undone',
      });
      await hypervisor.setAutostart(vm.uuid, memory.autostart);
      if (input.restart && memory.wasRunning) {
        // A guest that was asked to shut down does so when it likes; it is started again once it has.
        if (memory.asked === true)
          await hypervisor.waitUntilOff(vm.uuid, { timeoutMs: stillGoingDownMs, signal });
        await hypervisor.start(vm.uuid);
      }
    }
    await removeNonces(parts, input);
    await markEnded(parts, input);
    await folder.remove();
    return { running: (await hypervisor.state(vm.uuid)) === 'running' };
  });
}
