import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { needsOperator, permanent, transient } from '../domain/errors.ts';
import { runLabelled } from './labelled-process.ts';

export interface QemuImgCall {
  /** The conversion that it serves. */
  id: string;
  limitMs: number;
  signal?: AbortSignal;
  /** Whatever else runs on this host comes first. */
  background?: true;
  /** Told by a call with `-p`: from 0 to 100. */
  onPercent?: (percent: number) => void;
}

/** One that is not whole yet comes again in a moment. */
const percentSaid = /\((\d+(?:\.\d+)?)\/100%\)/g;

/** Of `nice`, where the program that it was to start is not there. */
const notFoundStatus = 127;
/** Messages of qemu-img are short; what is longer is noise. */
const maxTextBytes = 64 * 1024;

/**
 * Runs qemu-img and gives back what it printed. Throws `qemu-img-missing`, `conversion-disk-full`,
 * `qemu-img-too-slow`, `qemu-img-ended`, `image-operation-failed`, or the signal's reason.
 */
export async function qemuImg(
  args: readonly string[],
  { background, onPercent, ...call }: QemuImgCall,
): Promise<string> {
  const said = { stdout: '', stderr: '' };
  const { status, missing, timedOut } = await runLabelled({
    ...call,
    ...(background === true
      ? { program: 'nice', args: ['-n', '19', 'qemu-img', ...args] }
      : { program: 'qemu-img', args }),
    env: programEnvironment(),
    cwd: '/',
    onOutput: (text, stream) => {
      said[stream] = (said[stream] + text).slice(0, maxTextBytes);
      const percent = [...text.matchAll(percentSaid)].at(-1)?.[1];
      if (percent !== undefined && stream === 'stdout') onPercent?.(Number(percent));
    },
  });
  if (status === 0) return said.stdout;
  const what = `qemu-img ${args.join(' ')}`;
  if (missing || (background === true && status === notFoundStatus)) {
    throw needsOperator({
      code: 'qemu-img-missing',
      message: `${what}: there is no qemu-img on this host`,
      remedy: 'Install it (Debian: qemu-utils), then `vmferry retry`.',
    });
  }
  if (timedOut) {
    throw transient({
      code: 'qemu-img-too-slow',
      message: `${what} took longer than ${Math.round(call.limitMs / 1000)} s`,
      remedy: 'It is tried again. If it stays so, look at the storage below it.',
    });
  }
  if (/No space left on device/.test(said.stderr)) {
    throw needsOperator({
      code: 'conversion-disk-full',
      message: `${what}: no space left on the device`,
      remedy: 'Make room there, then `vmferry retry`: it goes on where it stopped.',
    });
  }
  if (status === null) {
    throw transient({
      code: 'qemu-img-ended',
      message: `${what} was ended by a signal before it was done`,
      remedy: 'It is tried again. If it stays so, see whether this host lacks memory.',
    });
  }
  throw transient({
    code: 'image-operation-failed',
    message: `${what} failed: ${said.stderr.trim().split('\n', 1)[0]?.slice(0, 500) ?? ''}`,
    remedy: 'It is tried again. If it stays so, look at the image with `qemu-img check`.',
  });
}

/** What a program gets to see of the worker's environment: the way to other programs, and a language that we can read. */
export const programEnvironment = (): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
});

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number().int().nonnegative(),
  'full-backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
});

export interface ImageInfo {
  format: string;
  virtualBytes: number;
  /** Absolute path of the image below; empty if there is none. */
  backing: string;
  backingFormat: string;
}

/** Looks at the top image only, in the stated format: nothing is probed that a guest could have written. */
export async function imageInfo(
  image: { path: string; format: 'raw' | 'qcow2' },
  call: QemuImgCall,
): Promise<ImageInfo> {
  const text = await qemuImg(['info', '--output=json', '-U', '-f', image.format, image.path], call);
  const info = infoSchema.parse(JSON.parse(text));
  return {
    format: info.format,
    virtualBytes: info['virtual-size'],
    backing: info['full-backing-filename'] ?? '',
    backingFormat: info['backing-filename-format'] ?? '',
  };
}

/** Absolute, and nothing that QEMU would take for a protocol or an option. */
export function checkImagePath(path: string): void {
  const plain = isAbsolute(path) && path.length <= 4096 && !/[\0\n]/.test(path);
  if (plain) return;
  throw permanent({
    code: 'image-path-invalid',
    message: `${JSON.stringify(path.slice(0, 200))} is no absolute path of an image`,
    remedy: 'Report this with the message.',
  });
}

/**
 * Changes whenever somebody wrote to a file. Device nodes have no times that follow their content: of them it only
 * says which device it is.
 */
export async function imageFingerprint(path: string): Promise<string> {
  const at = await stat(path, { bigint: true });
  if (!at.isFile()) return `device:${String(at.rdev)}`;
  return ['file', at.dev, at.ino, at.size, at.mtimeNs].map(String).join(':');
}
