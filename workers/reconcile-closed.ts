/**
 * Clearing up after a move that Temporal says is over, under the lock of its VM. What ends: exports, files that serve
 * nobody, the definition of a VM that never was this host's. What stays: every volume, every VM.
 */
import { rm } from 'node:fs/promises';
import { markEnded } from '../activities/ended.ts';
import { journalPathOf } from '../activities/journal-path.ts';
import { removeNonces } from '../activities/nonces.ts';
import { underLock } from '../activities/ours.ts';
import type { OwnVolume } from '../activities/move-folder.ts';
import type { HostParts } from '../activities/parts.ts';
import { removeTemporaryFiles } from '../activities/policy-memory.ts';
import type { MoveFate, MoveMemory, Orphan } from '../domain/orphans.ts';
import type { LedgerEntry } from '../domain/ownership.ts';
import type { Quarantine } from '../guard/quarantine.ts';
import { heldVm, ownEntry, volumeOrphans } from './reconcile-orphans.ts';
import type { MoveSight } from './reconcile-sight.ts';

type Closed = Extract<MoveFate, { state: 'closed' }>;

export interface ClearOptions {
  parts: HostParts;
  quarantine: Quarantine;
  sight: MoveSight & { memory: MoveMemory };
  fate: Closed;
  /** Asked once more under the lock: a reset may have brought the move back. */
  stillClosed: () => Promise<boolean>;
  signal: AbortSignal;
}

/** Gives what a person has to see to; undefined if the move turned out to be alive. */
export async function clearClosed(options: ClearOptions): Promise<Orphan[] | undefined> {
  const { parts, sight, fate, signal, stillClosed } = options;
  const { memory, migrationId } = sight;
  return underLock(parts, { ref: memory, operation: 'clear up after a move', signal }, async () => {
    if (!(await stillClosed())) return undefined;
    await parts.dataPlane.closeExports(migrationId);
    await removeNonces(parts, memory);
    const because = `Temporal says that the move of ${memory.vm.name} ${endWords[fate.how]}`;
    const entry = await ownEntry(parts, memory);
    const about = { host: parts.name, sight, because };
    if (sight.target !== undefined) await clearTargetSide(options, entry, about);
    const now = await ownEntry(parts, memory);
    const held = now !== undefined && isStuck(now, memory) ? [heldVm(about, now)] : [];
    // As long as the VM is held, what the source remembers of it is worth having.
    if (held.length > 0) {
      await removeTemporaryFiles(sight.folder);
      return held;
    }
    // An attempt that slept through all this must not begin the move anew.
    await markEnded(parts, memory);
    await sight.folder.remove();
    return [];
  });
}

const endWords: Record<Closed['how'], string> = {
  completed: 'has ended',
  failed: 'has failed',
  cancelled: 'was cancelled',
  terminated: 'was terminated, without its undo',
  'timed-out': 'timed out, without its undo',
};

/** On the source a VM that was given up, or is on its way, and that no commit and no undo will see to. */
const isStuck = (entry: LedgerEntry, { role }: MoveMemory): boolean =>
  entry.state === 'migrating-out' || (entry.state === 'released' && role === 'source');

async function clearTargetSide(
  { parts, quarantine, sight }: ClearOptions,
  entry: LedgerEntry | undefined,
  about: Parameters<typeof volumeOrphans>[0],
): Promise<void> {
  const { hypervisor, ledger } = parts;
  const { memory, target, migrationId } = sight;
  const { vm } = memory;
  const removeJournals = async (): Promise<void> => {
    for (const { path, kind = 'file' } of (target?.volumes ?? []) as Partial<OwnVolume>[])
      if (path !== undefined && path !== '')
        await rm(journalPathOf(parts, { path, kind }), { force: true });
  };
  // After the cutover its volumes are the VM's own disks.
  if (entry?.state === 'owner') return removeJournals();
  if (entry !== undefined && target?.defined === true) {
    // What never ran here has nothing of its own; the source still has what was copied.
    const state = entry.state === 'incoming' ? 'remove' : 'keep';
    if ((await hypervisor.state(vm.uuid)) === 'shut-off')
      await hypervisor.undefine(vm.uuid, { state });
  }
  const used = new Set((await hypervisor.facts()).vms.flatMap(({ diskPaths }) => diskPaths));
  const found = (await volumeOrphans(about)).filter(
    ({ what }) => entry !== undefined || !used.has(what),
  );
  const since = new Date().toISOString();
  for (const orphan of found) await quarantine.add({ ...orphan, since });
  await removeJournals();
  if (entry?.state !== 'incoming') return;
  const { epoch, name } = entry;
  if (found.length > 0) {
    const note = 'a move here ended without its undo; see `vmferry orphans`';
    await ledger.transition(vm.uuid, { to: 'quarantined', epoch, migrationId, name, note });
  } else if (target?.knownBefore === false) await ledger.remove(vm.uuid, entry);
  else {
    const note = 'a move here was undone';
    await ledger.transition(vm.uuid, { to: 'released', epoch, migrationId, name, note, disks: [] });
  }
}
