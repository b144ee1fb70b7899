/** Disk images of random content on a host of the lab, and what a guest would read from them. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { open, readFile, rm, stat } from 'node:fs/promises';
import type { LabHost } from '../../../lab/host.ts';

export const mebibyte = 1024 * 1024;
export const soon = { timeoutMs: 60_000 };

export interface ImageOptions {
  format: 'raw' | 'qcow2';
  sizeMiB: number;
  /** What the image lies on, as its header shall say it: absolute, or relative to the image. */
  backing?: string;
}

/** Runs of data of 64 to 448 KiB, each at the start of a MiB: the rest are holes. */
const runsOf = (sizeMiB: number): { offset: number; length: number }[] =>
  Array.from({ length: sizeMiB }, (_, index) => ({
    offset: index * mebibyte,
    length: ((index % 7) + 1) * 65_536,
    // With a backing image and without, some MiB stay as they were.
  })).filter((_, index) => index % 4 !== 3);

/** Makes an image with data and holes; one with a backing image changes a part of what it covers. */
export async function makeImage(
  host: LabHost,
  path: string,
  { format, sizeMiB, backing }: ImageOptions,
): Promise<void> {
  const base = backing === undefined ? [] : ['-F', 'qcow2', '-b', backing];
  await host.exec(['qemu-img', 'create', '-q', '-f', format, ...base, path, `${sizeMiB}M`], soon);
  if (format === 'raw') return fillRaw(host, path, sizeMiB);
  // Through QEMU, so that clusters lie as a guest would have left them.
  const words = runsOf(backing === undefined ? sizeMiB : Math.ceil(sizeMiB / 2)).flatMap(
    ({ offset, length }) => ['-c', `write -q -P ${randomBytes(1)[0] ?? 1} ${offset} ${length}`],
  );
  await host.exec(['qemu-io', '-f', 'qcow2', ...words, path], soon);
}

/**
 * `qemu-img create` of an encrypted image. It measures the machine by a processor clock that may not have ticked
 * meanwhile, and gives up then (one time in six on a machine of 2026): it is asked again, for that alone.
 */
export async function makeEncrypted(host: LabHost, words: readonly string[]): Promise<void> {
  const create = ['qemu-img', 'create', '-q', ...words];
  for (let left = 50; ; left -= 1) {
    const { failed, stderr } = await host.exec(create, { ...soon, reject: false });
    if (!failed) return;
    if (left === 0 || !stderr.includes('Unable to get accurate CPU usage'))
      throw new Error(`${create.join(' ')} on ${host.name}: ${stderr}`);
  }
}

/** Writes random runs into a file or device of the host; what lies between stays. */
export async function fillRaw(host: LabHost, path: string, sizeMiB: number): Promise<void> {
  const file = await open(host.rootOf(path), 'r+');
  try {
    for (const { offset, length } of runsOf(sizeMiB))
      await file.write(randomBytes(length), 0, length, offset);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** SHA-256 of what a guest reads from a disk; a guest that has it open must not write. */
export async function contentOf(
  host: LabHost,
  path: string,
  format: 'raw' | 'qcow2',
): Promise<string> {
  if (format === 'raw') return hashOf(host, path);
  const scratch = `/run/content-${randomUUID()}`;
  try {
    await host.exec(['qemu-img', 'convert', '-U', '-f', format, '-O', 'raw', path, scratch], soon);
    return await hashOf(host, scratch);
  } finally {
    await rm(host.rootOf(scratch), { force: true });
  }
}

/** SHA-256 of a file or device, byte for byte. */
export const hashOf = async (host: LabHost, path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(host.rootOf(path)))
    .digest('hex');

/** Bytes that a file really takes on its storage. */
export const allocatedBytes = async (host: LabHost, path: string): Promise<number> =>
  (await stat(host.rootOf(path))).blocks * 512;

export const isThere = (host: LabHost, path: string): Promise<boolean> =>
  stat(host.rootOf(path)).then(
    () => true,
    () => false,
  );
