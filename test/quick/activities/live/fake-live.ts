/** A host whose libvirt migrates as the test says: what it was told is written down, and each run ends on command. */
import { randomUUID } from 'node:crypto';
import type { MoveLiveInput } from '../../../../activities/contract.ts';
import type { LiveAttempt } from '../../../../activities/live/move-live.ts';
import { MoveFolder } from '../../../../activities/move-folder.ts';
import type { HostParts, Hypervisor, LiveHypervisor } from '../../../../activities/parts.ts';
import { cancelled } from '../../../../domain/errors.ts';
import type { LiveWishes } from '../../../../domain/live.ts';
import { defaultLiveWishes } from '../../../../domain/live.ts';
import type { LivePlace } from '../../../../domain/live-outcome.ts';
import type { Ledger } from '../../../../guard/ledger.ts';
import type { LiveMigrationOptions } from '../../../../platforms/libvirt/live/options.ts';
import type { LiveSample } from '../../../../platforms/libvirt/live/sample.ts';
import type { LiveJob, LiveView } from '../../../../platforms/libvirt/live/view.ts';
import { hostParts } from '../host-parts.ts';

export const vm = { name: 'web', uuid: randomUUID() };
const mebibyte = 1024 * 1024;

/** A pass over memory in which the guest changes all that crosses. */
export const pass = (elapsedMs: number, changes: Partial<LiveSample> = {}): LiveSample => ({
  status: 'active',
  elapsedMs,
  iteration: 5,
  memoryTotalBytes: 256 * mebibyte,
  memoryProcessedBytes: 200 * mebibyte + elapsedMs,
  memoryRemainingBytes: 50 * mebibyte,
  bytesPerSecond: 10 * mebibyte,
  dirtyBytesPerSecond: 20 * mebibyte,
  diskTotalBytes: 0,
  diskProcessedBytes: 0,
  diskRemainingBytes: 0,
  diskBytesPerSecond: 0,
  requestedPages: 0,
  throttlePercent: 0,
  inPostCopy: false,
  ...changes,
});

type Job = LiveJob['kind'];

export class FakeLive implements LiveHypervisor {
  readonly told: string[] = [];
  readonly asked: LiveMigrationOptions[] = [];
  place: LivePlace = 'running';
  job: Job = 'none';
  /** Called with each order, before it is carried out. */
  onOrder: (order: string) => void = () => undefined;
  #samples: LiveSample[] = [];
  #wake: () => void = () => undefined;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;

  begin: LiveHypervisor['begin'] = (options, limits) => {
    this.#order('begin');
    this.asked.push(options);
    this.job = 'outgoing';
    return new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
      limits?.signal?.addEventListener('abort', () => reject(new Error('left alone')));
    });
  };

  /** Samples that nobody has taken yet. */
  get waiting(): number {
    return this.#samples.length;
  }

  /** Shows a sample to whoever watches. */
  show(...samples: LiveSample[]): void {
    this.#samples.push(...samples);
    this.#wake();
  }

  /** The run comes to its end: there, or here with libvirt's words. */
  end(place: LivePlace, refusal?: Error): void {
    this.place = place;
    this.job = 'none';
    if (refusal === undefined) {
      this.show(pass(9_000, { status: 'completed', downtimeMs: 42 }));
      this.#settle?.resolve();
    } else {
      this.#settle?.reject(refusal);
      this.#wake();
    }
  }

  /** Whether it runs since libvirt took a migration back at its switch. */
  cameBack = false;
  viewOf: LiveHypervisor['viewOf'] = () =>
    Promise.resolve({
      ...{ place: this.place, job: this.#job() },
      ...(this.cameBack ? { cameBack: true } : {}),
    });
  completedOf: LiveHypervisor['completedOf'] = () =>
    Promise.resolve(pass(9_000, { status: 'completed', downtimeMs: 42 }));
  definition: LiveHypervisor['definition'] = () => Promise.resolve('<running/>');

  async *watch(
    _uuid: string,
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<LiveSample, void, undefined> {
    signal?.addEventListener('abort', () => this.#wake());
    while (signal?.aborted !== true) {
      const sample = this.#samples.shift();
      if (sample !== undefined) {
        yield sample;
        if (sample.status !== 'active') return;
      } else if (this.job !== 'outgoing') return;
      else {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        this.#wake = () => resolve(undefined);
        await promise;
      }
    }
  }

  abort: LiveHypervisor['abort'] = () => {
    this.#order('abort');
    if (this.job !== 'outgoing') return Promise.resolve('no-job');
    const said = { code: 'live-cancelled', message: 'cancelled by client', remedy: '' };
    this.end(this.place === 'switching' ? 'paused' : 'running', cancelled(said));
    return Promise.resolve('done');
  };
  setBandwidth: LiveHypervisor['setBandwidth'] = (_uuid, rate) => this.#done(`bandwidth ${rate}`);
  setMaxDowntimeMs: LiveHypervisor['setMaxDowntimeMs'] = (_uuid, ms) =>
    this.#done(`downtime ${ms}`);
  startPostCopy: LiveHypervisor['startPostCopy'] = () => this.#done('post-copy');
  pauseGuest: LiveHypervisor['pauseGuest'] = () => {
    this.place = 'switching';
    return this.#done('pause');
  };
  resumeGuest: LiveHypervisor['resumeGuest'] = () => {
    this.#order('resume');
    this.place = 'running';
    return Promise.resolve();
  };

  /** What the other host's libvirt says. */
  peer: () => Promise<LiveView> = () => Promise.reject(new Error('no answer'));
  viewAt: LiveHypervisor['viewAt'] = () => this.peer();
  /** What speaks against letting go of a guest from here. */
  letGoFails: Error | undefined;
  letGo: LiveHypervisor['letGo'] = (_uuid, { address }) => {
    this.#order(`let go at ${address}`);
    return this.letGoFails === undefined ? Promise.resolve(true) : Promise.reject(this.letGoFails);
  };
  /** QEMU's end here, where a test has it end before libvirt says so; else it is not to be found. */
  qemuEnds: Promise<void> | undefined;
  untilQemuIsGone: LiveHypervisor['untilQemuIsGone'] = () =>
    this.qemuEnds ?? Promise.reject(new Error('no such process'));

  #job(): LiveJob {
    const { job: kind } = this;
    return kind === 'none' ? { kind } : { kind, operation: 5, elapsedMs: 0 };
  }

  #done(order: string): Promise<'done'> {
    this.#order(order);
    return Promise.resolve('done');
  }

  #order(order: string): void {
    this.onOrder(order);
    this.told.push(order);
  }
}

export interface FakeHost {
  parts: HostParts;
  live: FakeLive;
  ledger: Ledger;
  folder: MoveFolder;
  /** Orders beside those of migrations. */
  told: string[];
}

export const migrationId = randomUUID();
export const ref = { moveId: 'migrate/default/web', migrationId, vm, epoch: 1 };

/** A host with the move's ledger entry; `state` is what its guard says. */
export async function fakeHost(
  stateDir: string,
  state: 'migrating-out' | 'incoming',
): Promise<FakeHost> {
  const live = new FakeLive();
  const told: string[] = [];
  const hypervisor: Partial<Hypervisor> = {
    live,
    definition: () => Promise.resolve('<kept/>'),
    mend: (xml, { owner, arriving }) => `${xml} for ${owner.host} ${arriving?.token ?? ''}`.trim(),
    forceOff: () => {
      told.push('force off');
      live.place = 'off';
      return Promise.resolve();
    },
    undefine: () => {
      told.push('undefine');
      live.place = 'gone';
      return Promise.resolve();
    },
  };
  const name = state === 'incoming' ? 'beta' : 'alpha';
  const parts = hostParts({ name, stateDir, hypervisor });
  const { ledger } = parts;
  const entry = { epoch: 1, migrationId, name: vm.name, note: '', disks: [] };
  await ledger.transition(vm.uuid, { ...entry, to: state });
  const folder = new MoveFolder({ stateDir, migrationId, host: name });
  return { parts, live, ledger, folder, told };
}

export const order = (run: number, wishes: Partial<LiveWishes> = {}): MoveLiveInput => ({
  ...ref,
  ...{ target: 'beta', run, token: 'a'.repeat(32), targetAddress: '198.51.100.2', disks: [] },
  wishes: { ...defaultLiveWishes, patienceMs: 1_000, ...wishes },
  bandwidthBytesPerSecond: 0,
});

export interface FakeAttempt extends LiveAttempt {
  reported: unknown[];
  /** As Temporal does it: what was asked for first, then the signal. */
  cancel(): void;
  /** The worker stops, or lost its server. */
  stop(): void;
}

export function fakeAttempt(): FakeAttempt {
  const abort = new AbortController();
  let isAsked = false;
  const reported: unknown[] = [];
  return {
    signal: abort.signal,
    reported,
    report: (details) => reported.push(details),
    cancelAsked: () => isAsked,
    hostShare: () => Promise.resolve(0),
    cancel: () => {
      isAsked = true;
      abort.abort(new Error('CANCELLED'));
    },
    stop: () => abort.abort(new Error('WORKER_SHUTDOWN')),
  };
}
