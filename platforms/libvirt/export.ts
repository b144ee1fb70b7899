/**
 * Read-only exports of disks at rest: one qemu-nbd a disk, over mutual TLS, for one host's certificate alone.
 * They outlive the worker and are found again by their records; nothing is ever ended without proof that it is ours.
 * (Under systemd the worker's unit needs `KillMode=process` for that.)
 *
 *   record <stateDir>/exports/<move>:<disk>.json  ->  /proc/<pid>: start time, argument, namespace, socket
 *
 * A read-only export of a raw image does not keep a writer out (QEMU 7.2: its locks allow one; of a qcow2 they do
 * not), so the guard, not the export, keeps the VM from starting.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { VmFerryError, permanent, transient } from '../../domain/errors.ts';
import { withFileLock } from '../file-lock.ts';
import { exportTlsDir } from './export-tls.ts';
import {
  argumentsOf,
  endProcess,
  isAlive,
  isOnThisHost,
  programOf,
  startTimeOf,
} from './process.ts';
import type { ProcessIdentity } from './process.ts';
import { isReady, portTaken, startServer, untilReady } from './qemu-nbd.ts';
import { Records } from './records.ts';
import { escapeOption, imageArguments } from './served-image.ts';
import type { ReadSecret, ServedImage } from './served-image.ts';
import { listeningPorts, listensOnTcp } from './sockets.ts';

const recordSchema = z.object({
  moveId: z.string(),
  diskName: z.string(),
  exportName: z.string(),
  path: z.string(),
  format: z.enum(['raw', 'qcow2']),
  /** How QEMU was told to open it: a network disk's name alone does not say on which servers it lies. */
  opened: z.string().default(''),
  allowDn: z.string(),
  address: z.string(),
  port: z.int().min(1).max(65_535),
  pid: z.int().min(2),
  startTime: z.string(),
});

/** An export as its record tells of it. */
export type ExportRecord = z.infer<typeof recordSchema>;

/** Settings of the host. */
export interface ExportsOptions {
  /** Host, for messages. */
  host: string;
  /** Absolute; records and logs lie below it, readable by the worker alone. */
  stateDir: string;
  /** Folder with `ca-cert.pem`, `server-cert.pem` and `server-key.pem`, as QEMU names them. */
  tlsDir: string;
  /** IP address that the exports listen on: the migration network's. */
  address: string;
  /** Ports that may be used, both ends included; one a disk. */
  ports: { first: number; last: number };
  /** Asked for the secrets of network disks. */
  readSecret?: ReadSecret;
}

export interface ExportRequest extends ServedImage {
  moveId: string;
  diskName: string;
  /**
   * Whose certificate is admitted: a host (`beta` stands for the name `CN=beta`) or a whole distinguished name
   * as GnuTLS prints it: RFC 4514, most specific part first (`CN=beta,OU=lab,O=ACME`), compared as text.
   */
  allow: { host: string } | { dn: string };
  /** IP address that it listens on, instead of the host's own. */
  address?: string;
  /**
   * Tells the reader of each range how deep in the chain it lies (`qemu:allocation-depth`), so that what the image
   * itself holds can be told from what lies below it.
   */
  tellsDepth?: boolean;
}

const readyTimeoutMs = 15_000;
/** A server comes up within that and ends within 10 s; who waits longer has met something that hangs. */
const lockMs = 40_000;
/** Connections: the copier's, the verifier's, and some that a dead client has left. */
const maxClients = 16;

export class Exports {
  readonly #options: ExportsOptions;
  readonly #records: Records<ExportRecord>;
  /** One operation at a time for each export of this process; the lock keeps other processes' away. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: ExportsOptions) {
    this.#options = options;
    this.#records = new Records({
      folder: join(options.stateDir, 'exports'),
      schema: recordSchema,
    });
  }

  /**
   * The export of this disk, found again or started. Throws `disk-in-use`, `disk-missing`, `no-free-port`,
   * `source-tls-refused`, `export-failed`, `export-slow`, `program-missing`, `path-unusable`,
   * `network-disk-unsupported`, `secret-unreadable`.
   */
  async ensure(request: ExportRequest, signal?: AbortSignal): Promise<ExportRecord> {
    const key = keyOf(request.moveId, request.diskName);
    return this.#inTurn(key, async () => {
      const found = await this.#records.read(key);
      if (found !== undefined && sameRequest(found, request, this.#options)) {
        if (await this.#isServing(found)) return found;
      }
      await this.#end(key, found);
      return this.#start(key, request, signal);
    });
  }

  /** Ends an export and forgets it; nothing happens if there is none. */
  async remove(moveId: string, diskName: string): Promise<void> {
    const key = keyOf(moveId, diskName);
    await this.#inTurn(key, async () => this.#end(key, await this.#records.read(key)));
  }

  /** Ends all exports of a move, also those that no whole record tells of. */
  async removeAll(moveId: string): Promise<void> {
    const told = (await this.names()).filter((one) => one.moveId === moveId);
    const own = new Set([
      ...told.map(({ diskName }) => diskName),
      ...(await this.#tracesOf(moveId)),
    ]);
    await Promise.all([...own].map(async (diskName) => this.remove(moveId, diskName)));
  }

  /** Disks of which a killed worker left a lock, or half of a record, and nothing else. */
  async #tracesOf(moveId: string): Promise<string[]> {
    const names = await readdir(join(this.#options.stateDir, 'exports')).catch(() => []);
    const start = encodeURIComponent(`${moveId}:`);
    return names.flatMap((name) =>
      name.startsWith(start) ? (/^[\w-]+(?:\.\d+)?/.exec(name.slice(start.length))?.[0] ?? []) : [],
    );
  }

  /** Every export that a record or a server of this host tells of, whole or not. */
  async names(): Promise<{ moveId: string; diskName: string }[]> {
    const servers = await serversOf((name) => name.startsWith(exportNameOf('')));
    const keys = new Set([
      ...(await this.#records.keys()),
      ...servers.map(({ exportName }) => exportName.slice(exportNameOf('').length)),
    ]);
    return [...keys].flatMap((key) => {
      const [, moveId, diskName] = /^(.+):([^:]+)$/.exec(key) ?? [];
      return moveId === undefined || diskName === undefined ? [] : [{ moveId, diskName }];
    });
  }

  /** Every recorded export, and whether it serves now. */
  async list(): Promise<(ExportRecord & { serving: boolean })[]> {
    const records = await this.#records.list();
    return Promise.all(
      records.map(async (record) => ({ ...record, serving: await this.#isServing(record) })),
    );
  }

  async #start(key: string, request: ExportRequest, signal?: AbortSignal): Promise<ExportRecord> {
    const { first, last } = this.#options.ports;
    const taken = await listeningPorts();
    for (let port = first; port <= last; port += 1) {
      if (taken.has(port)) continue;
      try {
        return await this.#startOn(port, { key, request }, signal);
      } catch (error) {
        if (!(error instanceof VmFerryError) || error.code !== portTaken) throw error;
      }
    }
    throw transient({
      code: 'no-free-port',
      message: `all ports from ${first} to ${last} on ${this.#options.host} are taken; ${request.path} cannot be exported`,
      remedy:
        'It is tried again as other moves end. Widen the range of export ports in the configuration.',
      host: this.#options.host,
    });
  }

  async #startOn(
    port: number,
    { key, request }: { key: string; request: ExportRequest },
    signal?: AbortSignal,
  ): Promise<ExportRecord> {
    const { host, readSecret } = this.#options;
    const { moveId, diskName, path, format, address = this.#options.address } = request;
    const exportName = exportNameOf(key);
    const tlsDir = await exportTlsDir(this.#options);
    const server = await startServer({
      command: ['qemu-nbd'],
      arguments: this.#serverArguments(request, { exportName, port, tlsDir }),
      image: request,
      ...(readSecret === undefined ? {} : { readSecret }),
      pidPath: this.#pathOf(key, 'pid'),
      logPath: this.#pathOf(key, 'log'),
      detached: true,
      host,
    });
    const record: ExportRecord = {
      moveId,
      diskName,
      exportName,
      path,
      format,
      opened: openedAs(request, host),
      allowDn: dnOf(request.allow),
      address,
      port,
      ...server.identity,
    };
    try {
      // Before it serves: should this process die here, the next one knows what to end.
      await this.#records.write(key, record);
      const pidPath = this.#pathOf(key, 'pid');
      await untilReady(server, { pidPath, timeoutMs: readyTimeoutMs, host, path }, signal);
    } catch (error) {
      await this.#end(key, record);
      throw error;
    }
    return record;
  }

  #serverArguments(
    request: ExportRequest,
    at: { exportName: string; port: number; tlsDir: string },
  ): string[] {
    const { address = this.#options.address } = request;
    const dir = escapeOption(at.tlsDir);
    const identity = escapeOption(dnOf(request.allow));
    return [
      '--read-only',
      '--persistent',
      ...(request.tellsDepth === true ? ['--allocation-depth'] : []),
      `--shared=${maxClients}`,
      `--bind=${address}`,
      `--port=${at.port}`,
      // As an argument of its own, so that the process is known by it.
      '-x',
      at.exportName,
      '--object',
      `tls-creds-x509,id=tls0,dir=${dir},endpoint=server,verify-peer=yes`,
      '--object',
      `authz-simple,id=auth0,identity=${identity}`,
      '--tls-creds=tls0',
      '--tls-authz=auth0',
    ];
  }

  /** Ends the recorded process and any that a crash between start and record has left, then forgets both. */
  async #end(key: string, record: ExportRecord | undefined): Promise<void> {
    const { host } = this.#options;
    const argument = exportNameOf(key);
    const processes = [
      ...(record === undefined ? [] : [record]),
      ...(await serversOf((name) => name === argument)),
    ];
    await Promise.all(processes.map(async (each) => endProcess(each, { argument, host })));
    await this.#records.remove(key);
    for (const kind of ['pid', 'log'] as const) await rm(this.#pathOf(key, kind), { force: true });
  }

  #pathOf(key: string, kind: 'pid' | 'log' | 'lock'): string {
    return join(this.#options.stateDir, 'exports', `${encodeURIComponent(key)}.${kind}`);
  }

  async #isServing(record: ExportRecord): Promise<boolean> {
    const { moveId, diskName, exportName, pid } = record;
    const pidPath = this.#pathOf(keyOf(moveId, diskName), 'pid');
    if (!(await isAlive(record, exportName)) || !(await isReady(pid, pidPath))) return false;
    return listensOnTcp(pid, record);
  }

  async #inTurn<T>(key: string, act: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key) ?? Promise.resolve();
    const { host } = this.#options;
    const path = this.#pathOf(key, 'lock');
    const lock = { path, waitMs: lockMs, busy: () => exportBusy(path, host) };
    const alone = (): Promise<T> => withFileLock(lock, act);
    const turn = before.then(alone, alone);
    this.#turns.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    }
  }
}

/** Names reach the command line, files and the wire, so they are held to what all three take plainly. */
function keyOf(moveId: string, diskName: string): string {
  if (!/^[\w./-]{1,120}$/.test(moveId) || !/^[\w-]{1,40}(?:\.\d{1,3})?$/.test(diskName)) {
    throw permanent({
      code: 'export-name-unusable',
      message: `an export cannot be named after move ${JSON.stringify(moveId.slice(0, 130))} and disk ${JSON.stringify(diskName.slice(0, 50))}`,
      remedy: 'Use letters, digits, dots, dashes and slashes in names of moves and disks.',
    });
  }
  return `${moveId}:${diskName}`;
}

const exportNameOf = (key: string): string => `vmferry:${key}`;

const dnOf = (allow: ExportRequest['allow']): string =>
  'dn' in allow ? allow.dn : `CN=${allow.host}`;

const openedAs = (request: ExportRequest, host: string): string =>
  [
    ...(request.tellsDepth === true ? ['--allocation-depth'] : []),
    ...imageArguments(request, host),
  ].join(' ');

const sameRequest = (
  record: ExportRecord,
  request: ExportRequest,
  { address, host }: Pick<ExportsOptions, 'address' | 'host'>,
): boolean =>
  record.path === request.path &&
  record.opened === openedAs(request, host) &&
  record.allowDn === dnOf(request.allow) &&
  record.address === (request.address ?? address);

/** Servers of this host whose export's name is wanted, recorded or not. */
async function serversOf(
  wanted: (exportName: string) => boolean,
): Promise<(ProcessIdentity & { exportName: string })[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      // Before the rest, since a host has hundreds of others.
      if (programOf(pid) !== 'qemu-nbd') return [];
      const argv = await argumentsOf(pid);
      const exportName = argv[argv.indexOf('-x') + 1] ?? '';
      if (!(argv[0] ?? '').endsWith('qemu-nbd') || !argv.includes('-x') || !wanted(exportName))
        return [];
      const startTime = startTimeOf(pid);
      if (startTime === undefined || !(await isOnThisHost(pid))) return [];
      return [{ pid, startTime, exportName }];
    }),
  );
  return found.flat();
}

const exportBusy = (path: string, host: string) =>
  transient({
    code: 'export-busy',
    message: `another process of ${host} has been working on this export for long (${path})`,
    remedy: 'It is tried again; see whether two workers run on that host, and end one.',
    host,
  });
