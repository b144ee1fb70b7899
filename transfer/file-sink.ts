import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { needsOperator, permanent } from '../domain/errors.ts';
import type { DiskSink } from '../domain/platform.ts';
import { fitsDirectIo } from './aligned-buffers.ts';
import { isInvalid, openDirect } from './direct-io.ts';
import { fileFault, type FaultPlace } from './faults.ts';
import { syncFolderOf } from './sync-folder.ts';

export interface FileSinkOptions {
  /** A raw file, made if absent, or a block device. */
  path: string;
  /** What the guest sees; a file gets exactly this size, a device has to have at least it (the sink has it all then). */
  sizeBytes: number;
  host?: string;
  /** Mode of a file that is made; 0600 by default. */
  mode?: number;
}

/** Zeroes that are written where the file system cannot make them. */
const zeroes = new Uint8Array(1024 * 1024);

/**
 * Opens a raw file or block device to write. Aligned data goes past the page cache where the file system can do
 * it: steadier, and a flush finds little to do. Rejects with VmFerryError (`target-disk-full`,
 * `target-not-writable`, `disk-io-error`, `target-too-small`).
 */
export const openFileSink = async (options: FileSinkOptions): Promise<DiskSink> => {
  const { path, sizeBytes, host, mode = 0o600 } = options;
  const place: FaultPlace = { side: 'target', what: path, ...(host !== undefined && { host }) };
  const handles: FileHandle[] = [];
  try {
    const buffered = await open(path, constants.O_RDWR | constants.O_CREAT, mode);
    handles.push(buffered);
    const facts = await buffered.stat();
    const deviceSize = facts.isBlockDevice() ? await deviceBytes(buffered, facts.rdev) : 0;
    const isDevice = facts.isBlockDevice();
    if (!isDevice && !facts.isFile()) throw unfit(place, 'is neither a file nor a block device');
    if (isDevice && deviceSize < sizeBytes) throw tooSmall(place, sizeBytes);
    // A file without blocks holds nothing but zeroes, whoever made it and whatever happened to us since;
    // only tiny files may have their bytes in the inode.
    const blockless = facts.blocks === 0 && facts.size > 65536;
    const startsZeroed = !isDevice && (facts.size === 0 || blockless);
    if (!isDevice && facts.size !== sizeBytes) {
      if (!startsZeroed) throw unfit(place, `holds ${facts.size} bytes instead of ${sizeBytes}`);
      await buffered.truncate(sizeBytes);
      await buffered.sync();
    }
    if (!isDevice) await syncFolderOf(path);
    const direct = await openDirect(path, constants.O_RDWR);
    if (direct) handles.push(direct);
    // A file that has all its room was given it on purpose, and keeps it.
    const keepsRoom = !isDevice && facts.size > 0 && facts.blocks * 512 >= facts.size;
    return new FileSink({
      place,
      path,
      // What a larger device has beyond the disk is zeroed with the rest: the guest will see it.
      sizeBytes: isDevice ? deviceSize : sizeBytes,
      startsZeroed,
      zeroing: isDevice
        ? ['--punch-hole', '--zero-range']
        : [keepsRoom ? '--zero-range' : '--punch-hole'],
      buffered,
      direct,
    });
  } catch (error) {
    for (const handle of handles) await handle.close();
    throw await fileFault(place, path, error, sizeBytes);
  }
};

const unfit = (place: FaultPlace, why: string) =>
  permanent({
    code: 'target-unfit',
    message: `${place.what} ${why}`,
    remedy: 'Remove it or choose another path; vmferry does not write over what it does not know.',
    ...(place.host !== undefined && { host: place.host }),
  });

const tooSmall = (place: FaultPlace, sizeBytes: number) =>
  needsOperator({
    code: 'target-too-small',
    message: `${place.what} is smaller than the disk of ${sizeBytes} bytes`,
    remedy: 'Grow the device, or choose another one, then resume the move.',
    ...(place.host !== undefined && { host: place.host }),
  });

/** A device's stat has no size: the kernel tells it in units of 512 bytes, whatever the device's own sectors are. */
const deviceBytes = async (device: FileHandle, rdev: number): Promise<number> => {
  const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
  const sectors = await readFile(`/sys/dev/block/${major}:${minor}/size`, 'ascii').catch(() => '');
  return /^[1-9]\d*\s*$/.test(sectors) ? Number(sectors) * 512 : readableBytes(device);
};

/** Where the kernel does not show it, the last readable byte tells it, found by halving. */
const readableBytes = async (device: FileHandle): Promise<number> => {
  const byte = new Uint8Array(1);
  let [low, high] = [0, 2 ** 53 - 1];
  while (low < high) {
    const middle = Math.floor(low + (high - low) / 2);
    const { bytesRead } = await device.read(byte, 0, 1, middle).catch((error: unknown) => {
      if (isInvalid(error)) return { bytesRead: 0 };
      throw error;
    });
    if (bytesRead === 1) low = middle + 1;
    else high = middle;
  }
  return low;
};

interface FileSinkParts {
  place: FaultPlace;
  path: string;
  sizeBytes: number;
  startsZeroed: boolean;
  /** Options of fallocate that make zeroes, best first: without room where that is wanted. */
  zeroing: string[];
  buffered: FileHandle;
  direct: FileHandle | undefined;
}

class FileSink implements DiskSink {
  readonly sizeBytes: number;
  readonly startsZeroed: boolean;
  readonly #parts: FileSinkParts;
  #canDirect = true;

  constructor(parts: FileSinkParts) {
    this.#parts = parts;
    this.sizeBytes = parts.sizeBytes;
    this.startsZeroed = parts.startsZeroed;
  }

  async write(offset: number, data: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#checkRange(offset, data.length);
    const { direct, buffered } = this.#parts;
    await this.#guarded(data.length, async () => {
      let done = 0;
      if (direct !== undefined && this.#canDirect && fitsDirectIo(offset, data)) {
        done = await this.#writeDirect(direct, offset, data);
      }
      // The rest of a short write need not be aligned any more.
      await writeAll(buffered, offset + done, data.subarray(done));
    });
  }

  async writeZeroes(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    this.#checkRange(offset, length);
    if (length === 0) return;
    await this.#guarded(length, async () => {
      if (await this.#punch(offset, length)) return;
      for (let at = 0; at < length; at += zeroes.length) {
        signal?.throwIfAborted();
        const data = zeroes.subarray(0, Math.min(zeroes.length, length - at));
        const { buffered } = this.#parts;
        await writeAll(buffered, offset + at, data);
      }
    });
  }

  async flush(): Promise<void> {
    // One fdatasync covers the inode, whichever descriptor wrote.
    await this.#guarded(0, () => this.#parts.buffered.datasync());
  }

  async close(): Promise<void> {
    await this.#parts.direct?.close();
    await this.#parts.buffered.close();
  }

  #checkRange(offset: number, length: number): void {
    if (offset < 0 || offset + length > this.sizeBytes) {
      throw new RangeError(`${length} bytes at ${offset} of ${this.sizeBytes}`);
    }
  }

  async #guarded(neededBytes: number, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const { place, path } = this.#parts;
      throw await fileFault(place, path, error, neededBytes);
    }
  }

  /** Resolves to how many bytes were written; none where the file system turns out not to like it. */
  async #writeDirect(file: FileHandle, offset: number, data: Uint8Array): Promise<number> {
    try {
      return (await file.write(data, 0, data.length, offset)).bytesWritten;
    } catch (error) {
      if (!isInvalid(error)) throw error;
      // Some file systems take the flag and refuse the write.
      this.#canDirect = false;
      return 0;
    }
  }

  /**
   * Node has no fallocate(2); the program of util-linux works on the path. False if no way works here. Punching a device
   * gives the room back where it can and zeroes it in any case; the kernel refuses what it would have to write out.
   */
  async #punch(offset: number, length: number): Promise<boolean> {
    const { path, zeroing } = this.#parts;
    const range = ['--keep-size', '--offset', String(offset), '--length', String(length)];
    for (let how = zeroing[0]; how !== undefined; how = zeroing[0]) {
      const option = how;
      const done = await new Promise<boolean>((resolve) => {
        const child = spawn('fallocate', [option, ...range, '--', path], { stdio: 'ignore' });
        child.once('error', () => resolve(false));
        child.once('exit', (status) => resolve(status === 0));
      });
      if (done) return true;
      // Another call may have given up the same way meanwhile.
      if (zeroing[0] === option) zeroing.shift();
    }
    return false;
  }
}

const writeAll = async (file: FileHandle, offset: number, data: Uint8Array): Promise<void> => {
  let done = 0;
  while (done < data.length) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offset + done);
    if (bytesWritten === 0) throw new Error(`nothing was written at ${offset + done}`);
    done += bytesWritten;
  }
};
