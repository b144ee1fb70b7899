/** The cached disks as a source of copies: shown to the target alone, and hashed. */
import { overlayPath } from '../../convert/overlay.ts';
import { needsOperator } from '../../domain/errors.ts';
import { fingerprint } from '../../guard/identity.ts';
import { hashDisk } from '../../transfer/hash-tree.ts';
import type { Attempt } from '../boundary.ts';
import type { OpenExport } from '../contract.ts';
import { MoveFolder } from '../move-folder.ts';
import type { LocalDisk } from '../parts.ts';
import { forgetIfAlone, rememberMove } from '../policy-memory.ts';
import { cacheOf } from './cache-of.ts';
import { wholeImage } from './cache-record.ts';
import type { CachedDiskInput, CachedExportInput, ImportRef } from './contract.ts';
import type { ImportParts } from './parts.ts';

/** A read-only export for the target's certificate. The cache is not written while it is shown. */
export async function ensureCachedExport(
  parts: ImportParts,
  input: CachedExportInput,
): Promise<OpenExport> {
  const { moveId, migrationId, name, target, vm, operator } = input;
  const { stateDir, name: host, dataPlane } = parts.host;
  const { disk, state } = await cachedImage(parts, input);
  const folder = new MoveFolder({ stateDir, migrationId, host });
  const firstSeenAt = new Date().toISOString();
  const as = { role: 'source', peer: target, operator } as const;
  // The cleaner of this host asks Temporal by it whether the export still serves somebody.
  await rememberMove(folder, {
    ...{ moveId, migrationId, vm, ...as },
    server: parts.server(),
    firstSeenAt,
  });
  const address = parts.conversion.address?.();
  const endpoint = await dataPlane.ensureExport({
    ...{ migrationId, name, ...disk, target },
    ...(address === undefined ? {} : { address }),
  });
  return { endpoint, fingerprint: state };
}

export async function hashCached(
  parts: ImportParts,
  input: CachedDiskInput,
  { signal }: Pick<Attempt, 'signal'>,
): Promise<{ root: string }> {
  const { migrationId, key, capacityBytes } = input;
  const { operations, dataPlane } = parts.host;
  const { disk } = await cachedImage(parts, input);
  return operations.exclusive({ migrationId, name: `hash ${key}`, signal }, async (inner) => {
    // Read at the same time by the transfer.
    const source = await dataPlane.openLocal({ ...disk, signal: inner, cached: true });
    try {
      const { root } = await hashDisk({ source, sizeBytes: capacityBytes, signal: inner });
      return { root };
    } finally {
      await source.close();
    }
  });
}

export async function closeCachedExports(
  parts: ImportParts,
  { migrationId }: ImportRef,
): Promise<void> {
  const { operations, dataPlane, stateDir, name: host } = parts.host;
  await operations.endAll(migrationId);
  await dataPlane.closeExports(migrationId);
  await forgetIfAlone(new MoveFolder({ stateDir, migrationId, host }));
}

/** The image of a disk as it is sent to the target, and its state. Throws `cache-incomplete`. */
export async function cachedImage(
  parts: ImportParts,
  input: CachedDiskInput,
): Promise<{ disk: LocalDisk; state: string }> {
  const { key, overlay } = input;
  const cache = cacheOf(parts, input);
  const record = wholeImage(await cache.read(), key);
  if (record === undefined) throw notThere(input);
  const base = cache.pathOf(record);
  const disk: LocalDisk =
    overlay === undefined
      ? { path: base, format: 'raw' }
      : { path: overlayPath(cache.conversionFolder, overlay), format: 'qcow2' };
  // An overlay is nothing without what lies below it.
  const states = await Promise.all([...new Set([base, disk.path])].map((at) => fingerprint(at, 0)));
  return { disk, state: states.join('+') };
}

/** What somebody removed from the cache. */
export const notThere = ({ foreign, key }: Pick<CachedDiskInput, 'foreign' | 'key'>) =>
  needsOperator({
    code: 'cache-incomplete',
    message: `the cache does not have all of disk ${key} of ${foreign.name} any more`,
    remedy: 'Somebody removed it. Cancel, then import the VM again: it is copied anew.',
  });
