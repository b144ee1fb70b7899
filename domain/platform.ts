import type { HostFacts } from './host.ts';
import type { VmFacts, VmSummary, VmState } from './vm.ts';

/*
 *   SourcePlatform                                      TargetPlatform
 *   list, inspect, stop, ...                            facts, createDisks, define, start, ...
 *        | openDisk                                           | openSink
 *        v                                                    v
 *   DiskSource  --- extents, ranged reads (NBD) --->  copy ---> DiskSink  (positioned writes, or NBD)
 *                                                      |
 *                                                   journal: what is written *and* synced
 */

/** A run of bytes of one kind. `zero`: reads as zeroes, nothing has to cross. */
export interface Extent {
  offset: number;
  length: number;
  zero: boolean;
  /** The target has these bytes from an earlier round (clean in the dirty bitmap): nothing to do. */
  unchanged?: true;
}

/** A disk that can be read by ranges; nearly always an NBD export. Sizes and offsets are bytes below 2^53. */
export interface DiskSource {
  readonly sizeBytes: number;
  /** Extents that cover `[offset, offset + length)` in order, without holes or overlaps. */
  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent>;
  /** Fills `into` with the bytes at `offset`. Rejects on a short or failed read. May be called concurrently. */
  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** How many reads may usefully be in flight. */
  readonly parallelism: number;
  close(): Promise<void>;
}

/** A disk that can be written by ranges. */
export interface DiskSink {
  readonly sizeBytes: number;
  /** Whether ranges never written read as zeroes (a fresh sparse file or image). */
  readonly startsZeroed: boolean;
  /** Writes all of `data` at `offset`. May be called concurrently on disjoint ranges. */
  write(offset: number, data: Uint8Array, signal?: AbortSignal): Promise<void>;
  writeZeroes(offset: number, length: number, signal?: AbortSignal): Promise<void>;
  /** Resolves once all completed writes are on stable storage. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface SourcePlatform {
  list(): Promise<VmSummary[]>;
  /** By name or UUID; throws `vm-not-found`. */
  inspect(vm: string): Promise<VmFacts>;
  state(uuid: string): Promise<VmState>;
  /** The persistent definition, secrets included. */
  definition(uuid: string): Promise<string>;
  requestShutdown(uuid: string): Promise<void>;
  forceOff(uuid: string): Promise<void>;
}

export interface TargetPlatform {
  facts(): Promise<Omit<HostFacts, 'guard' | 'migrationAddress' | 'version' | 'name'>>;
}
