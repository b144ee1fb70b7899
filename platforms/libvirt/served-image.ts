/** An image as QEMU's programs are told to open it: file, device or network, its format stated, its secret hidden. */
import { randomBytes } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { needsOperator, permanent } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { DiskFormat, NetworkPlace, SecretRef } from '../../domain/vm.ts';
import { imageSecretId, protocolOptions } from './network-place.ts';

/** The image that a program opens. */
export interface ServedImage {
  /** Absolute path of a file or device; of a network disk its name for people. */
  path: string;
  format: DiskFormat;
  /** Present for network disks: then it, not `path`, says what is opened. */
  network?: NetworkPlace;
}

/** Gives the value of a secret of this host's libvirt; rejects if libvirt does not have it or keeps it to itself. */
export type ReadSecret = (secret: SecretRef) => Promise<Uint8Array>;

/** The descriptor at which a started program finds the secret of its image. */
const secretDescriptor = 3;

/** One value in a comma-separated list of QEMU's: a comma is written twice. */
export const escapeOption = (value: string): string => value.replaceAll(',', ',,');

/**
 * The last arguments of qemu-nbd, qemu-img or qemu-io. The format is always stated: a probed one could be forged by
 * the guest. A path has to be absolute: `nbd:...` or `json:...` would be read as instructions. A secret is read from
 * `secretDescriptor`, since everybody sees a command line. Throws `path-unusable`, `network-disk-unsupported`.
 */
export function imageArguments({ path, format, network }: ServedImage, host: string): string[] {
  if (network !== undefined) {
    const options = protocolOptions(network, host).map(
      ([name, value]) => `file.${name}=${escapeOption(value)}`,
    );
    const image = [`driver=${format}`, ...options].join(',');
    return [...secretArguments(network), '--image-opts', '--', image];
  }
  if (!isAbsolute(path) || path.includes('\0') || path.length > 4096) {
    throw permanent({
      code: 'path-unusable',
      message: `${host} cannot serve the image ${JSON.stringify(path.slice(0, 200))}: it is no absolute path`,
      remedy: 'Correct the path of the disk in the definition of the VM.',
      host,
    });
  }
  return [`--format=${format}`, '--', path];
}

const secretArguments = ({ auth }: NetworkPlace): string[] =>
  auth === undefined
    ? []
    : ['--object', `secret,id=${imageSecretId},format=base64,file=/dev/fd/${secretDescriptor}`];

/**
 * Runs `act` with a descriptor that holds the image's secret, in base64, or undefined if it needs none. It is a file
 * in memory that has no name any more, so nothing stays of it when its last reader ends. (A pipe would do as well,
 * but Node's are sockets, which cannot be opened again by /dev/fd.) Throws `secret-unreadable`.
 */
export async function withSecret<T>(
  { path, network }: ServedImage,
  { host, readSecret }: { host: string; readSecret?: ReadSecret },
  act: (descriptor: number | undefined) => Promise<T>,
): Promise<T> {
  if (network?.auth === undefined) return act(undefined);
  const { secret } = network.auth;
  if (readSecret === undefined) throw unreadable({ path, host, why: 'nothing gives it here' });
  const value = await readSecret(secret).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw unreadable({ path, host, why, cause });
  });
  const file = await namelessFile();
  try {
    await file.write(Buffer.from(value).toString('base64'), 0);
    return await act(file.fd);
  } finally {
    await file.close();
  }
}

async function namelessFile(): Promise<FileHandle> {
  const name = `.vmferry-${randomBytes(12).toString('hex')}`;
  const make = async (folder: string): Promise<FileHandle> => {
    const path = join(folder, name);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return file;
  };
  // Tried, not asked first: only the making itself goes by all the rights that the worker has.
  return make('/dev/shm').catch(() => make(tmpdir()));
}

const unreadable = (at: {
  path: string;
  host: string;
  why: string;
  cause?: unknown;
}): VmFerryError =>
  needsOperator({
    code: 'secret-unreadable',
    message: `${at.host} cannot open ${at.path}: the secret that it needs is not to be had from libvirt: ${at.why}`,
    remedy:
      'Define the secret there as one that is not private (virsh secret-define, secret-set-value), then `vmferry retry`.',
    host: at.host,
    ...(at.cause === undefined ? {} : { cause: at.cause }),
  });
