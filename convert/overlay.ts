import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { unsafe } from '../domain/errors.ts';
import { syncFolderOf, syncPath } from './durable-file.ts';
import type { ConversionJournal, JournalDisk } from './journal.ts';
import { checkImagePath, imageFingerprint, imageInfo, qemuImg } from './qemu-img.ts';

/** A disk as it was copied: what the conversion must leave alone until it is known to have worked. */
export interface ConversionDisk {
  /** Unique in the VM. */
  key: string;
  /** Absolute path of a file or a block device. */
  path: string;
  format: 'raw' | 'qcow2';
}

/** Of the disk that stands at that place in the request. */
export const overlayPath = (folder: string, index: number): string =>
  join(folder, `disk-${index}.qcow2`);

/** Names of overlays are ours: keys come from a foreign platform and never become part of a path. */
export const journalDisks = (folder: string, disks: readonly ConversionDisk[]): JournalDisk[] =>
  disks.map(({ key, path, format }, index) => ({
    key,
    base: path,
    baseFormat: format,
    overlay: overlayPath(folder, index),
  }));

const makeLimitMs = 120_000;

/**
 * Lays a fresh qcow2 overlay over every disk; what an earlier attempt wrote to its overlays is dropped. Throws
 * `conversion-commit-begun` if an overlay's content already goes to its base, and what `qemuImg` throws.
 */
export async function makeOverlays(
  journal: ConversionJournal,
  options: { id: string; signal?: AbortSignal },
): Promise<void> {
  if (journal.commitBegun) {
    throw unsafe({
      code: 'conversion-commit-begun',
      message: `the disks of the conversion ${options.id} are being committed; it cannot start over`,
      remedy: 'Let the commit go on: `vmferry retry`. Or delete the target disks and copy again.',
    });
  }
  const call = { ...options, limitMs: makeLimitMs };
  for (const { disk } of journal.disks) {
    checkImagePath(disk.base);
    checkImagePath(disk.overlay);
    await rm(disk.overlay, { force: true });
    const backing = ['-b', disk.base, '-F', disk.baseFormat];
    await qemuImg(['create', '-q', '-f', 'qcow2', ...backing, disk.overlay], call);
    await syncPath(disk.overlay);
    await syncFolderOf(disk.overlay);
    await journal.record(disk.key, 'overlay-made', await imageFingerprint(disk.base));
  }
}

/**
 * Whether the overlay still belongs to its base. Throws `overlay-foreign` if it lies on something else, and
 * `conversion-base-changed` if somebody wrote to the base since: their blocks would be mixed.
 */
export async function checkOverlay(
  progress: { disk: JournalDisk; base: string },
  options: { id: string; signal?: AbortSignal },
): Promise<void> {
  const { disk, base } = progress;
  const info = await imageInfo(
    { path: disk.overlay, format: 'qcow2' },
    { ...options, limitMs: makeLimitMs },
  );
  if (info.backing !== disk.base || info.backingFormat !== disk.baseFormat) {
    throw unsafe({
      code: 'overlay-foreign',
      message: `${disk.overlay} lies on ${info.backing || 'nothing'}, not on ${disk.base} (${disk.baseFormat})`,
      remedy: 'Nothing was written. Convert again: the copy is kept.',
    });
  }
  if ((await imageFingerprint(disk.base)) === base) return;
  throw unsafe({
    code: 'conversion-base-changed',
    message: `${disk.base} was written to since the conversion began`,
    remedy:
      'Nothing was written by the conversion. See what wrote to it; then verify the copy and convert again.',
  });
}
