/**
 * A disk at rest on this host behind a unix socket: to write images that only QEMU can write (qcow2), and to
 * read back past the page cache what was written. The server ends with its last client or with the worker.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { endProcess, isAlive, startTimeOf, within } from './process.ts';
import type { ProcessIdentity } from './process.ts';
import { startServer, untilReady } from './qemu-nbd.ts';
import { Records } from './records.ts';
import type { ReadSecret, ServedImage } from './served-image.ts';

const recordSchema = z.object({
  socketPath: z.string(),
  path: z.string(),
  pid: z.int().min(2),
  startTime: z.string(),
  owner: z.object({ pid: z.int(), startTime: z.string() }),
});

export interface LocalNbdOptions {
  host: string;
  /** Absolute and short: a unix socket's path has at most 107 bytes. */
  stateDir: string;
  /** Asked for the secrets of network disks. */
  readSecret?: ReadSecret;
}

export interface OpenLocalRequest extends ServedImage {
  readOnly: boolean;
  /** O_DIRECT: reads come from the storage, not from memory. Refused by file systems without it (tmpfs). */
  cacheNone: boolean;
  /** Most connections at a time; 4 if absent. */
  clients?: number;
}

/** A server that waits for its first client; it serves one export, with an empty name. */
export interface LocalNbd {
  socketPath: string;
  pid: number;
  /** Waits until the server has written all and is gone; disconnect the clients first. */
  close(): Promise<void>;
}

const readyTimeoutMs = 15_000;
/** After the last client has gone, qemu-nbd writes what it holds and exits. */
const exitTimeoutMs = 30_000;

export class LocalNbdServers {
  readonly #options: LocalNbdOptions;
  readonly #folder: string;
  readonly #records: Records<z.infer<typeof recordSchema>>;

  constructor(options: LocalNbdOptions) {
    this.#options = options;
    this.#folder = join(options.stateDir, 'local');
    this.#records = new Records({ folder: this.#folder, schema: recordSchema });
  }

  /** Throws `disk-in-use`, `disk-missing`, `export-failed`, `export-slow`, `program-missing`, `path-unusable`. */
  async open(request: OpenLocalRequest, signal?: AbortSignal): Promise<LocalNbd> {
    const { host } = this.#options;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const id = randomBytes(6).toString('hex');
    const socketPath = this.#pathOf(id, 'sock');
    // Also a server that ends at once leaves its socket behind.
    const identity = await this.#start(id, request, signal).catch(async (error: unknown) => {
      await this.#forget(id);
      throw error;
    });
    const { readOnly } = request;
    const isGone = async (): Promise<boolean> => !(await isAlive(identity, socketPath));
    return {
      socketPath,
      pid: identity.pid,
      close: async () => {
        // Without a client it would wait for one, so it is told to end in any case.
        if (await within(readOnly ? 0 : exitTimeoutMs / 30, isGone)) return this.#forget(id);
        await endProcess(identity, { argument: socketPath, host, termMs: exitTimeoutMs });
        await this.#forget(id);
      },
    };
  }

  /** Ends servers whose worker is gone; for the start of a worker. Gives their number. */
  async endOrphans(): Promise<number> {
    let ended = 0;
    for (const record of await this.#records.list()) {
      if (startTimeOf(record.owner.pid) === record.owner.startTime) continue;
      await endProcess(record, { argument: record.socketPath, host: this.#options.host });
      await this.#forget(record.socketPath.replace(/^.*\/([0-9a-f]+)\.sock$/, '$1'));
      ended += 1;
    }
    return ended;
  }

  async #start(
    id: string,
    request: OpenLocalRequest,
    signal?: AbortSignal,
  ): Promise<ProcessIdentity> {
    const { host, readSecret } = this.#options;
    const { path, readOnly, cacheNone, clients = 4 } = request;
    const socketPath = this.#pathOf(id, 'sock');
    const pidPath = this.#pathOf(id, 'pid');
    const server = await startServer({
      // setpriv becomes qemu-nbd; the kernel then ends it should this process be killed before a client came.
      command: ['setpriv', '--pdeathsig=TERM', 'qemu-nbd'],
      arguments: [
        ...(readOnly ? ['--read-only'] : ['--discard=unmap']),
        `--cache=${cacheNone ? 'none' : 'writeback'}`,
        `--shared=${clients}`,
        '-k',
        socketPath,
      ],
      image: request,
      ...(readSecret === undefined ? {} : { readSecret }),
      pidPath,
      logPath: this.#pathOf(id, 'log'),
      detached: false,
      host,
    });
    const { identity } = server;
    try {
      const owner = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
      await this.#records.write(id, { socketPath, path, ...identity, owner });
      await untilReady(server, { pidPath, timeoutMs: readyTimeoutMs, host, path }, signal);
    } catch (error) {
      await endProcess(identity, { argument: socketPath, host });
      throw error;
    }
    return identity;
  }

  #pathOf(id: string, kind: 'sock' | 'pid' | 'log'): string {
    return join(this.#folder, `${id}.${kind}`);
  }

  async #forget(id: string): Promise<void> {
    await this.#records.remove(id);
    for (const kind of ['sock', 'pid', 'log'] as const) {
      await rm(this.#pathOf(id, kind), { force: true });
    }
  }
}
