/** Live migration between two libvirt hosts, as the source's libvirtd carries it out: peer to peer, over TLS. */
import { LivePlace } from '../../../domain/live-outcome.ts';
import { permanent } from '../../../domain/errors.ts';
import type { VmFerryError } from '../../../domain/errors.ts';
import {
  AbortJobFlag,
  DomainXmlFlag,
  LibvirtError,
  MaxSpeedFlag,
} from '../../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../../protocols/libvirt/index.ts';
import { LibvirtHost } from '../connect.ts';
import type { LibvirtHostOptions } from '../connect.ts';
import { isRefusal } from '../faults.ts';
import { faultOfMigration } from './faults.ts';
import { dropLeftNodes, isForLeftNodes } from './left-nodes.ts';
import { defaultMaxDowntimeMs, peerCallOf } from './options.ts';
import type { LiveMigrationOptions } from './options.ts';
import type { Peer } from './peer-connection.ts';
import { letGoAtPeer, viewAtPeer } from './peer.ts';
import { untilQemuIsGone } from './qemu-process.ts';
import type { LiveSample } from './sample.ts';
import { readCompleted, readJob, readView } from './view.ts';
import type { LiveJob, LiveView } from './view.ts';
import { watchMigration } from './watch.ts';
import type { LiveWatchOptions } from './watch.ts';

export interface LiveBeginOptions {
  /** Limit of the whole run, ms; a day if absent. Past it the migration itself goes on. */
  timeoutMs?: number;
  /** Ends the wait, with the signal's reason; the migration itself goes on, see `abort`. */
  signal?: AbortSignal;
}

/** What became of an order. */
export const LiveOrder = {
  done: 'done',
  /** There is no migration: it has ended, or never began. Read `viewOf`. */
  noJob: 'no-job',
} as const;
export type LiveOrder = (typeof LiveOrder)[keyof typeof LiveOrder];

const dayMs = 24 * 60 * 60 * 1000;

/**
 * Live moves away from one host. The run is libvirtd's own: it goes on when this process dies, so ask `jobOf` before
 * `begin`, and where there is one, `watch` it and read both hosts' `viewOf` at its end. The guard's ledger is not seen
 * to here: the caller has to have the target's leave before it begins.
 *
 * Every method throws the domain errors of `LibvirtHost.use`, and `vm-not-found` where libvirt has to know the VM.
 */
export class LiveMigration {
  readonly #options: LibvirtHostOptions;
  readonly #host: LibvirtHost;

  constructor(options: LibvirtHostOptions) {
    this.#options = options;
    this.#host = new LibvirtHost(options);
  }

  /** Closes the connection of all but `begin`, which has one of its own. Migrations go on. */
  close(): Promise<void> {
    return this.#host.close();
  }

  /**
   * Moves a running VM; resolves once libvirt says that it runs at the target and the source let go.
   *
   * Rejects with `live-options-invalid`, `live-storage-not-shared`, `live-unsupported`, `definition-refused` (nothing
   * was moved); `live-target-unreachable`, `live-interrupted`, `live-certificates`, `live-cancelled`,
   * `live-nodes-left` (the VM stayed); `live-nodes-in-use`, `live-target-not-kept`, `live-post-copy-failed` (a person has to act), `start-refused-by-guard`; and with
   * `libvirt-outcome-unknown` or `live-outcome-unknown` where the reply was lost or says nothing: read `jobOf` and
   * `viewOf` of both hosts.
   */
  async begin(options: LiveMigrationOptions, limits: LiveBeginOptions = {}): Promise<void> {
    const { dconnuri, params, flags } = peerCallOf(options);
    const { timeoutMs = dayMs, signal } = limits;
    // Its own connection: libvirtd takes few calls of one at a time, and this one lasts.
    const own = new LibvirtHost(this.#options);
    try {
      await own.use(async (connection) => {
        const { dom } = await connection.call('DomainLookupByUUID', { uuid: options.uuid });
        if (options.resumePostCopy !== true) {
          const { maxDowntimeMs: downtimeMs = defaultMaxDowntimeMs } = options;
          await connection.call('DomainMigrateSetMaxDowntime', { dom, downtimeMs });
        }
        const args = { dom, dconnuri, params, cookieIn: new Uint8Array(), flags };
        try {
          await connection.call('DomainMigratePerform3Params', args, {
            timeoutMs,
            ...(signal && { signal }),
          });
        } catch (error) {
          if (isForLeftNodes(error)) {
            const about = { disks: options.copyDisks ?? [], host: this.#host.name, cause: error };
            throw await dropLeftNodes(connection, dom, about);
          }
          throw await this.#faultOf(error, options.uuid);
        }
      }, signal);
    } finally {
      await own.close();
    }
  }

  /** The job of libvirt's on the VM, at either end. */
  jobOf(uuid: string): Promise<LiveJob> {
    return this.#host.use((connection) => readJob(connection, uuid));
  }

  /** Where the VM stands on this host; `liveOutcome` makes one answer of two hosts' views. */
  viewOf(uuid: string): Promise<LiveView> {
    return this.#host.use((connection) => readView(connection, uuid));
  }

  /** The figures of the VM's last migration that ended well, at either end; undefined if libvirt keeps none. */
  completedOf(uuid: string): Promise<LiveSample | undefined> {
    return this.#host.use((connection) => readCompleted(connection, uuid));
  }

  /** See `watchMigration`. */
  watch(uuid: string, options: LiveWatchOptions = {}): AsyncGenerator<LiveSample, void, undefined> {
    return watchMigration(this.#host, uuid, options);
  }

  /**
   * Has libvirt undo the migration; the VM goes on at the source. Resolves once libvirt took the order, `begin` rejects
   * with `live-cancelled` a little later. Throws `live-in-post-copy` where there is no way back.
   */
  abort(uuid: string): Promise<LiveOrder> {
    return this.#order(uuid, async (connection, dom) => {
      await this.#refuseInPostCopy(connection, uuid);
      await connection.call('DomainAbortJob', { dom }, { timeoutMs: 120_000 });
    });
  }

  /**
   * Stops the transfer of a post-copy, to take it up over another link with `resumePostCopy`. The guest stands at the
   * target wherever it misses memory.
   */
  interruptPostCopy(uuid: string): Promise<LiveOrder> {
    const flags = AbortJobFlag.postcopy;
    return this.#order(uuid, async (connection, dom) => {
      await connection.call('DomainAbortJobFlags', { dom, flags }, { timeoutMs: 120_000 });
    });
  }

  /** The longest pause that ends the run; also while it runs. libvirt keeps it for later migrations of the VM. */
  setMaxDowntimeMs(uuid: string, downtimeMs: number): Promise<LiveOrder> {
    return this.#order(uuid, async (connection, dom) => {
      await connection.call('DomainMigrateSetMaxDowntime', { dom, downtimeMs });
    });
  }

  /** The cap, MiB/s, of the passes before the switch and of a post-copy after it; also while it runs. */
  setBandwidth(uuid: string, mebibytesPerSecond: number): Promise<LiveOrder> {
    const bandwidth = BigInt(mebibytesPerSecond);
    return this.#order(uuid, async (connection, dom) => {
      for (const flags of [0, MaxSpeedFlag.postcopy])
        await connection.call('DomainMigrateSetMaxSpeed', { dom, bandwidth, flags });
    });
  }

  /** Lets the guest go on at the target, its memory following; begun with `allowPostCopy`. There is no way back. */
  startPostCopy(uuid: string): Promise<LiveOrder> {
    return this.#order(uuid, async (connection, dom) => {
      await connection.call('DomainMigrateStartPostCopy', { dom });
    });
  }

  /** Pauses the guest so that the run can end; libvirt lets it go on at the target. After an abort it stays paused. */
  pauseGuest(uuid: string): Promise<LiveOrder> {
    return this.#order(uuid, async (connection, dom) => {
      await connection.call('DomainSuspend', { dom });
    });
  }

  /** Has a paused guest of this host go on. */
  async resumeGuest(uuid: string): Promise<void> {
    await this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      await connection.call('DomainResume', { dom });
    });
  }

  /** See `untilQemuIsGone`. */
  async untilQemuIsGone(uuid: string, signal: AbortSignal): Promise<void> {
    const name = await this.#host.use(
      async (connection) => (await connection.call('DomainLookupByUUID', { uuid })).dom.name,
    );
    await untilQemuIsGone({ uuid, name, fileRoot: this.#host.fileRoot }, signal);
  }

  /**
   * Has a guest that arrived paused at the target go on there; only after this host is known to have let go. False where
   * it holds none. Throws what went wrong: then the target's own worker sees to it.
   */
  letGo(uuid: string, target: Peer): Promise<boolean> {
    return letGoAtPeer({ uuid, ...target, fileRoot: this.#host.fileRoot });
  }

  /** Where the VM stands on another host, by that host's libvirt itself. Throws what went wrong. */
  viewAt(uuid: string, other: Peer): Promise<LiveView> {
    return viewAtPeer({ uuid, ...other, fileRoot: this.#host.fileRoot });
  }

  /** The definition as the guest runs by it, secrets included, as another host takes it. */
  async definition(uuid: string): Promise<string> {
    const flags = DomainXmlFlag.migratable | DomainXmlFlag.secure;
    return this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      return (await connection.call('DomainGetXMLDesc', { dom, flags })).xml;
    });
  }

  /** Gives an order to a run; that there is none is an answer, where libvirt refuses for that reason. */
  #order(
    uuid: string,
    give: (connection: Connection, dom: DomainRef) => Promise<void>,
  ): Promise<LiveOrder> {
    return this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      try {
        await give(connection, dom);
        return LiveOrder.done;
      } catch (error) {
        if (!isRefusal(error, 'OPERATION_INVALID')) throw error;
        if ((await readJob(connection, uuid)).kind === 'outgoing') throw error;
        return LiveOrder.noJob;
      }
    });
  }

  async #refuseInPostCopy(connection: Connection, uuid: string): Promise<void> {
    const { place } = await readView(connection, uuid);
    if (place === LivePlace.postCopy || place === LivePlace.postCopyFailed)
      throw inPostCopy(this.#host.name, uuid);
  }

  async #faultOf(error: unknown, uuid: string): Promise<unknown> {
    const about = { uuid, host: this.#host.name };
    if (!(error instanceof LibvirtError))
      return faultOfMigration(error, { ...about, place: undefined });
    // Where the VM stands says more than the words; that it cannot be read must not hide the first error.
    const view = await this.viewOf(uuid).catch(() => undefined);
    return faultOfMigration(error, { ...about, place: view?.place });
  }
}

const inPostCopy = (host: string, uuid: string): VmFerryError =>
  permanent({
    code: 'live-in-post-copy',
    message: `the VM ${uuid} runs at the target already while its memory follows from ${host}`,
    remedy: 'Let it come to its end; there is no way back from post-copy.',
    host,
  });
