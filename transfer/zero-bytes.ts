import type { Range } from './range-set.ts';

/** What a qcow2 image allocates at once by default, and what keeps the number of writes small. */
const granuleBytes = 64 * 1024;
const zeroes = new Uint8Array(granuleBytes);

const isZeroGranule = (bytes: Uint8Array): boolean =>
  // Most data shows itself here, without a call into native code.
  bytes[0] === 0 &&
  bytes[bytes.length - 1] === 0 &&
  bytes[bytes.length >> 1] === 0 &&
  Buffer.compare(bytes, zeroes.subarray(0, bytes.length)) === 0;

/**
 * The runs of `bytes`, which lie at `offset` of a disk, that hold anything but zeroes; none if all of it is zeroes, one
 * as long as `bytes` if nothing is. It looks at 64 KiB of the disk at a time, so every border is a multiple of that,
 * or an end of `bytes`. Data costs a look at three bytes each.
 */
export const dataRuns = (offset: number, bytes: Uint8Array): Range[] => {
  const runs: Range[] = [];
  let open: Range | undefined;
  for (let at = 0; at < bytes.length;) {
    const length = Math.min(granuleBytes - ((offset + at) % granuleBytes), bytes.length - at);
    if (isZeroGranule(bytes.subarray(at, at + length))) open = undefined;
    else if (open === undefined) runs.push((open = { offset: offset + at, length }));
    else open.length += length;
    at += length;
  }
  return runs;
};
