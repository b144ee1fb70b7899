/** Room in the cache of a conversion host: what is free, without what running imports have still to write there. */
import type { ForeignVm } from '../foreign.ts';
import type { ConversionHostFacts, ImportRequest } from '../import.ts';
import { broughtDisks, expectedBytes } from './disks.ts';
import { marginBytes } from './limits.ts';

/** An import on a conversion host, as far as its cache is concerned. */
export interface CacheTask {
  /** The import's ID; a second task of the same one is not counted again. */
  id: string;
  /** As `cacheNeed` said when it began. */
  neededBytes: number;
  /** Of these, already in the cache, and so no longer free. */
  writtenBytes: number;
}

/** Bytes. `availableBytes` is never below zero; `shortBytes` says by how much too much was promised. */
export interface CacheRoom {
  totalBytes: number;
  freeBytes: number;
  promisedBytes: number;
  availableBytes: number;
  shortBytes: number;
}

/**
 * What a conversion writes beside the disks, until it is committed into them: 12 MB were measured for a Debian; a new
 * initramfs for each of several kernels is what may need hundreds.
 */
const overlayBytes = 512 * 1024 ** 2;

/**
 * What an import takes of the cache: `neededBytes` by what the source tells of the data, `mostBytes` if all is full; of
 * both, `besideBytes` are for the conversion.
 */
export function cacheNeed(
  vm: ForeignVm,
  { shape, convert }: Pick<ImportRequest, 'shape' | 'convert'>,
): { neededBytes: number; mostBytes: number; besideBytes: number } {
  const disks = broughtDisks(vm, shape);
  const beside = convert === 'yes' ? overlayBytes : 0;
  const sum = (bytes: readonly number[]): number => bytes.reduce((all, each) => all + each, beside);
  return {
    neededBytes: sum(disks.map(expectedBytes)),
    mostBytes: sum(disks.map(({ capacityBytes }) => capacityBytes)),
    besideBytes: beside,
  };
}

/** What running tasks have still to write. One that needs more than it said counts as done, never as negative. */
export function promisedBytes(tasks: readonly CacheTask[]): number {
  const open = new Map(
    tasks.map(({ id, neededBytes, writtenBytes }) => [id, Math.max(0, neededBytes - writtenBytes)]),
  );
  return [...open.values()].reduce((all, each) => all + each, 0);
}

/** The cache's room beside what is promised to running tasks. */
export function capacityOf(
  { capacityBytes, availableBytes: freeBytes }: ConversionHostFacts['cache'],
  tasks: readonly CacheTask[],
): CacheRoom {
  return roomBeside({ capacityBytes, freeBytes }, promisedBytes(tasks));
}

/** The same from a host's own facts, which have the sum. */
export const roomOf = ({
  cache,
  promisedBytes: promised,
}: Pick<ConversionHostFacts, 'cache' | 'promisedBytes'>): CacheRoom =>
  roomBeside({ capacityBytes: cache.capacityBytes, freeBytes: cache.availableBytes }, promised);

/** What would be free if nothing were promised: who needs more waits for nobody. */
export const unpromisedBytes = ({ cache }: Pick<ConversionHostFacts, 'cache'>): number =>
  roomOf({ cache, promisedBytes: 0 }).availableBytes;

function roomBeside(
  { capacityBytes, freeBytes }: { capacityBytes: number; freeBytes: number },
  promised: number,
): CacheRoom {
  const left = freeBytes - promised - marginBytes;
  return {
    totalBytes: capacityBytes,
    freeBytes,
    promisedBytes: promised,
    availableBytes: Math.max(0, left),
    shortBytes: Math.max(0, -left),
  };
}
