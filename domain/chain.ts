import type { PlaceKind, VmDisk } from './vm.ts';

/*
 *   vda       top of the chain: the guest writes here        copied last
 *   vda.1     what it lies on
 *   vda.2     the bottom, with nothing below it              copied first
 */

/** Whether a name is that of an image below a disk's top one. No disk of a definition has a dot in its name. */
export const isBelow = (name: string): boolean => name.includes('.');

/** The disk that an image belongs to: `vda` for `vda` and for `vda.2`. */
export const diskOf = (name: string): string => name.replace(/\..*$/, '');

/** Each image of a disk as a disk of its own, top first; of one without a chain the disk itself. */
export function imagesOf(disk: VmDisk): VmDisk[] {
  const { backing, layers = [], volume: _volume, ...rest } = disk;
  if (backing.length === 0) return [disk];
  const below = backing.flatMap((path, index): VmDisk[] => {
    const layer = layers[index];
    if (layer === undefined) return [];
    const { format, capacityBytes, allocationBytes } = layer;
    const name = `${disk.name}.${index + 1}`;
    const image = { ...rest, name, path, kind: 'file' as const, format };
    return [{ ...image, capacityBytes, allocationBytes, backing: [] }];
  });
  return [{ ...disk, backing: [] }, ...below];
}

/** What a kept chain is asked to become on the target. */
export interface WantedChain {
  /** Of the pool that it goes to; undefined where there is none, which is another check's to name. */
  poolKind: PlaceKind | undefined;
  /** The format that somebody asked for, if anybody did. */
  format: string | undefined;
}

/** Why a disk's chain cannot arrive as it is, as the end of a sentence; undefined if it can. */
export function whyNotKept(disk: VmDisk, wanted: WantedChain): string | undefined {
  const { backing, layers } = disk;
  if (layers?.length !== backing.length) return 'its host does not tell what they are';
  if (disk.kind !== 'file') return 'the top one is no file';
  const odd = backing.find((_, index) => {
    const layer = layers[index];
    return layer?.isFile !== true || (layer.format !== 'raw' && layer.format !== 'qcow2');
  });
  if (odd !== undefined) return `${odd} is no raw or qcow2 file`;
  if (wanted.poolKind !== undefined && wanted.poolKind !== 'file')
    return 'the pool that it goes to does not hold files';
  if (wanted.format !== undefined && wanted.format !== disk.format)
    return `the format ${wanted.format} was asked for, and the disk is ${disk.format}`;
  return undefined;
}
