import { rm } from 'node:fs/promises';
import { permanent } from '../domain/errors.ts';
import { syncFolderOf, syncPath } from './durable-file.ts';
import type { ConversionJournal, DiskProgress } from './journal.ts';
import { endLabelled } from './labelled-process.ts';
import { checkOverlay } from './overlay.ts';
import { qemuImg } from './qemu-img.ts';

export interface CommitOptions {
  id: string;
  /** For each disk; a commit writes no more than the conversion changed. */
  limitMs?: number;
  signal?: AbortSignal;
  /** Told after each step, so that an activity can beat. Tests end the process here. */
  onStep?: (key: string, step: 'committing' | 'written' | 'committed') => void | Promise<void>;
}

const commitLimitMs = 3_600_000;

/**
 * Writes every overlay into its base, disk by disk. A kill at any moment is mended by calling it again: the overlay
 * stays as it is (`-d`) until the journal says `committed`, so writing its blocks twice gives the same disk.
 * All overlays are looked at before the first byte is written. Throws `conversion-not-done`, `overlay-foreign`,
 * `conversion-base-changed`, and what `qemuImg` throws.
 */
export async function commitOverlays(
  journal: ConversionJournal,
  options: CommitOptions,
): Promise<void> {
  if (!journal.reached('converted')) {
    throw permanent({
      code: 'conversion-not-done',
      message: `the conversion ${options.id} has not ended well: its overlays are not committed`,
      remedy: 'Convert first.',
    });
  }
  // A qemu-img that outlived an earlier attempt would write beside ours.
  await endLabelled(options.id);
  const call = { id: options.id, ...(options.signal && { signal: options.signal }) };
  for (const progress of journal.disks) {
    // Of a disk that is being written the base differs from what it was, and that is as it should be.
    if (progress.state === 'converted') await checkOverlay(progress, call);
  }
  for (const progress of journal.disks) {
    options.signal?.throwIfAborted();
    await commitOne(journal, progress, options);
  }
}

async function commitOne(
  journal: ConversionJournal,
  { disk, state }: DiskProgress,
  options: CommitOptions,
): Promise<void> {
  const { id, signal, onStep } = options;
  if (state !== 'committed') {
    await journal.record(disk.key, 'committing');
    await onStep?.(disk.key, 'committing');
    const call = { id, limitMs: options.limitMs ?? commitLimitMs, ...(signal && { signal }) };
    await qemuImg(['commit', '-q', '-d', '-f', 'qcow2', disk.overlay], call);
    // qemu-img flushes too; asking the kernel costs nothing where all is written.
    await syncPath(disk.base);
    await onStep?.(disk.key, 'written');
    await journal.record(disk.key, 'committed');
  }
  await rm(disk.overlay, { force: true });
  await syncFolderOf(disk.overlay);
  await onStep?.(disk.key, 'committed');
}
