/** Real OVAs: disks written as raw files, made into images by qemu-img, packed with their OVF and manifest. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tarOf } from '../../quick/ova/tar-writer.ts';

const run = promisify(execFile);
const MiB = 1024 ** 2;

/** A raw disk with holes, text, noise and zeroes that were written. */
export async function writeRaw(path: string, sizeBytes: number): Promise<string> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  const put = (offset: number, bytes: Uint8Array) => file.write(bytes, 0, bytes.length, offset);
  await put(0, Buffer.alloc(512, 'boot'));
  await put(MiB, randomBytes(3 * MiB + 512));
  await put(9 * MiB + 1536, Buffer.alloc(MiB, 'all work and no play '));
  await put(12 * MiB, Buffer.alloc(MiB));
  await put(33 * MiB, randomBytes(70_000));
  await put(sizeBytes - 4096, randomBytes(4096));
  return path;
}

/** `qemu-img convert`; options as `subformat=streamOptimized`. */
export async function imageOf(
  raw: string,
  image: string,
  { format, options, compressed }: { format: string; options?: string; compressed?: boolean },
): Promise<Buffer> {
  const more = [...(options === undefined ? [] : ['-o', options]), ...(compressed ? ['-c'] : [])];
  await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', format, ...more, raw, image]);
  return readFile(image);
}

export interface Member {
  name: string;
  body: Uint8Array;
}

export const manifestOf = (members: readonly Member[], algorithm = 'sha256'): Member => ({
  name: (members[0]?.name ?? '').replace(/\.ovf$/, '.mf'),
  body: Buffer.from(
    members
      .map(({ name, body }) => {
        const digest = createHash(algorithm).update(body).digest('hex');
        return `${algorithm.toUpperCase()}(${name})= ${digest}\r\n`;
      })
      .join(''),
  ),
});

export async function writeTar(path: string, members: readonly Member[]): Promise<string> {
  await writeFile(path, tarOf(members));
  return path;
}

export async function writeFolder(path: string, members: readonly Member[]): Promise<string> {
  await mkdir(path, { recursive: true });
  for (const { name, body } of members) await writeFile(join(path, name), body);
  return path;
}

/** Files under `folder` that this process holds open, and what lies in `scratch`. */
export async function tracesOf(folder: string, scratch: string): Promise<string[]> {
  const held: string[] = [];
  for (const number of await readdir('/proc/self/fd')) {
    const target = await readlink(`/proc/self/fd/${number}`).catch(() => '');
    if (target.startsWith(`${folder}/`)) held.push(target);
  }
  return [...held.toSorted(), ...(await readdir(scratch))];
}
