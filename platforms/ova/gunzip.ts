/**
 * A gzipped file of an OVA, made readable by position. Gzip has no way into its middle, so the image in it (a VMDK, not
 * the disk that it holds) is inflated once, into a file without a name: nothing of it is left when the process ends.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, statfs, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { VmFerryError, needsOperator } from '../../domain/errors.ts';
import type { Bytes } from './bytes.ts';
import { corrupt, malformed } from './faults.ts';

/** Bytes of an image that has no name any more. */
export interface Spooled extends Bytes {
  close(): Promise<void>;
}

export interface GunzipOptions {
  /** How the file is called in errors. */
  what: string;
  /** Where the nameless file takes room. */
  scratchDir: string;
  /** More than this is a lie about the disk's size. */
  maxBytes: number;
  signal?: AbortSignal;
}

const stepBytes = 1024 * 1024;
/** Room that is left to others on the scratch folder's file system. */
const reserveBytes = 256 * 1024 * 1024;
/** How often the room is looked at: between two looks far less than the reserve is written. */
const lookEveryBytes = 64 * 1024 * 1024;

/** Throws `ova-corrupt`, `ova-malformed` (more than `maxBytes`), `ova-no-room`; rejects with the signal's reason. */
export async function gunzip(bytes: Bytes, options: GunzipOptions): Promise<Spooled> {
  const { what, scratchDir, signal } = options;
  const file = await namelessFile(scratchDir);
  try {
    const sizeBytes = await inflateInto(file, bytes, options);
    return {
      sizeBytes,
      close: () => file.close(),
      read: async (offset, into, readSignal) => {
        for (let at = 0; at < into.length;) {
          readSignal?.throwIfAborted();
          const { bytesRead } = await file.read(into, at, into.length - at, offset + at);
          if (bytesRead === 0) throw new RangeError('beyond the end');
          at += bytesRead;
        }
      },
    };
  } catch (error) {
    await file.close();
    signal?.throwIfAborted();
    if (error instanceof VmFerryError) throw error;
    if (error instanceof Error && 'code' in error) {
      if (error.code === 'ENOSPC' || error.code === 'EDQUOT') throw noRoom(what, scratchDir, error);
      if (String(error.code).startsWith('Z_')) {
        throw corrupt(what, 'it cannot be inflated', error);
      }
    }
    throw error;
  }
}

async function inflateInto(
  file: FileHandle,
  bytes: Bytes,
  { what, scratchDir, maxBytes, signal }: GunzipOptions,
): Promise<number> {
  let written = 0;
  let looked = -lookEveryBytes;
  await pipeline(
    Readable.from(partsOf(bytes, signal)),
    createGunzip({ chunkSize: stepBytes }),
    async (plain: AsyncIterable<Buffer>) => {
      for await (const part of plain) {
        if (written + part.length > maxBytes) {
          throw malformed(what, `more than ${maxBytes} bytes come out of it`);
        }
        if (written - looked >= lookEveryBytes) {
          await checkRoom(what, scratchDir);
          looked = written;
        }
        for (let at = 0; at < part.length;) {
          at += (await file.write(part, at, part.length - at, written + at)).bytesWritten;
        }
        written += part.length;
      }
    },
    ...(signal === undefined ? [] : [{ signal }]),
  );
  return written;
}

/** The first bytes that come out, at most `length`; fewer if there are no more. Throws `ova-corrupt`. */
export async function gunzipStart(
  bytes: Bytes,
  { what, length, signal }: { what: string; length: number; signal?: AbortSignal },
): Promise<Buffer> {
  const found: Buffer[] = [];
  let total = 0;
  const source = Readable.from(partsOf(bytes, signal));
  const plain = source.pipe(createGunzip());
  source.once('error', (error) => plain.destroy(error));
  try {
    for await (const part of plain as AsyncIterable<Buffer>) {
      found.push(part);
      total += part.length;
      if (total >= length) break;
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof VmFerryError) throw error;
    throw corrupt(what, 'it cannot be inflated', error);
  } finally {
    source.destroy();
  }
  return Buffer.concat(found).subarray(0, length);
}

async function* partsOf(bytes: Bytes, signal?: AbortSignal): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.sizeBytes; at += stepBytes) {
    const part = Buffer.allocUnsafe(Math.min(stepBytes, bytes.sizeBytes - at));
    await bytes.read(at, part, signal);
    yield part;
  }
}

async function namelessFile(folder: string): Promise<FileHandle> {
  const name = join(folder, `.vmferry-${randomBytes(12).toString('hex')}`);
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  await unlink(name);
  return file;
}

async function checkRoom(what: string, scratchDir: string): Promise<void> {
  const { bavail, bsize } = await statfs(scratchDir);
  if (bavail * bsize < reserveBytes + lookEveryBytes) throw noRoom(what, scratchDir);
}

const noRoom = (what: string, scratchDir: string, cause?: unknown): VmFerryError =>
  needsOperator({
    code: 'ova-no-room',
    message: `${what} is gzipped, and there is no room in ${scratchDir} to inflate the image in it`,
    remedy: 'Free room there, or decompress the OVA elsewhere first; then `vmferry retry`.',
    ...(cause !== undefined && { cause }),
  });
