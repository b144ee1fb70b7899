import { mkdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { realIo, replaceDurably } from '../guard/durable.ts';
import type { ConvergenceState } from '../domain/convergence.ts';
import { needsOperator } from '../domain/errors.ts';
import type { LiveStep } from '../domain/live.ts';
import type { DiskFormat, NetworkPlace, PlaceKind, VmDisk } from '../domain/vm.ts';
import type { MoveLiveResult } from './contract.ts';

/** What the source remembers before it changes anything. */
export interface SourceMemory {
  wasRunning: boolean;
  autostart: boolean;
  /** Wall clock of this host, ms, when the guest was seen down. */
  downAtMs?: number;
  forced?: boolean;
  /** The guest was asked to shut down; it may do so at any time from then on. */
  asked?: boolean;
}

export interface OwnVolume {
  /** Of the guest's definition. */
  disk: string;
  pool: string;
  volume: string;
  /** Empty until it was made, where the pool chooses the path. */
  path: string;
  kind: PlaceKind;
  network?: NetworkPlace;
  format: DiskFormat;
  /** As `guard/identity.ts` gives it; empty until it was made, and for network disks. */
  identity: string;
}

/** What the target made for a move; only this may be deleted again. */
export interface TargetMemory {
  /** Whether the ledger knew the VM before. */
  knownBefore: boolean;
  volumes: OwnVolume[];
  defined: boolean;
  /** Wall clock of this host, ms, when the guest was seen up. */
  upAtMs?: number;
}

/** Where the source wrote its nonces: what to look at to remove them. */
export interface NonceMemory {
  disks: VmDisk[];
}

/** What the source remembers of a live move; written before libvirt is asked, so that no run begins twice. */
export interface LiveMemory {
  /** The last one that libvirt was asked for, or was about to be. */
  run: number;
  steps: LiveStep[];
  /** As of the last act. */
  convergence?: ConvergenceState;
  /** The guest was paused by this run, or was about to be. */
  paused?: true;
  /** Somebody had paused the guest before the run began. */
  guestPaused?: true;
  /** It arrives paused, and is let go there. */
  arrivesPaused?: true;
  /** How the run ended; absent until somebody saw it. */
  result?: MoveLiveResult;
}

/** Limits that somebody changed while a live run went on: they go before those that it was begun with. */
export interface TunedMemory {
  bandwidthBytesPerSecond?: number;
  maxDowntimeMs?: number;
}

/** The last run that the target let in. */
export interface AdmissionMemory {
  run: number;
  /** What it brings is held here, paused, until the move lets it go. */
  holds?: true;
  /** It was let go, or was about to be: from then on a pause is somebody else's. */
  letGo?: true;
}

interface Files {
  admission: AdmissionMemory;
  live: LiveMemory;
  nonces: NonceMemory;
  source: SourceMemory;
  target: TargetMemory;
  tuned: TunedMemory;
}

/** It names files of the host, and comes from Temporal: nothing in it may lead out of their folder. */
export function assertMigrationId(migrationId: string): void {
  if (!/^[0-9a-zA-Z-]{1,64}$/.test(migrationId)) {
    throw new Error(`not a migration ID: ${migrationId.slice(0, 80)}`);
  }
}

/**
 * What a host remembers of a move, `<stateDir>/moves/<migrationId>/`: small files, durable before the act that they
 * describe. They outlive the worker; the last verb of the move removes them.
 */
export class MoveFolder {
  readonly path: string;
  readonly #host: string;

  constructor(options: { stateDir: string; migrationId: string; host: string }) {
    assertMigrationId(options.migrationId);
    this.path = join(options.stateDir, 'moves', options.migrationId);
    this.#host = options.host;
  }

  async read<K extends keyof Files>(kind: K): Promise<Files[K] | undefined> {
    const path = join(this.path, `${kind}.json`);
    try {
      return JSON.parse(await readFile(path, 'utf8')) as Files[K];
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw needsOperator({
        code: 'move-folder-unreadable',
        message: `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        remedy: 'Mend the file system of the state folder, then retry.',
        host: this.#host,
        cause,
      });
    }
  }

  async write<K extends keyof Files>(kind: K, content: Files[K]): Promise<void> {
    await this.writeFile(`${kind}.json`, Buffer.from(JSON.stringify(content)));
  }

  /** Writes a file of the folder as a whole, durably; gives its path. */
  async writeFile(name: string, data: Buffer): Promise<string> {
    const path = join(this.path, name);
    try {
      await mkdir(this.path, { recursive: true, mode: 0o700 });
      await replaceDurably({ path, temporary: `${path}.new` }, data, realIo);
      return path;
    } catch (cause) {
      throw needsOperator({
        code: 'state-folder-unwritable',
        message: `${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
        remedy: 'Make room on the file system of the state folder, then retry.',
        host: this.#host,
        cause,
      });
    }
  }

  /** The bytes of a file of the folder; empty if it is not there. */
  async readFile(name: string): Promise<Buffer> {
    try {
      return await readFile(join(this.path, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    }
  }

  /** Removes one file, and the folder with its last one. */
  async removeFile(name: string): Promise<void> {
    await rm(join(this.path, name), { force: true });
    try {
      await rmdir(this.path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
