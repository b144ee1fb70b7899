/** What the first bytes tell of a file or stream that is to be an OVA. */
import { malformed, unsupported } from './faults.ts';
import { hasGoodSum } from './tar-index.ts';

/** The first header of a tar. */
export const tarStartBytes = 512;

/** gzip, zstd, xz, bzip2 */
const compressed = ['1f8b', '28b52ffd', 'fd377a585a00', '425a68'];

/** Throws `ova-unsupported` for what is compressed as a whole. */
export function refuseCompressed(start: Uint8Array, path: string): void {
  const hex = Buffer.from(start.subarray(0, 6)).toString('hex');
  if (!compressed.some((magic) => hex.startsWith(magic))) return;
  const why = 'it is compressed as a whole, so that nothing in it can be read by position';
  throw unsupported(path, why, 'Decompress it first (gzip -d, zstd -d, xz -d), then give it.');
}

/** Of the first `tarStartBytes`. Throws `ova-unsupported`, `ova-malformed`. */
export function checkTarStart(start: Buffer, path: string): void {
  refuseCompressed(start, path);
  if (!hasGoodSum(start)) throw malformed(path, 'it is no tar archive');
}
