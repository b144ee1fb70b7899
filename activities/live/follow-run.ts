import { setTimeout as delay } from 'node:timers/promises';
import { transient, VmFerryError } from '../../domain/errors.ts';
import { LiveOrder } from '../../platforms/libvirt/live/live-migration.ts';
import { LiveStatus } from '../../platforms/libvirt/live/sample.ts';
import type { LiveSample } from '../../platforms/libvirt/live/sample.ts';
import type { LiveHypervisor } from '../parts.ts';
import type { BegunRun, LetGo } from './begin-run.ts';
import type { Steering } from './steering.ts';

/** libvirt has taken the call; until its job shows, a loaded host needs a moment. */
const beginsWithinMs = 60_000;
/** From the end of the call to the last figures, ms, and the other way round. */
const lastFiguresMs = 2_000;
const settlesWithinMs = 30_000;
/** Undoing copied disks takes QEMU a while. */
const abortEndsMs = 120_000;

export interface Following {
  live: LiveHypervisor;
  vm: { name: string; uuid: string };
  host: string;
  steering: Steering;
  /** Absent where an earlier attempt began the run. */
  begun?: BegunRun;
  signal: AbortSignal;
  /** Whether the signal means that the migration is to be undone; else it is left alone. */
  cancelAsked: () => boolean;
  report: (details: unknown) => void;
}

/** How a run looked until its end. */
export interface RunEnd {
  last?: LiveSample;
  /** What libvirt said; absent where it said that all is well, or said it to an attempt that is gone. */
  refusal?: Error;
  /** Whether libvirt itself said that all is well. */
  arrived: boolean;
  /** libvirt took our order to undo it. */
  aborted: boolean;
  /** What became of a guest that arrived paused, where this attempt was the one to hear of it. */
  held?: LetGo;
}

/**
 * Watches a run until libvirt is done with it, steering it. Throws the signal's reason where the run is to be left
 * alone, and what `LiveMigration.watch` throws: then the run may go on, and the next attempt finds it.
 */
export async function followRun(run: Following): Promise<RunEnd> {
  const watching = new AbortController();
  const leave = (): void => {
    if (!run.cancelAsked()) watching.abort();
  };
  run.signal.addEventListener('abort', leave);
  try {
    if (run.signal.aborted) leave();
    const seen = await watch(run, watching);
    if (!run.cancelAsked()) run.signal.throwIfAborted();
    const isBroken = seen.last?.status === LiveStatus.interrupted;
    const said = isBroken ? undefined : await saidAtEnd(run);
    const hasCompleted = seen.last?.status === LiveStatus.completed;
    const arrived = said === undefined ? hasCompleted : said.refusal === undefined;
    return { ...seen, arrived, ...said };
  } finally {
    run.signal.removeEventListener('abort', leave);
    run.begun?.leave();
  }
}

async function watch(
  run: Following,
  watching: AbortController,
): Promise<Pick<RunEnd, 'last' | 'aborted'>> {
  const { live, vm, steering, begun } = run;
  let last: LiveSample | undefined;
  let abortedAtMs: number | undefined;
  void begun?.settled.then(async ({ refusal }) => {
    // Where nothing was seen of a run that was refused, there is nothing to wait for.
    if (refusal === undefined || last !== undefined) await delay(lastFiguresMs);
    watching.abort();
  });
  const options = { startWithinMs: begun === undefined ? 0 : beginsWithinMs };
  for await (const sample of live.watch(vm.uuid, { ...options, signal: watching.signal })) {
    const isActive = sample.status === LiveStatus.active;
    // A job that is being undone shows no figures any more.
    const isBlank = isActive && last !== undefined && sample.elapsedMs < last.elapsedMs;
    if (!isBlank) last = sample;
    if (!isActive) continue;
    const isUnwanted = run.cancelAsked() || steering.gaveUp;
    if (isUnwanted && abortedAtMs === undefined && (await canBeUndone(run)))
      abortedAtMs = performance.now();
    const outlook =
      abortedAtMs === undefined && !isBlank
        ? await steering.take(sample)
        : steering.show(last ?? sample, 'it is being undone');
    if (steering.gaveUp) abortedAtMs ??= performance.now();
    run.report({ live: outlook });
    if (abortedAtMs !== undefined && performance.now() - abortedAtMs > abortEndsMs)
      throw notUndone(run);
  }
  return { aborted: abortedAtMs !== undefined, ...(last === undefined ? {} : { last }) };
}

/** Orders libvirt to undo the run; false where it goes on, since the guest runs at the target already. */
async function canBeUndone({ live, vm }: Following): Promise<boolean> {
  try {
    return (await live.abort(vm.uuid)) === LiveOrder.done;
  } catch (error) {
    if (error instanceof VmFerryError && error.code === 'live-in-post-copy') return false;
    throw error;
  }
}

/** What libvirt said to this attempt; undefined where it said nothing in time, or was asked by another. */
async function saidAtEnd({
  begun,
  signal,
}: Following): Promise<Pick<RunEnd, 'refusal' | 'held'> | undefined> {
  if (begun === undefined) return undefined;
  const timer = new AbortController();
  const tooLong = delay(settlesWithinMs, undefined, { signal: timer.signal });
  tooLong.catch(() => undefined);
  try {
    return await Promise.race([begun.settled, tooLong]);
  } finally {
    timer.abort(signal.reason);
  }
}

const notUndone = ({ vm, host }: Following) =>
  transient({
    code: 'live-still-leaving',
    message: `libvirt on ${host} has not undone the live migration of ${vm.name} in ${abortEndsMs / 1000} s`,
    remedy: `It is looked at again. If it stays so, see on ${host}: virsh domjobinfo ${vm.name}.`,
    host,
  });
