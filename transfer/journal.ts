import { randomBytes } from 'node:crypto';
import { permanent } from '../domain/errors.ts';
import { fileFault } from './faults.ts';
import { openJournalFile, type JournalStorage } from './journal-file.ts';
import {
  RecordKind,
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  headerReadBytes,
  recordBytes,
  type JournalHeader,
  type JournalRecord,
  type StoredHeader,
} from './journal-format.ts';
import { RangeSet, type Range } from './range-set.ts';

export type { JournalHeader } from './journal-format.ts';

/** Where the journal of a file target lies: beside it. */
export const journalPathFor = (targetPath: string): string => `${targetPath}.vmferry-journal`;

export interface OpenJournalOptions {
  /** The journal's own path: `journalPathFor(target)`, or in the worker's state folder. */
  path: string;
  header: JournalHeader;
  /** `DiskSink.startsZeroed` of the target as it was just opened; remembered when a journal begins. */
  targetStartsZeroed: boolean;
  /** Only tests bring their own. */
  storage?: JournalStorage;
}

const scanBytes = 1024 * 1024;

/**
 * Says which ranges of one target disk are written *and* synced, for one state of the source. The caller keeps the
 * order: write, `sink.flush()`, then `durable(...)`. After any failed write the journal refuses to go on: what
 * the disk then holds shows only when it is opened anew.
 */
export class Journal {
  readonly path: string;
  /** Whether this continues an earlier copy. */
  readonly resumed: boolean;
  /** Why an earlier journal was not continued, as the end of a sentence. */
  readonly restartedBecause?: string;
  /** Ranges that are safe, those of earlier attempts included. */
  readonly safe: RangeSet;
  /** What earlier attempts asked for that did not become safe; it crosses twice. */
  readonly startedNotDurable: RangeSet;
  /** Bytes that earlier attempts, all together, asked for more than once: at most so many crossed twice. */
  readonly askedAgainBytes: number;
  /** Whether target ranges that were never written read as zeroes. */
  readonly targetStartsZeroed: boolean;
  readonly #storage: JournalStorage;
  readonly #seed: number;
  readonly #header: JournalHeader;
  #end: number;
  #broken: unknown;
  #tail: Promise<void> = Promise.resolve();
  #queue: Buffer[] = [];
  #queued: Promise<void> | undefined;

  private constructor(options: OpenJournalOptions, storage: JournalStorage, found: Found) {
    this.path = options.path;
    this.#header = options.header;
    this.#storage = storage;
    this.resumed = found.resumed;
    if (found.restartedBecause !== undefined) this.restartedBecause = found.restartedBecause;
    this.safe = found.safe;
    this.startedNotDurable = found.started.minus(found.safe);
    this.askedAgainBytes = found.startedBytes - found.started.bytes;
    this.targetStartsZeroed = found.targetStartsZeroed;
    this.#seed = found.seed;
    this.#end = found.end;
  }

  /**
   * Opens the journal and locks it; makes it if there is none, starts over if it tells of something else.
   * Throws `journal-in-use` (transient), `target-disk-full`, `target-not-writable`, `disk-io-error`.
   */
  static async open(options: OpenJournalOptions): Promise<Journal> {
    checkHeader(options.header);
    try {
      const storage = options.storage ?? (await openJournalFile(options.path));
      try {
        return new Journal(options, storage, await readOrBegin(storage, options));
      } catch (error) {
        await storage.close();
        throw error;
      }
    } catch (error) {
      throw await fileFault({ side: 'target', what: options.path }, options.path, error);
    }
  }

  get header(): JournalHeader {
    return this.#header;
  }

  /** Notes ranges as asked for; without sync, since a lost note costs honesty, not safety. */
  async started(ranges: readonly Range[]): Promise<void> {
    await this.#append(ranges.map((range) => ({ kind: RecordKind.started, ...range })));
  }

  /** Records ranges whose bytes the sink has flushed; resolves once the record itself is on stable storage. */
  async durable(written: readonly Range[], zeroed: readonly Range[] = []): Promise<void> {
    if (written.length + zeroed.length === 0) return;
    await this.#append([
      ...written.map((range) => ({ kind: RecordKind.durable, ...range })),
      ...zeroed.map((range) => ({ kind: RecordKind.zeroed, ...range })),
    ]);
    await this.#inTurn(() => this.#storage.sync());
    for (const { offset, length } of [...written, ...zeroed]) this.safe.add(offset, length);
  }

  /** Removes the file, durably: once the move is settled or its target deleted. Closes. */
  async remove(): Promise<void> {
    await this.#inTurn(() => this.#storage.remove());
    await this.close();
  }

  /** Lets go of file and lock; the journal stays. Safe to call twice. */
  async close(): Promise<void> {
    await this.#tail;
    if (this.#broken === closed) return;
    this.#broken = closed;
    await this.#storage.close();
  }

  /** Records that come while a write is under way go out together in the next one. */
  async #append(records: readonly JournalRecord[]): Promise<void> {
    for (const record of records) this.#queue.push(encodeRecord(record, this.#seed));
    this.#queued ??= this.#inTurn(async () => {
      const bytes = Buffer.concat(this.#queue);
      this.#queue = [];
      this.#queued = undefined;
      await this.#storage.write(this.#end, bytes);
      this.#end += bytes.length;
    });
    await this.#queued;
  }

  /** One file operation at a time; after a failure, none. */
  async #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#tail.then(async () => {
      if (this.#broken !== undefined) throw this.#broken as Error;
      try {
        await act();
      } catch (error) {
        const place = { side: 'target', what: this.path } as const;
        this.#broken = await fileFault(place, this.path, error);
        throw this.#broken;
      }
    });
    this.#tail = turn.catch(() => undefined);
    await turn;
  }
}

const closed = new Error('the journal is closed');

interface Found {
  resumed: boolean;
  restartedBecause?: string;
  safe: RangeSet;
  started: RangeSet;
  startedBytes: number;
  targetStartsZeroed: boolean;
  seed: number;
  end: number;
}

const readOrBegin = async (
  storage: JournalStorage,
  options: OpenJournalOptions,
): Promise<Found> => {
  const head = Buffer.alloc(headerReadBytes);
  const length = await storage.read(0, head);
  if (length === 0) return begin(storage, options);
  const reading = decodeHeader(head.subarray(0, length));
  if ('damage' in reading) return begin(storage, options, reading.damage);
  const difference = differenceOf(reading.header, options.header);
  if (difference !== undefined) return begin(storage, options, difference);
  const { seed, header } = reading;
  const found = await scan(storage, reading.bytes, seed);
  // What follows the last whole record is cut off for good, or later records would lie behind it unseen.
  await storage.truncate(found.end);
  await storage.sync();
  await storage.syncName();
  const { targetStartsZeroed } = header;
  return { resumed: true, targetStartsZeroed, seed, ...found };
};

const begin = async (
  storage: JournalStorage,
  options: OpenJournalOptions,
  restartedBecause?: string,
): Promise<Found> => {
  // Emptied durably first: old records must not come back behind the new header.
  await storage.truncate(0);
  await storage.sync();
  const restarted = restartedBecause !== undefined;
  const stored: StoredHeader = {
    ...options.header,
    // After an earlier copy the target may hold anything, whatever it looks like.
    targetStartsZeroed: options.targetStartsZeroed && !restarted,
    nonce: randomBytes(16).toString('hex'),
  };
  const bytes = encodeHeader(stored);
  await storage.write(0, bytes);
  await storage.sync();
  await storage.syncName();
  return {
    resumed: false,
    ...(restarted && { restartedBecause }),
    safe: new RangeSet(),
    started: new RangeSet(),
    startedBytes: 0,
    targetStartsZeroed: stored.targetStartsZeroed,
    seed: bytes.readUInt32BE(bytes.length - 4),
    end: bytes.length,
  };
};

const differenceOf = (stored: JournalHeader, wanted: JournalHeader): string | undefined => {
  if (stored.moveId !== wanted.moveId) return `it belongs to the move ${stored.moveId}`;
  if (stored.diskName !== wanted.diskName) return `it belongs to the disk ${stored.diskName}`;
  if (stored.sizeBytes !== wanted.sizeBytes) {
    return `the source had ${stored.sizeBytes} bytes and has ${wanted.sizeBytes} now`;
  }
  if (stored.fingerprint !== wanted.fingerprint) return 'the source has changed since';
  // Records of another chunk size are as good as any: only newly copied pieces follow the new one.
  return undefined;
};

const scan = async (
  storage: JournalStorage,
  from: number,
  seed: number,
): Promise<Pick<Found, 'safe' | 'started' | 'startedBytes' | 'end'>> => {
  const [safe, started] = [new RangeSet(), new RangeSet()];
  let startedBytes = 0;
  const buffer = Buffer.alloc(scanBytes);
  let end = from;
  for (;;) {
    const filled = buffer.subarray(0, await storage.read(end, buffer));
    let at = 0;
    for (;;) {
      const record = decodeRecord(filled, at, seed);
      if (record === undefined) break;
      const { kind, offset, length } = record;
      if (kind === RecordKind.started) {
        started.add(offset, length);
        startedBytes += length;
      } else {
        safe.add(offset, length);
      }
      at += recordBytes;
    }
    end += at;
    // A record that the buffer cut in two is read again; a torn or missing one ends the journal.
    if (filled.length < scanBytes || filled.length - at >= recordBytes) break;
  }
  return { safe, started, startedBytes, end };
};

const checkHeader = ({ sizeBytes, chunkBytes }: JournalHeader): void => {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && chunkBytes > 0) return;
  throw permanent({
    code: 'disk-size-invalid',
    message: `a disk of ${sizeBytes} bytes in chunks of ${chunkBytes}`,
    remedy: 'Report this with the message.',
  });
};
