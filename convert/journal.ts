/**
 * What became of each disk of a conversion: a file of JSON lines, each synced before the step after it begins.
 *
 *   none -> overlay-made -> converted -> committing -> committed
 *              ^               |
 *              +-- made anew --+      never again once any disk is `committing`
 */
import { open, readFile, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { needsOperator, unsafe } from '../domain/errors.ts';
import { syncFolderOf } from './durable-file.ts';

export const OverlayState = {
  overlayMade: 'overlay-made',
  converted: 'converted',
  committing: 'committing',
  committed: 'committed',
} as const;
export type OverlayState = (typeof OverlayState)[keyof typeof OverlayState];

const diskSchema = z.object({
  key: z.string().max(256),
  base: z.string().max(4096),
  baseFormat: z.enum(['raw', 'qcow2']),
  overlay: z.string().max(4096),
});

/** A disk of the journal: the copied image below, the overlay that the conversion writes to above. Paths are absolute. */
export type JournalDisk = z.infer<typeof diskSchema>;

const headerSchema = z.object({
  version: z.literal(1),
  id: z.string().max(128),
  disks: z.array(diskSchema).min(1).max(256),
});
const recordSchema = z.object({
  disk: z.string().max(256),
  state: z.enum(OverlayState),
  /** What the base looked like when the overlay was laid over it. */
  base: z.string().max(256).optional(),
});

/** A conversion has a few lines a disk and attempt; more than this is no journal. */
const maxJournalBytes = 4 * 1024 * 1024;

export interface DiskProgress {
  disk: JournalDisk;
  /** Undefined: nothing was done. */
  state: OverlayState | undefined;
  /** The base's fingerprint at `overlay-made`. */
  base: string;
}

/** One writer at a time: the caller sees to it that one attempt of a conversion runs. */
export class ConversionJournal {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #disks: Map<string, DiskProgress>;

  private constructor(path: string, file: FileHandle, disks: Map<string, DiskProgress>) {
    this.path = path;
    this.#file = file;
    this.#disks = disks;
  }

  /**
   * Opens the journal or begins one. A torn last line, as a power cut leaves it, is dropped. Throws
   * `conversion-journal-foreign` (it tells of another conversion or other disks), `conversion-journal-damaged`.
   */
  static async open(
    path: string,
    header: { id: string; disks: JournalDisk[] },
  ): Promise<ConversionJournal> {
    const disks = new Map<string, DiskProgress>(
      header.disks.map((disk) => [disk.key, { disk, state: undefined, base: '' }]),
    );
    const file = await open(path, 'a+', 0o600);
    try {
      const { size } = await file.stat();
      if (size > maxJournalBytes) throw damaged(path, `it has ${size} bytes`);
      const text = await readFile(path, 'utf8');
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      if (whole.length < text.length) {
        await file.truncate(Buffer.byteLength(whole));
        await file.sync();
      }
      const [first, ...rest] = whole.split('\n').slice(0, -1);
      if (first === undefined) {
        await append(file, { version: 1, ...header });
        await syncFolderOf(path);
      } else {
        checkHeader(path, first, header);
        for (const line of rest) applyLine(path, line, disks);
      }
      return new ConversionJournal(path, file, disks);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** In the order of the header. */
  get disks(): DiskProgress[] {
    return [...this.#disks.values()];
  }

  /** Whether writing to any base has begun: from then on the only way is onward. */
  get commitBegun(): boolean {
    return this.disks.some(({ state }) => state === 'committing' || state === 'committed');
  }

  /** Whether every disk has reached `state` or gone beyond. */
  reached(state: OverlayState): boolean {
    return this.disks.every((disk) => rank(disk.state) >= rank(state));
  }

  /** Resolves once the state is on stable storage. */
  async record(key: string, state: OverlayState, base?: string): Promise<void> {
    const progress = this.#disks.get(key);
    if (progress === undefined) throw new RangeError(`${this.path} has no disk ${key}`);
    await append(this.#file, { disk: key, state, ...(base === undefined ? {} : { base }) });
    progress.state = state;
    if (base !== undefined) progress.base = base;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Removes the file, durably: once the move is settled. Closes. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.path);
    await syncFolderOf(this.path);
  }
}

const order: readonly (OverlayState | undefined)[] = [undefined, ...Object.values(OverlayState)];
const rank = (state: OverlayState | undefined): number => order.indexOf(state);

async function append(file: FileHandle, line: object): Promise<void> {
  await file.appendFile(`${JSON.stringify(line)}\n`);
  await file.sync();
}

function checkHeader(
  path: string,
  line: string,
  wanted: { id: string; disks: JournalDisk[] },
): void {
  const header = headerSchema.safeParse(parseJson(path, line));
  if (!header.success) throw damaged(path, 'its first line is no header');
  const same = (one: object, other: object): boolean =>
    JSON.stringify(one) === JSON.stringify(other);
  const { id, disks } = header.data;
  if (id === wanted.id && same(disks, diskSchema.array().parse(wanted.disks))) return;
  throw unsafe({
    code: 'conversion-journal-foreign',
    message: `${path} tells of the conversion ${id} of ${disks.map((disk) => disk.base).join(', ')}`,
    remedy:
      'Nothing was written. If that conversion is over, remove its folder; else give this one a folder of its own.',
  });
}

function applyLine(path: string, line: string, disks: Map<string, DiskProgress>): void {
  const record = recordSchema.safeParse(parseJson(path, line));
  const progress = record.success ? disks.get(record.data.disk) : undefined;
  if (!record.success || progress === undefined) throw damaged(path, `it has the line ${line}`);
  progress.state = record.data.state;
  if (record.data.base !== undefined) progress.base = record.data.base;
}

function parseJson(path: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw damaged(path, 'it has a line that is no JSON');
  }
}

const damaged = (path: string, why: string) =>
  needsOperator({
    code: 'conversion-journal-damaged',
    message: `the journal of a conversion, ${path}, is damaged: ${why.slice(0, 300)}`,
    remedy:
      'If no disk of it was committed, remove its folder and convert again: nothing is copied anew. Else look at the disks by hand.',
  });
