import { mkdir, open, readFile, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { needsOperator, permanent, unsafe } from '../domain/errors.ts';
import { assertTransition } from '../domain/ownership.ts';
import type { DiskIdentity, LedgerEntry, OwnerState } from '../domain/ownership.ts';
import { realIo, replaceDurably } from './durable.ts';
import type { DurableIo } from './durable.ts';
import {
  LedgerFormatError,
  formatLedgerFile,
  isVmUuid,
  ledgerLimits,
  parseLedgerFile,
  shorten,
} from './ledger-file.ts';
import type { DiskLine } from './ledger-file.ts';
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
    const id = this.#checkUuid(uuid);
    const data = await this.#readFile(id);
    return data === undefined ? undefined : this.#parse(id, data);
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
   * change (but may refresh name, note and disks). Throws `stale-epoch` and `ownership-conflict` (unsafe),
   * `ledger-corrupt` and `ledger-unwritable` (needs an operator), `vm-locked` (transient).
   */
  async transition(uuid: string, request: TransitionRequest): Promise<LedgerEntry> {
    const id = this.#checkUuid(uuid);
    return this.#locked(id, `set ${request.to}`, request.signal, async () => {
      const current = await this.read(id);
      const { to, epoch, migrationId } = request;
      assertTransition(current, { uuid: id, host: this.host, to, epoch, migrationId });
      return this.#write({
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
        current = data === undefined ? undefined : parseLedgerFile(id, data);
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

  #parse(uuid: string, data: Buffer): LedgerEntry {
    try {
      return parseLedgerFile(uuid, data);
    } catch (error) {
      if (!(error instanceof LedgerFormatError)) throw error;
      throw this.#unreadable(this.#path(uuid), error);
    }
  }

  async #write(entry: LedgerEntry): Promise<LedgerEntry> {
    this.#checkEntry(entry);
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
    return parseLedgerFile(entry.uuid, data);
  }

  /** The hook only appends to it, so its name has to be durable from the start. */
  async #ensureRunsFile(uuid: string): Promise<void> {
    await (await open(this.#runsPath(uuid), 'a', 0o600)).close();
  }

  #checkEntry(entry: LedgerEntry): void {
    const wrong = (what: string) =>
      this.#invalid('ledger-entry-invalid', `VM ${entry.uuid}: ${what}`);
    if (!Number.isSafeInteger(entry.epoch) || entry.epoch < 1) throw wrong(`epoch ${entry.epoch}`);
    if (entry.disks.length > ledgerLimits.disks) throw wrong(`${entry.disks.length} disks`);
    for (const text of [entry.name, entry.migrationId]) {
      if (Buffer.byteLength(text) > ledgerLimits.textBytes) throw wrong('a name or ID is too long');
    }
    for (const { path, identity } of entry.disks) {
      if (
        !(isAbsolute(path) || isNetworkName(path)) ||
        Buffer.byteLength(path) > ledgerLimits.pathBytes ||
        path.includes('\0')
      ) {
        throw wrong(`"${path.slice(0, 200)}" is no absolute path and no network name of a disk`);
      }
      if (!/^(?:\d+:\d+(?::\d+)?|block:\d+:\d+)?$/.test(identity)) {
        throw wrong(`"${identity.slice(0, 200)}" is no identity of a disk`);
      }
    }
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

const isSame = (
  entry: LedgerEntry,
  expect: Pick<LedgerEntry, 'state' | 'epoch' | 'migrationId'>,
): boolean =>
  entry.state === expect.state &&
  entry.epoch === expect.epoch &&
  entry.migrationId === expect.migrationId;

/** `rbd:pool/image`, `iscsi:<iqn>/<lun>`, `nfs:<path>`: what the hook makes of a definition's `protocol` and `name`. */
const isNetworkName = (path: string): boolean => /^[a-z][a-z0-9+-]*:./.test(path);

const isAbsent = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

/**
 * The disk with its path as `readlink -f` gives it; a last part that does not exist (yet) is fine. A network disk has no
 * path, only a name.
 */
async function withResolvedPath(disk: DiskIdentity): Promise<DiskLine> {
  if (!isAbsolute(disk.path)) return { ...disk, resolvedPath: '' };
  const resolved = await resolveExisting(disk.path);
  return { ...disk, resolvedPath: resolved === disk.path ? '' : resolved };
}

async function resolveExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if (!isAbsent(error) || parent === path) return path;
    return join(await resolveExisting(parent), basename(path));
  }
}
