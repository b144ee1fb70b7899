import { hashDisk as hashTree } from '../transfer/hash-tree.ts';
import type { Attempt } from './boundary.ts';
import type { HashDiskInput, HashDiskResult } from './contract.ts';
import { whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/** Reads a disk of this host past the page cache and gives the root of its hash tree. */
export async function hashDisk(
  parts: HostParts,
  input: HashDiskInput,
  { signal }: Pick<Attempt, 'signal'>,
): Promise<HashDiskResult> {
  const { disk, side, migrationId } = input;
  const local =
    side === 'source'
      ? { path: disk.sourcePath, format: disk.sourceFormat }
      : { path: disk.targetPath, format: disk.targetFormat };
  const states = side === 'source' ? (['migrating-out'] as const) : (['incoming'] as const);
  const operation = `hash ${side} ${disk.name}`;
  // Asked once: hashing takes long, and only reads.
  await whileOurs(parts, { ref: input, states, operation, signal }, () => Promise.resolve());
  return parts.operations.exclusive({ migrationId, name: operation, signal }, async (inner) => {
    const source = await parts.dataPlane.openLocal({ ...local, signal: inner });
    try {
      const { root } = await hashTree({ source, signal: inner });
      return { root, sizeBytes: source.sizeBytes };
    } finally {
      await source.close();
    }
  });
}
