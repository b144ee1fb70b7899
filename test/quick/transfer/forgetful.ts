import type { DiskSink, DiskSource, Extent } from '../../../domain/platform.ts';
import type { JournalStorage } from '../../../transfer/journal-file.ts';

type Operation =
  { kind: 'write'; position: number; data: Buffer } | { kind: 'truncate'; length: number };

/** Draws a number in [0, 1); a seeded generator, so that a failure can be run again. */
export type Dice = () => number;

export const seededDice = (seed: number): Dice => {
  let state = seed >>> 0;
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** Applies in place where the length allows it. */
const apply = (content: Buffer, operation: Operation): Buffer => {
  const { kind } = operation;
  const end = kind === 'write' ? operation.position + operation.data.length : operation.length;
  const padding = Buffer.alloc(Math.max(0, end - content.length));
  const sized = padding.length > 0 ? Buffer.concat([content, padding]) : content;
  if (kind === 'truncate') return sized.subarray(0, end);
  operation.data.copy(sized, operation.position);
  return sized;
};

/**
 * A file whose unsynced operations a crash may drop, keep, or tear: any subset of them, each write any part of
 * itself. What was synced stays.
 */
export class ForgetfulFile {
  #durable: Buffer;
  #unsynced: Operation[] = [];
  #now: Buffer;

  constructor(content: Uint8Array = Buffer.alloc(0)) {
    this.#durable = Buffer.from(content);
    this.#now = Buffer.from(content);
  }

  /** What a reader sees. */
  get content(): Buffer {
    return this.#now;
  }

  do(operation: Operation): void {
    this.#unsynced.push(operation);
    this.#now = apply(this.#now, operation);
  }

  /** How many operations wait for a sync: what a sync that begins now will cover. */
  get pending(): number {
    return this.#unsynced.length;
  }

  /** Makes the first `count` waiting operations durable. */
  sync(count: number): void {
    for (const operation of this.#unsynced.splice(0, count)) {
      this.#durable = apply(this.#durable, operation);
    }
  }

  /** The machine dies. */
  crash(dice: Dice): void {
    for (const operation of this.#unsynced) {
      const fate = dice();
      if (fate < 0.4) continue;
      if (fate < 0.7 || operation.kind === 'truncate') {
        this.#durable = apply(this.#durable, operation);
        continue;
      }
      const { position, data } = operation;
      const from = Math.floor(dice() * data.length);
      const to = from + Math.floor(dice() * (data.length - from + 1));
      const torn = {
        kind: 'write',
        position: position + from,
        data: data.subarray(from, to),
      } as const;
      this.#durable = apply(this.#durable, torn);
    }
    this.#unsynced = [];
    this.#now = Buffer.from(this.#durable);
  }
}

class PowerCut extends Error {
  override readonly name = 'PowerCut';
}

/** Lets so many operations pass, then none: from then on the process does not run any more. */
export class Fuse {
  #left: number;
  constructor(operations: number) {
    this.#left = operations;
  }
  get blown(): boolean {
    return this.#left <= 0;
  }
  burn(): void {
    if (this.#left <= 0) throw new PowerCut('the power was cut');
    this.#left--;
  }
}

/** Comes back on a later turn of the event loop, as real input and output do. */
const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const forgetfulStorage = (file: ForgetfulFile, fuse: Fuse): JournalStorage => {
  const step = async (act: () => void): Promise<void> => {
    fuse.burn();
    await later();
    if (fuse.blown) throw new PowerCut('the power was cut');
    act();
  };
  return {
    read: async (position, into) => {
      await later();
      const part = file.content.subarray(position, position + into.length);
      into.set(part);
      return part.length;
    },
    write: (position, data) =>
      step(() => file.do({ kind: 'write', position, data: Buffer.from(data) })),
    truncate: (length) => step(() => file.do({ kind: 'truncate', length })),
    sync: () => {
      const covered = file.pending;
      return step(() => file.sync(covered));
    },
    syncName: () => step(() => undefined),
    remove: () => step(() => file.do({ kind: 'truncate', length: 0 })),
    close: () => Promise.resolve(),
  };
};

export const forgetfulSink = (file: ForgetfulFile, fuse: Fuse, startsZeroed: boolean): DiskSink => {
  const write = async (offset: number, data: Buffer): Promise<void> => {
    fuse.burn();
    await later();
    if (fuse.blown) throw new PowerCut('the power was cut');
    file.do({ kind: 'write', position: offset, data });
  };
  return {
    sizeBytes: file.content.length,
    startsZeroed,
    write: (offset, data) => write(offset, Buffer.from(data)),
    writeZeroes: (offset, length) => write(offset, Buffer.alloc(length)),
    flush: async () => {
      fuse.burn();
      // What counts as flushed is what had been written when the flush was asked for.
      const covered = file.pending;
      await later();
      if (fuse.blown) throw new PowerCut('the power was cut');
      file.sync(covered);
    },
    close: () => Promise.resolve(),
  };
};

const nothing = Buffer.alloc(1024 * 1024);

/** A disk in memory with extents of a fixed grain; `onRead` may fail or wait. */
export const memorySource = (
  content: Buffer,
  grain: number,
  onRead: (offset: number, length: number) => Promise<void> = later,
): DiskSource => ({
  sizeBytes: content.length,
  parallelism: 4,
  async *extents(offset: number, length: number) {
    await later();
    let open: Extent | undefined;
    for (let at = offset; at < offset + length;) {
      const run = Math.min(grain - (at % grain), offset + length - at);
      const zero = nothing.compare(content, at, at + run, 0, run) === 0;
      if (open?.zero === zero) {
        open.length += run;
      } else {
        if (open) yield open;
        open = { offset: at, length: run, zero };
      }
      at += run;
    }
    if (open) yield open;
  },
  read: async (offset, into) => {
    await onRead(offset, into.length);
    into.set(content.subarray(offset, offset + into.length));
  },
  close: () => Promise.resolve(),
});

/** Random bytes with holes; no two grains are alike. */
export const sparseContent = (length: number, grain: number, dice: Dice): Buffer => {
  const content = Buffer.alloc(length);
  for (let at = 0; at < length; at += grain) {
    if (dice() < 0.35) continue;
    const word = Buffer.alloc(4);
    word.writeUInt32BE(1 + Math.floor(dice() * 0xfffffffe));
    content.fill(word, at, Math.min(at + grain, length));
  }
  return content;
};
