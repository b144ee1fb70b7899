import { mkdir, open, readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { needsOperator, permanent, unsafe } from '../domain/errors.ts';
import { assertTransition } from '../domain/ownership.ts';
import type { DiskIdentity, LedgerEntry, OwnerState } from '../domain/ownership.ts';
import { admissionState, isAwaited, newAdmission, notAgain, notAwaited } from './admission.ts';
import type { AdmissionRequest, AdmissionState } from './admission.ts';
import { withResolvedPath } from './disk-line.ts';
import { realIo, replaceDurably } from './durable.ts';
import type { DurableIo } from './durable.ts';
import { whatIsWrong } from './entry-check.ts';
import {
  LedgerFormatError,
  formatLedgerFile,
  isVmUuid,
  parseLedgerFile,
  shorten,
} from './ledger-file.ts';
import type { LedgerRecord } from './ledger-file.ts';
import { withVmLock } from './lock.ts';

export interface LedgerOptions {
  /** The state folder that the installed hook was told, e.g. `/var/lib/vmferry`. */
  stateDir: string;
  /** Name of this host, for errors. */
  host: string;
  /** How long a change waits for the VM's lock, ms. */
  lockTimeoutMs?: number;
  /** For tests that cut the power. */
  io?: DurableIo;
}

/** The state that a VM is to have; see `assertTransition` for what is allowed. */
export interface TransitionRequest {
  to: OwnerState;
  epoch: number;
  migrationId: string;
  name: string;
  /** Cut to 1,024 bytes. */
  note: string;
  /** Without it, the disks on file stay. At most 256, and only those that no other VM may use: the hook refuses whoever else has one. */
  disks?: DiskIdentity[];
  signal?: AbortSignal;
}

/** What the folder holds: entries, and files that cannot be trusted (their VMs do not start). */
export interface LedgerListing {
  entries: LedgerEntry[];
  corrupt: { uuid: string; file: string; reason: string }[];
}

/**
 * The host's record of who may run each VM: `<stateDir>/ledger/<uuid>`, read by the libvirt hook at every start.
 * Every change is made under the VM's lock, checked against what is on disk right then, and on stable storage when
 * its promise resolves. A file that was not written as a whole throws `ledger-corrupt` (needs an operator).
 */
export class Ledger {
  readonly stateDir: string;
  readonly host: string;
  readonly folder: string;
  readonly #lockTimeoutMs: number;
  readonly #io: DurableIo;

  constructor(options: LedgerOptions) {
    this.stateDir = options.stateDir;
    this.host = options.host;
    this.folder = join(options.stateDir, 'ledger');
    this.#lockTimeoutMs = options.lockTimeoutMs ?? 30_000;
    this.#io = options.io ?? realIo;
  }

  /** The entry of a VM; undefined if vmferry never saw it here. */
  async read(uuid: string): Promise<LedgerEntry | undefined> {
    const record = await this.#record(this.#checkUuid(uuid));
    return record === undefined ? undefined : entryOf(record);
  }

  /** All entries, in the order of their UUIDs. A corrupt file is listed, not thrown: it must not hide the others. */
  async list(): Promise<LedgerListing> {
    const listing: LedgerListing = { entries: [], corrupt: [] };
    for (const uuid of (await this.#names()).filter(isVmUuid).sort()) {
      try {
        const entry = await this.read(uuid);
        if (entry !== undefined) listing.entries.push(entry);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        listing.corrupt.push({ uuid, file: this.#path(uuid), reason });
      }
    }
    return listing;
  }

  /**
   * Puts the VM into a state and gives the entry that stands then. The same state, epoch and migration again is no
   * change (but may refresh name, note and disks, and keeps an admission; any other change drops it). Throws `stale-epoch` and `ownership-conflict` (unsafe),
   * `ledger-corrupt` and `ledger-unwritable` (needs an operator), `vm-locked` (transient).
   */
  async transition(uuid: string, request: TransitionRequest): Promise<LedgerEntry> {
    const id = this.#checkUuid(uuid);
    return this.#locked(id, `set ${request.to}`, request.signal, async () => {
      const current = await this.#record(id);
      const { to, epoch, migrationId } = request;
      assertTransition(current, { uuid: id, host: this.host, to, epoch, migrationId });
      const admission = isAwaited(current, request) ? current?.admission : undefined;
      return this.#write({
        ...(admission === undefined ? {} : { admission }),
        uuid: id,
        name: request.name,
        epoch,
        state: to,
        migrationId,
        note: shorten(request.note),
        disks: request.disks ?? current?.disks ?? [],
      });
    });
  }

  /**
   * The token that lets one live migration of that move in, once, past the state `incoming`: the hook takes it from the
   * definition that libvirt passes along. While nothing came in by it, asking again gives the same one. A used or
   * withdrawn one is only replaced by `again`: the caller's word that the VM was seen to run on the source and to be
   * gone from here. Throws `ownership-conflict`, `stale-epoch`, `admission-used` and `admission-withdrawn` (unsafe).
   */
  async admit(
    uuid: string,
    request: AdmissionRequest & { again?: boolean; signal?: AbortSignal },
  ): Promise<string> {
    const id = this.#checkUuid(uuid);
    return this.#locked(id, 'admit a live migration', request.signal, async () => {
      const about = { ...request, uuid: id, host: this.host };
      const current = await this.#record(id);
      if (current === undefined || !isAwaited(current, request)) throw notAwaited(current, about);
      const runs = await this.runCount(id);
      const state = admissionState(current.admission, runs);
      const isOver = state === 'used' || state === 'withdrawn';
      if (isOver && request.again !== true) throw notAgain(state, about);
      const kept = state === 'open' ? current.admission : undefined;
      const admission = kept ?? newAdmission(runs);
      // Written also if it stands there: an attempt that died may not have synced it.
      await this.#write({ ...current, admission });
      return admission.token;
    });
  }

  /**
   * Takes the admission of that move back, also before one was given, so that a late attempt gets none, and tells what
   * came of it: `withdrawn`, nothing came in by it and nothing will; `used`, a start was counted, look at libvirt;
   * `none`, the ledger does not await that move (any more), so that nothing it was ever given is honoured.
   */
  async withdraw(
    uuid: string,
    request: AdmissionRequest & { signal?: AbortSignal },
  ): Promise<Exclude<AdmissionState, 'open'>> {
    const id = this.#checkUuid(uuid);
    return this.#locked(id, 'withdraw an admission', request.signal, async () => {
      const current = await this.#record(id);
      if (current === undefined || !isAwaited(current, request)) return 'none';
      const runs = current.admission?.runs ?? (await this.runCount(id));
      await this.#write({ ...current, admission: { token: '', runs } });
      // The hook counts before it reads the entry once more, and here it is written before the count is read: one of
      // the two sees the other.
      return (await this.runCount(id)) === runs ? 'withdrawn' : 'used';
    });
  }

  /** How the admission of that move stands: `none`, `open`, `used` or `withdrawn`. */
  async admission(uuid: string, request: AdmissionRequest): Promise<AdmissionState> {
    const id = this.#checkUuid(uuid);
    const current = await this.#record(id);
    if (!isAwaited(current, request)) return 'none';
    return admissionState(current?.admission, await this.runCount(id));
  }

  /**
   * Writes what `decide` makes of the current entry, past the rules of `transition`: only for a person's word
   * (`claim`). `decide` gets undefined for the entry if there is none, or if the file is corrupt (then with its bytes).
   */
  async overrule(
    uuid: string,
    operation: string,
    decide: (current: LedgerEntry | undefined, corrupt: Buffer | undefined) => Promise<LedgerEntry>,
  ): Promise<LedgerEntry> {
    const id = this.#checkUuid(uuid);
    return this.#locked(id, operation, undefined, async () => {
      const data = await this.#readFile(id);
      let current: LedgerEntry | undefined;
      let corrupt: Buffer | undefined;
      try {
        current = data === undefined ? undefined : entryOf(parseLedgerFile(id, data));
      } catch {
        corrupt = data;
      }
      return this.#write(await decide(current, corrupt));
    });
  }

  /** How often the hook let the VM start here; part of a source's fingerprint. 0 if never. */
  async runCount(uuid: string): Promise<number> {
    try {
      return (await stat(this.#runsPath(this.#checkUuid(uuid)))).size;
    } catch (error) {
      if (isAbsent(error)) return 0;
      throw this.#unreadable(this.#runsPath(uuid), error);
    }
  }

  /**
   * Forgets a VM, with its epoch: from then on the hook lets it start. Only if the entry still is the expected one,
   * else `ownership-conflict` (unsafe). No entry is no error.
   */
  async remove(
    uuid: string,
    expect: Pick<LedgerEntry, 'state' | 'epoch' | 'migrationId'>,
  ): Promise<void> {
    const id = this.#checkUuid(uuid);
    await this.#locked(id, 'remove', undefined, async () => {
      const current = await this.read(id);
      if (current !== undefined && !isSame(current, expect)) {
        throw unsafe({
          code: 'ownership-conflict',
          message: `the ledger of ${this.host} holds VM ${current.name} (${id}) as ${current.state}, epoch ${current.epoch}, not as ${expect.state}, epoch ${expect.epoch}: it is not removed`,
          remedy: 'Nothing was changed. See `vmferry status` for the move that set this state.',
          host: this.host,
        });
      }
      await this.#changing(id, async () => {
        await rm(this.#path(id), { force: true });
        await rm(this.#runsPath(id), { force: true });
        await rm(`${this.#path(id)}.arriving`, { force: true });
        if (current !== undefined) await this.#io.syncFolder(this.folder);
      });
    });
  }

  #path = (uuid: string): string => join(this.folder, uuid);
  #runsPath = (uuid: string): string => join(this.folder, `${uuid}.runs`);

  #locked<T>(
    uuid: string,
    operation: string,
    signal: AbortSignal | undefined,
    fn: () => Promise<T>,
  ): Promise<T> {
    return withVmLock(
      {
        stateDir: this.stateDir,
        uuid,
        timeoutMs: this.#lockTimeoutMs,
        operation,
        host: this.host,
        ...(signal === undefined ? {} : { signal }),
      },
      fn,
    );
  }

  #checkUuid(uuid: string): string {
    const id = uuid.toLowerCase();
    if (isVmUuid(id)) return id;
    throw this.#invalid('uuid-invalid', `"${uuid}" is not the UUID of a VM`);
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.folder);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw this.#unreadable(this.folder, error);
    }
  }

  async #readFile(uuid: string): Promise<Buffer | undefined> {
    try {
      return await readFile(this.#path(uuid));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#unreadable(this.#path(uuid), error);
    }
  }

  async #record(uuid: string): Promise<LedgerRecord | undefined> {
    const data = await this.#readFile(uuid);
    if (data === undefined) return undefined;
    try {
      return parseLedgerFile(uuid, data);
    } catch (error) {
      if (!(error instanceof LedgerFormatError)) throw error;
      throw this.#unreadable(this.#path(uuid), error);
    }
  }

  async #write(entry: LedgerRecord): Promise<LedgerEntry> {
    const wrong = whatIsWrong(entry);
    if (wrong !== undefined) {
      throw this.#invalid('ledger-entry-invalid', `VM ${entry.uuid}: ${wrong}`);
    }
    const disks = await Promise.all(entry.disks.map(withResolvedPath));
    const data = formatLedgerFile(entry, disks);
    const path = this.#path(entry.uuid);
    await this.#changing(entry.uuid, async () => {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      await this.#ensureRunsFile(entry.uuid);
      const before = await this.#readFile(entry.uuid);
      // Equal bytes may be those of an attempt that died before the folder was synced.
      if (before?.equals(data)) await this.#io.syncFolder(this.folder);
      else
        await replaceDurably(
          { path, temporary: join(this.folder, `.${entry.uuid}.new`) },
          data,
          this.#io,
        );
    });
    return entryOf(parseLedgerFile(entry.uuid, data));
  }

  /** The hook only appends to it, so its name has to be durable from the start. */
  async #ensureRunsFile(uuid: string): Promise<void> {
    await (await open(this.#runsPath(uuid), 'a', 0o600)).close();
  }

  async #changing(uuid: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      throw needsOperator({
        code: 'ledger-unwritable',
        message: `the ledger file ${this.#path(uuid)} cannot be changed: ${cause instanceof Error ? cause.message : String(cause)}`,
        remedy: 'Make room on the file system of the state folder, or mend it, then retry.',
        host: this.host,
        cause,
      });
    }
  }

  #unreadable(path: string, cause: unknown) {
    return needsOperator({
      code: 'ledger-corrupt',
      message: `the ledger file ${path} cannot be trusted: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy:
        'The VM does not start on this host until it is mended. Find out where the VM runs, then use `vmferry guard claim` on the host that is to own it.',
      host: this.host,
      cause,
    });
  }

  #invalid(code: string, message: string) {
    return permanent({
      code,
      message,
      remedy: 'Nothing was written. This is a mistake in the request, not on the host.',
      host: this.host,
    });
  }
}

/** Without the admission: its token is for the hook and for who asked for it, not for lists and reports. */
function entryOf({ admission: _, ...entry }: LedgerRecord): LedgerEntry {
  return entry;
}

const isSame = (
  entry: LedgerEntry,
  expect: Pick<LedgerEntry, 'state' | 'epoch' | 'migrationId'>,
): boolean =>
  entry.state === expect.state &&
  entry.epoch === expect.epoch &&
  entry.migrationId === expect.migrationId;

const isAbsent = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
