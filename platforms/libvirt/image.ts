/** What an image on this host is, by its own header. */
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { needsOperator, permanent } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { BackingLayer } from '../../domain/vm.ts';
import { runProgram } from './run-program.ts';
import type { ProgramResult } from './run-program.ts';
import { imageArguments, withSecret } from './served-image.ts';
import type { ReadSecret, ServedImage } from './served-image.ts';

/** An image's own header, read without a lock. */
export interface ImageFacts {
  /** Size that the guest sees, bytes. */
  capacityBytes: number;
  /** Bytes taken on the storage by the top image. */
  allocationBytes: number;
  /** Paths below the top image, nearest first; of what is no file as QEMU calls it. */
  backing: string[];
  /** What each of `backing` is, in its order. */
  layers: BackingLayer[];
}

/** Where an image is looked at. */
export interface ImageContext {
  host: string;
  signal?: AbortSignal;
  /** Asked for the secrets of network disks. */
  readSecret?: ReadSecret;
}

const layerSchema = z.object({
  filename: z.string(),
  format: z.string(),
  encrypted: z.boolean().optional(),
  'virtual-size': z.int().nonnegative(),
  'actual-size': z.int().nonnegative().optional(),
  'backing-filename': z.string().optional(),
  'full-backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
});
type Layer = z.infer<typeof layerSchema>;
const chainSchema = z.array(layerSchema).min(1);

/** Images in a chain, the top one included. libvirt itself gives up at 200; a chain this long is a mistake. */
const maxLayers = 64;
const toolTimeoutMs = 30_000;

/** Runs one of QEMU's tools on an image; `toolTimeoutMs` is its limit. */
export const runTool = async (
  program: string,
  { first, image }: { first: readonly string[]; image: ServedImage },
  context: ImageContext,
): Promise<ProgramResult> =>
  withSecret(image, context, async (secret) => {
    const { host, signal } = context;
    const result = await runProgram(program, [...first, ...imageArguments(image, host)], {
      timeoutMs: toolTimeoutMs,
      ...(secret === undefined ? {} : { descriptor: secret }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (result.missing) throw programMissing(program, host);
    return result;
  });

/**
 * Reads an image and its backing chain. Throws `disk-unreadable`, `backing-format-unstated`, `chain-too-long`,
 * `path-unusable`, `network-disk-unsupported`, `secret-unreadable`, `program-missing`.
 */
export async function imageFacts(image: ServedImage, context: ImageContext): Promise<ImageFacts> {
  // The format is stated, never probed: a guest can write any header into a raw disk.
  const chain = image.format === 'qcow2' ? ['--backing-chain'] : [];
  const first = ['info', '--force-share', '--output=json', ...chain];
  const { stdout, failed, stderr } = await runTool('qemu-img', { first, image }, context);
  const { host } = context;
  if (failed) throw unreadable(image, { host, why: stderr || 'qemu-img did not answer in time' });
  const parsed = chainSchema.safeParse(parseJson(stdout));
  if (!parsed.success)
    throw unreadable(image, { host, why: 'qemu-img says what is not understood' });
  const [top, ...below] = parsed.data;
  if (parsed.data.length > maxLayers) throw tooLong(image, { host, layers: parsed.data.length });
  const unstated = parsed.data.find(statesNoBackingFormat);
  if (unstated !== undefined) throw formatUnstated(image, { host, layer: unstated });
  return {
    capacityBytes: top?.['virtual-size'] ?? 0,
    allocationBytes: top?.['actual-size'] ?? 0,
    backing: below.map(({ filename }) => filename),
    layers: await Promise.all(below.map(layerOf)),
  };
}

const layerOf = async (layer: Layer): Promise<BackingLayer> => ({
  // A format of its own to whoever would make such an image again.
  format: layer.encrypted === true ? `encrypted ${layer.format}` : layer.format,
  // QEMU's name of what is no file (`json:...`, `nbd://...`) is none for the system either.
  isFile: await stat(layer.filename).then(
    (found) => found.isFile(),
    () => false,
  ),
  capacityBytes: layer['virtual-size'],
  allocationBytes: layer['actual-size'] ?? 0,
});

/** QEMU would probe such a backing image, and whoever wrote its first bytes would choose what is opened. */
const statesNoBackingFormat = (layer: Layer): boolean =>
  layer['backing-filename'] !== undefined && layer['backing-filename-format'] === undefined;

/** `qemu-img info` gives an object for one image, an array for a chain. */
function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [value];
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A tool's words on one line, for messages. */
export const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').slice(0, 300);

/** The image cannot be opened as its definition says. */
export const unreadable = (
  image: ServedImage,
  { host, why }: { host: string; why: string },
): VmFerryError =>
  permanent({
    code: 'disk-unreadable',
    message: `${image.path} on ${host} cannot be read as ${image.format}: ${oneLine(why)}`,
    remedy:
      'Correct path and format of the disk in the definition of the VM, or mend the image (qemu-img check).',
    host,
  });

const tooLong = (image: ServedImage, { host, layers }: { host: string; layers: number }) =>
  permanent({
    code: 'chain-too-long',
    message: `${image.path} on ${host} lies on ${layers - 1} backing images; ${maxLayers - 1} are the most`,
    remedy: 'Shorten the chain: virsh blockcommit, or qemu-img rebase while the VM is off.',
    host,
  });

const formatUnstated = (image: ServedImage, { host, layer }: { host: string; layer: Layer }) =>
  permanent({
    code: 'backing-format-unstated',
    message: `${layer.filename} on ${host}, which ${image.path} is made of, does not say which format its backing image ${layer['backing-filename'] ?? ''} has`,
    remedy: `State it, while the VM is off: qemu-img rebase -u -b ${layer['backing-filename'] ?? 'BACKING'} -F FORMAT ${layer.filename}`,
    host,
  });

const programMissing = (program: string, host: string): VmFerryError =>
  needsOperator({
    code: 'program-missing',
    message: `${program} cannot be run on ${host}`,
    remedy: 'Install it (Debian: qemu-utils), then `vmferry retry`.',
    host,
  });
