/** VHD images, fixed and dynamic (Microsoft's "Virtual Hard Disk Image Format Specification", 1.0). Not differencing ones. */
import type { DiskSource } from '../../domain/platform.ts';
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { corrupt, malformed, unsupported } from './faults.ts';
import { RawDisk } from './raw-disk.ts';
import { SparseDisk } from './sparse-disk.ts';
import type { BlockMap } from './sparse-disk.ts';

const sectorBytes = 512;
const footerBytes = 512;
/** The format's own limit is 2040 GiB. */
const maxCapacityBytes = 2 * 1024 ** 4;
const maxBlockBytes = 64 * 1024 * 1024;
const unallocated = 0xffff_ffff;
const Kind = { fixed: 2, dynamic: 3 } as const;

interface Footer {
  capacityBytes: number;
  kind: number;
  headerOffset: number;
}

async function readFooter(bytes: Bytes, what: string): Promise<Footer> {
  if (bytes.sizeBytes < 2 * footerBytes) throw malformed(what, 'it is too short for a VHD');
  const offset = bytes.sizeBytes - footerBytes;
  const footer = await readPart(bytes, { offset, length: footerBytes });
  if (footer.toString('latin1', 0, 8) !== 'conectix') throw malformed(what, 'it has no VHD footer');
  const capacityBytes = Number(footer.readBigUInt64BE(48));
  if (capacityBytes === 0 || capacityBytes > maxCapacityBytes) {
    throw malformed(what, `its footer states ${capacityBytes} bytes`);
  }
  const kind = footer.readUInt32BE(60);
  return { capacityBytes, kind, headerOffset: Number(footer.readBigUInt64BE(16)) };
}

/** The disk's size. Throws `ova-malformed`. */
export const vhdCapacity = async (bytes: Bytes, what: string): Promise<number> =>
  (await readFooter(bytes, what)).capacityBytes;

/** Throws `ova-malformed`, `ova-unsupported` for a differencing disk. */
export async function openVhd(
  bytes: Bytes,
  { what, close }: { what: string; close: () => Promise<void> },
): Promise<DiskSource> {
  const { capacityBytes, kind, headerOffset } = await readFooter(bytes, what);
  if (kind === Kind.fixed) {
    if (capacityBytes > bytes.sizeBytes - footerBytes) throw malformed(what, 'it is cut off');
    return new RawDisk(new Front(bytes, capacityBytes), close);
  }
  if (kind !== Kind.dynamic) {
    const remedy = 'Merge the disk with its parents, or export the VM again without snapshots.';
    throw unsupported(what, 'it is not a whole VHD but what changed since its parent', remedy);
  }
  if (headerOffset + 1024 > bytes.sizeBytes)
    throw malformed(what, 'its header lies beyond its end');
  const header = await readPart(bytes, { offset: headerOffset, length: 1024 });
  if (header.toString('latin1', 0, 8) !== 'cxsparse') throw malformed(what, 'it has no VHD header');
  const tableOffset = Number(header.readBigUInt64BE(16));
  const blockBytes = header.readUInt32BE(32);
  if (blockBytes < 4096 || blockBytes > maxBlockBytes || (blockBytes & (blockBytes - 1)) !== 0) {
    throw malformed(what, `its blocks have ${blockBytes} bytes`);
  }
  const length = Math.ceil(capacityBytes / blockBytes) * 4;
  if (tableOffset + length > bytes.sizeBytes || header.readUInt32BE(28) < length / 4) {
    throw malformed(what, 'its block table lies beyond its end');
  }
  const table = await readPart(bytes, { offset: tableOffset, length });
  return new SparseDisk(new VhdBlocks({ bytes, what, table, blockBytes, capacityBytes }), close);
}

/** The first bytes of others. */
class Front implements Bytes {
  readonly sizeBytes: number;
  readonly #bytes: Bytes;

  constructor(bytes: Bytes, sizeBytes: number) {
    this.#bytes = bytes;
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#bytes.read(offset, into, signal);
  }
}

interface Parts {
  bytes: Bytes;
  what: string;
  table: Buffer;
  blockBytes: number;
  capacityBytes: number;
}

/** A block is a bitmap of its sectors, whole sectors long, and the sectors: those not written are zeroes in the file. */
class VhdBlocks implements BlockMap {
  readonly capacityBytes: number;
  readonly blockBytes: number;
  readonly #parts: Parts;
  readonly #bitmapBytes: number;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.capacityBytes = parts.capacityBytes;
    this.blockBytes = parts.blockBytes;
    const bits = parts.blockBytes / sectorBytes;
    this.#bitmapBytes = Math.ceil(bits / 8 / sectorBytes) * sectorBytes;
  }

  run(index: number): Promise<{ zero: boolean; blocks: number }> {
    const blocks = this.#parts.table.length / 4;
    const zero = this.#isZero(index);
    let end = index + 1;
    while (end < blocks && this.#isZero(end) === zero) end += 1;
    return Promise.resolve({ zero, blocks: end - index });
  }

  async fill(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { bytes, what, table } = this.#parts;
    for (let at = 0; at < into.length;) {
      const index = Math.floor((offset + at) / this.blockBytes);
      const skip = offset + at - index * this.blockBytes;
      const length = Math.min(this.blockBytes - skip, into.length - at);
      const place = table.readUInt32BE(index * 4) * sectorBytes + this.#bitmapBytes + skip;
      if (place + length > bytes.sizeBytes) throw corrupt(what, 'a block lies beyond its end');
      await bytes.read(place, into.subarray(at, at + length), signal);
      at += length;
    }
  }

  #isZero(index: number): boolean {
    return this.#parts.table.readUInt32BE(index * 4) === unallocated;
  }
}
