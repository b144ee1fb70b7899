import { placeOf } from '../domain/disk-plan.ts';
import { hashDisk as hashTree } from '../transfer/hash-tree.ts';
import type { Attempt } from './boundary.ts';
import type { HashDiskInput, HashDiskResult } from './contract.ts';
import type { Followers } from './followers.ts';
import { whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/**
 * Reads a disk of this host and gives the root of its hash tree. Past the page cache, since a target has to show what it
 * has stored, and a shared disk what both hosts see; but for a source that is being copied at the same time and that
 * nobody writes: it would be read twice.
 */
export async function hashDisk(
  parts: HostParts,
  input: HashDiskInput,
  { signal, report, followers }: Pick<Attempt, 'signal' | 'report'> & { followers: Followers },
): Promise<HashDiskResult> {
  const { disk, side, migrationId } = input;
  const states = side === 'source' ? (['migrating-out'] as const) : (['incoming'] as const);
  const operation = `hash ${side} ${disk.name}`;
  // Asked once: hashing takes long, and only reads.
  await whileOurs(parts, { ref: input, states, operation, signal }, () => Promise.resolve());
  return parts.operations.exclusive({ migrationId, name: operation, signal }, async (inner) => {
    const source = await parts.dataPlane.openLocal({
      ...placeOf(disk, side),
      signal: inner,
      cached: side === 'source' && disk.how === 'copy',
    });
    try {
      const { name, capacityBytes } = disk;
      const known = side === 'target' ? followers.get(input, name) : undefined;
      const { root } = await hashTree({
        source,
        ...(known === undefined ? {} : { known }),
        sizeBytes: capacityBytes,
        signal: inner,
        // While the target is being copied to, its copy tells how far the disk is.
        ...(side === 'target' && {
          onProgress: (progress) => report({ disks: [{ name, capacityBytes, ...progress }] }),
        }),
      });
      return { root };
    } finally {
      await source.close();
    }
  });
}
