/** A raw image packed and unpacked: qcow2 with compressed clusters, which every qemu-img reads. */
import { open, rm, truncate } from 'node:fs/promises';
import { VmFerryError } from '../domain/errors.ts';
import { syncFolderOf, syncPath } from './durable-file.ts';
import { checkImagePath, qemuImg } from './qemu-img.ts';
import type { QemuImgCall } from './qemu-img.ts';

export type PackCall = Omit<QemuImgCall, 'limitMs'>;

/** What the slowest disks and processors do, and some time for those that have to wake up. */
const slowestBytesPerSecond = 2 * 1024 ** 2;
const wakeMs = 10 * 60_000;
const limitFor = (bytes: number): number => wakeMs + (bytes / slowestBytesPerSecond) * 1000;

/** What qemu-img says of ways to compress that it was built without. */
const unknownWay = /compression[-_]type|zstd/i;

/**
 * Resolves once `packed` is whole and on stable storage; what was there before is gone. Holes and zeroes stay such.
 * Throws what `qemuImg` throws, and leaves nothing then.
 */
export async function packImage(
  { image, packed, sizeBytes }: { image: string; packed: string; sizeBytes: number },
  call: PackCall,
): Promise<void> {
  const convert = (way: string[]): Promise<string> =>
    qemuImg(['convert', '-q', '-c', '-f', 'raw', '-O', 'qcow2', ...way, image, packed], {
      ...call,
      limitMs: limitFor(sizeBytes),
    });
  await make(packed, async () => {
    // Faster both ways than zlib, which is what an older qemu-img has.
    await convert(['-o', 'compression_type=zstd']).catch((error: unknown) => {
      const words = whatItSaid(error);
      if (words === undefined || !unknownWay.test(words)) throw error;
      return convert([]);
    });
  });
}

/**
 * Resolves once `image` is on stable storage with `sizeBytes`; what was there before is gone. `damage`: there is nothing
 * that could be unpacked, and why. Throws what `qemuImg` throws where the fault is elsewhere. Leaves nothing then.
 */
export async function unpackImage(
  { image, packed, sizeBytes }: { image: string; packed: string; sizeBytes: number },
  call: PackCall,
): Promise<{ damage?: string }> {
  const quietly = call.onPercent === undefined ? '-q' : '-p';
  const args = ['convert', quietly, '-f', 'qcow2', '-O', 'raw', packed, image];
  try {
    await make(image, async () => {
      await qemuImg(args, { ...call, limitMs: limitFor(sizeBytes) });
      // Images have whole sectors, and not every disk has.
      await truncate(image, sizeBytes);
    });
    return {};
  } catch (error) {
    const words = whatItSaid(error);
    const isDamaged =
      words !== undefined &&
      (/error while reading|image is corrupt|as corrupt/i.test(words) ||
        words.includes(`Could not open '${packed}'`));
    if (!isDamaged) throw error;
    return { damage: words };
  }
}

async function make(path: string, fill: () => Promise<void>): Promise<void> {
  checkImagePath(path);
  try {
    // qemu-img would let everybody read it.
    await rm(path, { force: true });
    await (await open(path, 'wx', 0o600)).close();
    await fill();
    await syncPath(path);
    await syncFolderOf(path);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

const failed = ' failed: ';

/** Of a qemu-img that failed by itself; undefined of all else. */
function whatItSaid(error: unknown): string | undefined {
  if (!(error instanceof VmFerryError) || error.code !== 'image-operation-failed') return undefined;
  return error.message.slice(error.message.indexOf(failed) + failed.length);
}
