import { unsafe } from '../domain/errors.ts';
import { firstDifference, type DiskHash } from './hash-tree.ts';

/**
 * Throws `disk-content-differs` (unsafe), naming the first differing range, unless both hashes are of the same
 * content.
 */
export const requireSameContent = (diskName: string, source: DiskHash, target: DiskHash): void => {
  const difference = firstDifference(source, target);
  if (difference === undefined) return;
  const { offset, length } = difference;
  throw unsafe({
    code: 'disk-content-differs',
    message: `disk ${diskName}: source and target differ within ${length} bytes at ${offset}`,
    remedy:
      'The source is untouched: keep it. Check memory and storage of both hosts, then move the disk anew.',
  });
};
