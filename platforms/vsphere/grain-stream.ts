/**
 * A stream-optimized VMDK as it comes over a wire: grains in the order of the disk, tables and a footer that are passed
 * over (VMware's "Virtual Disk Format 5.0"). Another wrote it: every number is bounded, and it has to come to its end.
 */
import { VmFerryError } from '../../domain/errors.ts';
import { SoapError, SoapErrorKind } from '../../protocols/soap/index.ts';
import { checkDescriptor, isVmdk, sectorBytes, sectorsAt, vmdkShape } from '../ova/vmdk-header.ts';
import type { VmdkShape } from '../ova/vmdk-header.ts';

/** A deflated part of the disk; what is between two of them is zero. */
export interface Grain {
  /** On the disk: a whole multiple of the grains' size. */
  offset: number;
  packed: Buffer;
}

export interface GrainStream extends VmdkShape {
  /**
   * Returns `whole` at the mark of the stream's end alone: one that was given up, or that threw, has no such end. Throws
   * SoapError: lost (it ended before), malformed.
   */
  grains: AsyncGenerator<Grain, 'whole' | undefined>;
}

/** An ESXi has 64 KiB before the first grain. */
const longestOverheadBytes = 1024 * 1024;
/** Behind the place and length of a grain its data begins in the same sector. */
const markerBytes = 12;
const Marker = { end: 0, table: 1, directory: 2, footer: 3 } as const;

/** Reads up to the first grain; `what` names the disk in errors. Rejects with SoapError: lost, malformed. */
export async function openGrainStream(
  chunks: AsyncIterable<Buffer>,
  what: string,
): Promise<GrainStream> {
  const wire = new Wire(chunks, what);
  const head = await wire.take(sectorBytes);
  if (!isVmdk(head)) throw lie(what, 'it is no sparse VMDK');
  const shape = await told(async () => {
    const found = vmdkShape(head, what);
    const at = { offset: 64, name: 'place of its first grain', most: longestOverheadBytes, what };
    const rest = await wire.take(Math.max(0, sectorsAt(head, at) - sectorBytes));
    const start = Buffer.concat([head, rest]);
    const bytes = {
      sizeBytes: start.length,
      read: (offset: number, into: Uint8Array): Promise<void> => {
        into.set(start.subarray(offset, offset + into.length));
        return Promise.resolve();
      },
    };
    await checkDescriptor({ bytes, head, what }, undefined);
    return found;
  });
  if (!shape.compressed) throw lie(what, 'its grains are not compressed');
  return { ...shape, grains: grainsOf(wire, shape, what) };
}

/** As SoapError (malformed) what the readers of images throw: the server said it, not a file of a person's. */
export async function told<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof VmFerryError) || !error.code.startsWith('ova-')) throw error;
    throw new SoapError(SoapErrorKind.malformed, error.message, { cause: error });
  }
}

async function* grainsOf(
  wire: Wire,
  { capacityBytes, grainBytes, tables }: VmdkShape,
  what: string,
): AsyncGenerator<Grain, 'whole'> {
  const capacity = BigInt(capacityBytes / sectorBytes);
  // Each table once, a directory and a footer.
  let marksLeft = tables + 8;
  for (let least = 0; ;) {
    const first = await wire.take(sectorBytes);
    const sectors = first.readBigUInt64LE(0);
    const size = first.readUInt32LE(8);
    if (size === 0) {
      const kind = first.readUInt32LE(markerBytes);
      if (kind === Marker.end) return 'whole';
      marksLeft -= 1;
      if (kind > Marker.footer || marksLeft < 0 || sectors > tables * 4 + 8)
        throw lie(what, `it has a mark of the kind ${kind} with ${sectors} sectors`);
      await wire.pass(Number(sectors) * sectorBytes);
      continue;
    }
    const offset = sectors < capacity ? Number(sectors) * sectorBytes : -1;
    if (offset < least || offset % grainBytes !== 0 || size > 2 * grainBytes)
      throw lie(what, `it has a grain of ${size} bytes at sector ${sectors}, out of its place`);
    least = offset + grainBytes;
    const whole = Math.ceil((markerBytes + size) / sectorBytes) * sectorBytes;
    const rest = await wire.take(whole - sectorBytes);
    const packed = Buffer.concat([first, rest]).subarray(markerBytes, markerBytes + size);
    yield { offset, packed };
  }
}

const lie = (what: string, why: string): SoapError =>
  new SoapError(SoapErrorKind.malformed, `${what} cannot be used: ${why}`);

/** Bytes in the pieces that are asked for, whatever they come in. */
class Wire {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #what: string;
  #here: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>, what: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#what = what;
  }

  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    await this.#each(length, (part) => parts.push(part));
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  async pass(length: number): Promise<void> {
    await this.#each(length, () => undefined);
  }

  async #each(length: number, see: (part: Buffer) => void): Promise<void> {
    for (let left = length; left > 0;) {
      if (this.#here.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true)
          throw new SoapError(SoapErrorKind.lost, `${this.#what} ended before its end`);
        this.#here = next.value;
      }
      const part = this.#here.subarray(0, left);
      this.#here = this.#here.subarray(part.length);
      left -= part.length;
      see(part);
    }
  }
}
