/** Watching a migration that libvirt carries out, whoever began it. */
import { LiveJobKind } from '../../../domain/live-outcome.ts';
import { JobParam, LifecycleEvent } from '../../../protocols/libvirt/index.ts';
import type { Connection, Subscription } from '../../../protocols/libvirt/index.ts';
import type { LibvirtHost } from '../connect.ts';
import { faultOfLibvirt } from '../faults.ts';
import { LiveStatus, sampleOf, jobKindOf } from './sample.ts';
import type { LiveSample } from './sample.ts';
import { readCompleted, readSample } from './view.ts';

export interface LiveWatchOptions {
  /** The longest time between two samples, ms; 500 if absent. libvirt's own news bring one earlier. */
  everyMs?: number;
  /** How long to wait for a job that has not begun, ms; 0 if absent. */
  startWithinMs?: number;
  /** Ends the watch without a word; the migration goes on. */
  signal?: AbortSignal;
}

/**
 * Samples of the migration of a VM away from a host: one at once, then with each pass, each change of the VM and every
 * `everyMs`. The last one is `completed`, with the final figures, or `ended` where libvirt keeps none: cancelled,
 * failed, or forgotten with the definition; or `interrupted`. Nothing is yielded if there is no job, within `startWithinMs`.
 * Throws `libvirt-unreachable` when the connection is lost: watch again.
 */
export async function* watchMigration(
  host: LibvirtHost,
  uuid: string,
  options: LiveWatchOptions = {},
): AsyncGenerator<LiveSample, void, undefined> {
  const { everyMs = 500, startWithinMs = 0, signal } = options;
  const connection = await host.use((open) => Promise.resolve(open));
  const news = new News(connection, uuid, signal);
  try {
    await news.listen();
    const startBy = performance.now() + startWithinMs;
    let last: LiveSample | undefined;
    while (signal?.aborted !== true) {
      const sample = await readSample(connection, uuid);
      if (sample !== undefined) {
        last = sample;
        yield sample;
        if (sample.status === LiveStatus.interrupted) return;
      } else if (last !== undefined) {
        yield { ...(news.completed ?? (await finalOf(connection, uuid, last))), ...news.paused };
        return;
      } else if (performance.now() >= startBy || news.completed !== undefined) {
        // So quick a run that its end is all there is to see.
        if (news.completed !== undefined) yield { ...news.completed, ...news.paused };
        return;
      }
      await news.next(everyMs);
    }
  } catch (error) {
    throw faultOfLibvirt(error, host.name);
  } finally {
    await news.stop();
  }
}

/** Figures that libvirt keeps, if they are this run's. */
async function finalOf(
  connection: Connection,
  uuid: string,
  last: LiveSample,
): Promise<LiveSample> {
  const completed = await readCompleted(connection, uuid);
  // Those of an earlier run may still be there; a run has lasted at least as long as it was seen to.
  if (completed !== undefined && completed.elapsedMs >= last.elapsedMs) return completed;
  return { ...last, status: LiveStatus.ended };
}

/** What libvirt tells unasked of one VM. */
class News {
  readonly #connection: Connection;
  readonly #uuid: string;
  readonly #signal: AbortSignal | undefined;
  readonly #subscriptions: Subscription[] = [];
  #isNew = false;
  #wake: () => void = () => undefined;
  /** The final figures, once libvirt has sent them. */
  completed: LiveSample | undefined;
  /** Since when the guest stands still. */
  paused: Pick<LiveSample, 'pausedAtMs'> = {};

  constructor(connection: Connection, uuid: string, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#uuid = uuid;
    this.#signal = signal;
  }

  async listen(): Promise<void> {
    const connection = this.#connection;
    const mine = (event: { dom: { uuid: string } }): void => {
      if (event.dom.uuid === this.#uuid) this.#tell();
    };
    this.#subscriptions.push(
      await connection.onEvent('DomainEventCallbackMigrationIteration', mine),
      await connection.onLifecycle((event) => {
        if (event.dom.uuid !== this.#uuid) return;
        if (event.event === LifecycleEvent.resumed) this.paused = {};
        if (event.event === LifecycleEvent.suspended && this.paused.pausedAtMs === undefined)
          this.paused = { pausedAtMs: performance.now() };
        this.#tell();
      }),
      await connection.onEvent('DomainEventCallbackJobCompleted', ({ dom, params }) => {
        if (dom.uuid !== this.#uuid || jobKindOf(params) !== LiveJobKind.outgoing) return;
        // Newer ones may tell of a failure in the same way.
        const failed = params.some(
          (each) => each.field === JobParam.success && each.value === false,
        );
        if (failed) return;
        this.completed = sampleOf(params, { status: LiveStatus.completed, inPostCopy: false });
        this.#tell();
      }),
    );
    void connection.closed.then(() => this.#tell());
  }

  /** Resolves at the next news, also at those since the last call, after `timeoutMs` at the latest. */
  async next(timeoutMs: number): Promise<void> {
    if (!this.#isNew && this.#signal?.aborted !== true) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#wake = () => resolve(undefined);
      const timer = setTimeout(this.#wake, timeoutMs);
      this.#signal?.addEventListener('abort', this.#wake, { once: true });
      await promise;
      clearTimeout(timer);
      this.#signal?.removeEventListener('abort', this.#wake);
    }
    this.#isNew = false;
  }

  async stop(): Promise<void> {
    for (const subscription of this.#subscriptions) {
      // On a lost connection there is nothing to stop, and the first error is the one to show.
      await subscription.stop().catch(() => undefined);
    }
  }

  #tell(): void {
    this.#isNew = true;
    this.#wake();
  }
}
