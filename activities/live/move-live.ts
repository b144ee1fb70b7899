import { lowestCap } from '../../domain/bandwidth.ts';
import { LiveJobKind, LivePlace } from '../../domain/live-outcome.ts';
import { setTimeout as delay } from 'node:timers/promises';
import type { LiveSample } from '../../platforms/libvirt/live/sample.ts';
import type { LiveView } from '../../platforms/libvirt/live/view.ts';
import type { Attempt } from '../boundary.ts';
import type { MoveLiveInput, MoveLiveResult } from '../contract.ts';
import type { LiveMemory } from '../move-folder.ts';
import { folderOf, whileOurs } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { beginRun, copiesOf, runOptionsOf } from './begin-run.ts';
import type { BegunRun } from './begin-run.ts';
import { followRun } from './follow-run.ts';
import type { RunEnd } from './follow-run.ts';
import { isTrouble, resultOf } from './run-outcome.ts';
import { mebibytesOf } from './limits.ts';
import { notBegun, otherJob, runOver, stillLeaving, whyNotBegun } from './refused-run.ts';
import { Steering } from './steering.ts';
import { viewOnce } from './waits.ts';

/** How long the lock is held for libvirt's job to show: another verb must not look in between. */
const jobShowsMs = 30_000;
const lookEveryMs = 100;
/** From the end of libvirt's call to the end of its job, ms. */
const jobEndsMs = 30_000;
const resumesWithinMs = 30_000;

export interface LiveAttempt extends Attempt {
  /** Whether the signal, once it fires, means a cancel; else whoever comes next goes on with the migration. */
  cancelAsked: () => boolean;
  /** What this host leaves to the run at the moment, bytes a second; 0 is no cap. */
  hostShare: () => Promise<number>;
}

/**
 *   ledger is ours? --- the run was seen to end ------------------------------------> its result
 *        |              it was begun before --- its job is there --> follow --------> what came of it
 *        |                                  `-- no job -----------------------------> what is seen now
 *        `------------- it was not: written down, libvirt asked ---> follow --------> what came of it
 *
 * Never begins twice for one run. What libvirt has against the migration comes as `fault`; trouble with reaching this
 * host's libvirt is thrown, and the next attempt attaches.
 */
export async function moveLive(
  parts: HostParts,
  input: MoveLiveInput,
  attempt: LiveAttempt,
): Promise<MoveLiveResult> {
  const { migrationId } = input;
  const { signal } = attempt;
  return parts.operations.exclusive({ migrationId, name: 'move live', signal }, (inner) =>
    moveNow(parts, input, { ...attempt, signal: inner }),
  );
}

/** How an attempt finds its run. */
type Found =
  | { how: 'over'; result: MoveLiveResult }
  | { how: 'ended'; view: LiveView; memory: LiveMemory }
  | { how: 'runs'; memory: LiveMemory; begun?: BegunRun };

async function moveNow(
  parts: HostParts,
  input: MoveLiveInput,
  attempt: LiveAttempt,
): Promise<MoveLiveResult> {
  const { live } = parts.hypervisor;
  const folder = folderOf(parts, input);
  const { wishes } = input;
  const bandwidthBytesPerSecond = lowestCap(
    input.bandwidthBytesPerSecond,
    await attempt.hostShare(),
  );
  const found = await find(parts, input, { ...attempt, bandwidthBytesPerSecond });
  if (found.how === 'over') return found.result;
  if (found.how === 'ended') return concludeUnseen(parts, input, found);
  const { memory, begun } = found;
  const { uuid } = input.vm;
  const isAttached = begun === undefined;
  // It may have been begun under another cap, which nobody told it while no worker was there.
  if (isAttached) await live.setBandwidth(uuid, mebibytesOf(bandwidthBytesPerSecond));
  const cap = async (): Promise<number> => {
    const { bandwidthBytesPerSecond: own = input.bandwidthBytesPerSecond } =
      (await folder.read('tuned')) ?? {};
    return lowestCap(own, await attempt.hostShare());
  };
  const isDivided = begun !== undefined && bandwidthBytesPerSecond > 0 && copiesOf(input) > 1;
  const steering = new Steering(
    { live, folder, uuid, wishes, memory, ...(isDivided ? { wholeCap: cap } : {}) },
    { isAttached },
  );
  const takenBack = pauseIfTakenBack(parts, input, { begun, steering, attempt });
  // It is awaited further down, unless the run is left before: a fault of it must not end the worker meanwhile.
  takenBack.catch(() => undefined);
  const end = await followRun({
    ...{ live, vm: input.vm, host: parts.name, steering },
    ...(begun === undefined ? {} : { begun }),
    ...attempt,
  });
  await takenBack;
  return conclude(parts, input, { attempt, end, steering });
}

/**
 * Where the guest does not arrive paused, a lost answer at the switch has libvirt let it go on at both ends. So it is
 * paused here as soon as that is seen, until both hosts were asked. Nobody ordered the end of such a run.
 */
async function pauseIfTakenBack(
  { hypervisor: { live } }: HostParts,
  { vm: { uuid } }: MoveLiveInput,
  {
    begun,
    steering,
    attempt,
  }: { begun: BegunRun | undefined; steering: Steering; attempt: LiveAttempt },
): Promise<void> {
  const said = await begun?.settled;
  if (said?.refusal === undefined || steering.gaveUp || attempt.signal.aborted) return;
  if (isTakenBack(await live.viewOf(uuid), steering.memory)) await steering.pauseTakenBack();
}

const isTakenBack = ({ place, cameBack }: LiveView, { arrivesPaused }: LiveMemory): boolean =>
  place === LivePlace.running && cameBack === true && arrivesPaused !== true;

/** Finds the run or begins it, under the lock; whoever comes next then sees either its job or its end. */
async function find(
  parts: HostParts,
  input: MoveLiveInput,
  at: LiveAttempt & { bandwidthBytesPerSecond: number },
): Promise<Found> {
  const { live } = parts.hypervisor;
  const { run, vm } = input;
  const { signal } = at;
  const folder = folderOf(parts, input);
  const options = {
    ref: input,
    states: ['migrating-out'] as const,
    operation: 'move live',
    signal,
  };
  return whileOurs(parts, options, async () => {
    const known = await folder.read('live');
    const view = await live.viewOf(vm.uuid);
    if (known !== undefined && run < known.run) throw runOver(parts.name, input, known.run);
    if (known?.run === run) {
      if (known.result !== undefined) return { how: 'over', result: known.result };
      return isLeaving(view)
        ? { how: 'runs', memory: known }
        : { how: 'ended', view, memory: known };
    }
    if (view.job.kind !== LiveJobKind.none) throw otherJob(parts.name, input);
    const fault = whyNotBegun(parts.name, input, view);
    if (fault !== undefined) return { how: 'over', result: notBegun(fault) };
    const asked = await runOptionsOf(parts, input, at.bandwidthBytesPerSecond);
    signal.throwIfAborted();
    // A run that broke off may have left it so, and whoever asks for the next one has seen that it stayed here.
    if (known?.paused === true && view.place === LivePlace.paused) await live.resumeGuest(vm.uuid);
    await folder.removeFile('tuned.json');
    const keepPaused = view.place === LivePlace.paused && known?.paused !== true;
    const memory: LiveMemory = {
      ...{ run, steps: [] },
      ...(keepPaused ? { guestPaused: true } : {}),
      ...(asked.arrivePaused === true ? { arrivesPaused: true } : {}),
    };
    await folder.write('live', memory);
    const begun = beginRun(parts, asked, { keepPaused });
    try {
      await untilSeen(parts, vm.uuid, begun);
    } catch (error) {
      begun.leave();
      throw error;
    }
    return { how: 'runs', memory, begun };
  });
}

async function untilSeen({ hypervisor }: HostParts, uuid: string, begun: BegunRun): Promise<void> {
  const deadline = performance.now() + jobShowsMs;
  const settled = begun.settled.then(() => true);
  while (performance.now() < deadline) {
    if (isLeaving(await hypervisor.live.viewOf(uuid))) return;
    if (await Promise.race([settled, delay(lookEveryMs, false)])) return;
  }
}

const isLeaving = ({ job }: LiveView): boolean => job.kind === LiveJobKind.outgoing;

/** What came of a run that was followed to its end. */
async function conclude(
  parts: HostParts,
  input: MoveLiveInput,
  { attempt, end, steering }: { attempt: LiveAttempt; end: RunEnd; steering: Steering },
): Promise<MoveLiveResult> {
  const { live } = parts.hypervisor;
  const { name: vm, uuid } = input.vm;
  const { refusal } = end;
  if (refusal !== undefined && isTrouble(refusal)) throw refusal;
  // A cancel fires the signal for good; from here on every wait has its own limit.
  const { signal } = new AbortController();
  const isOver = (view: LiveView): boolean =>
    !isLeaving(view) || view.place === LivePlace.postCopyFailed;
  let view = await viewOnce(parts, uuid, isOver, { timeoutMs: jobEndsMs, signal });
  if (!isOver(view)) throw stillLeaving(parts.name, input);
  const isUnasked = !end.aborted && !attempt.cancelAsked();
  if (isUnasked && isTakenBack(view, steering.memory)) {
    await steering.pauseTakenBack();
    view = { ...view, place: LivePlace.switching };
  }
  if (end.aborted && steering.memory.paused === true) {
    view = await resumed(parts, input, { view, signal });
    if (view.place === LivePlace.running) await steering.resumed();
  }
  const last = await figuresOf(live, uuid, { end, place: view.place });
  const result = resultOf({
    ...{ host: parts.name, vm, place: view.place, memory: steering.memory },
    arrived: end.arrived,
    ...(end.held === undefined ? {} : { held: end.held }),
    ...(refusal === undefined ? {} : { refusal }),
    ...(last === undefined ? {} : { last }),
  });
  await steering.remember({ result });
  // It was called off as it was asked for; an arrival is told, whatever was asked for meanwhile.
  if (attempt.cancelAsked() && result.fault !== undefined) attempt.signal.throwIfAborted();
  return result;
}

/** The run was begun by an attempt that is gone, and is over. */
async function concludeUnseen(
  parts: HostParts,
  input: MoveLiveInput,
  found: { view: LiveView; memory: LiveMemory },
): Promise<MoveLiveResult> {
  const { live } = parts.hypervisor;
  const { name: vm, uuid } = input.vm;
  const folder = folderOf(parts, input);
  let { memory } = found;
  let { place } = found.view;
  if (isTakenBack(found.view, memory)) {
    memory = { ...memory, paused: true };
    await folder.write('live', memory);
    await live.pauseGuest(uuid);
    place = LivePlace.switching;
  }
  const last = place === LivePlace.movedAway ? await live.completedOf(uuid) : undefined;
  const result = resultOf({
    ...{ host: parts.name, vm, place, memory, arrived: false },
    ...(last === undefined ? {} : { last }),
  });
  // Halfway is for both hosts' views to decide, and a later look may see more.
  const isDecided = result.fault?.code !== 'live-outcome-unknown';
  if (isDecided) await folder.write('live', { ...memory, result });
  return result;
}

/** The last figures; those that libvirt keeps, where the watch ended before it saw them. */
async function figuresOf(
  live: HostParts['hypervisor']['live'],
  uuid: string,
  { end: { last }, place }: { end: RunEnd; place: LivePlace },
): Promise<LiveSample | undefined> {
  if (last?.status === 'completed' || place !== LivePlace.movedAway) return last;
  const kept = await live.completedOf(uuid);
  return kept !== undefined && kept.elapsedMs >= (last?.elapsedMs ?? 0) ? kept : last;
}

/** A guest that the policy paused goes on where it stayed; only after libvirt took our order to undo the run. */
async function resumed(
  parts: HostParts,
  input: MoveLiveInput,
  { view, signal }: { view: LiveView; signal: AbortSignal },
): Promise<LiveView> {
  const { live } = parts.hypervisor;
  const { uuid } = input.vm;
  const isPaused = ({ place }: LiveView): boolean =>
    place === LivePlace.paused || place === LivePlace.switching;
  if (!isPaused(view)) return view;
  const options = { ref: input, states: ['migrating-out'] as const, operation: 'resume', signal };
  return whileOurs(parts, options, async () => {
    const now = await live.viewOf(uuid);
    if (isLeaving(now) || !isPaused(now)) return now;
    await live.resumeGuest(uuid);
    const runs = ({ place }: LiveView): boolean => place === LivePlace.running;
    return viewOnce(parts, uuid, runs, { timeoutMs: resumesWithinMs, signal });
  });
}
