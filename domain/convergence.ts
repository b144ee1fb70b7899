/**
 * Whether a live move will end, and what to do if it will not: the policy in plain words.
 *
 * A live move copies the guest's memory while the guest changes it, pass after pass, until what is left crosses within
 * the pause that is allowed. It ends if more crosses than changes. Where it does not, there is a ladder, and only rungs
 * that the plan allows are on it: allow a longer pause, slow the guest down, let it go on at the target before its
 * memory is there (post-copy), pause it, give up. A run that is seen to converge is left alone; one that is not gets
 * `patienceMs` before each rung. Nobody ever climbs down.
 */

/** What libvirt says of a run; bytes, and bytes a second. */
export interface ConvergenceSample {
  elapsedMs: number;
  /** The pass over memory that runs; 0 before the first. */
  iteration: number;
  memoryProcessedBytes: number;
  memoryRemainingBytes: number;
  bytesPerSecond: number;
  /** 0 until the first pass is over. */
  dirtyBytesPerSecond: number;
  diskProcessedBytes: number;
  diskRemainingBytes: number;
  /** Share of the guest's time that QEMU's auto-converge takes away now. */
  throttlePercent: number;
  /** Whether the guest runs at the target already. */
  inPostCopy: boolean;
}

/** How far the plan lets a run go. */
export interface ConvergenceOptions {
  /** The pause that the guest may have, as the run was begun with. */
  maxDowntimeMs: number;
  /** Rather a longer pause than a long run: the pause is raised, up to `highestDowntimeMs`. */
  quicklyFinish: boolean;
  highestDowntimeMs: number;
  /** The run was begun with auto-converge; libvirt does not take it up later. */
  allowAutoConverge: boolean;
  /** The run was begun with leave for post-copy; libvirt does not take it up later. */
  allowPostCopy: boolean;
  /** The guest may be paused until the end of the run. */
  allowPause: boolean;
  /** How long a run may look endless before each rung. */
  patienceMs: number;
}

/** The rungs, in their order. */
export const ConvergenceAct = {
  wait: 'wait',
  raiseDowntime: 'raise-downtime',
  throttle: 'throttle',
  postCopy: 'post-copy',
  pause: 'pause',
  giveUp: 'give-up',
} as const;
export type ConvergenceAct = (typeof ConvergenceAct)[keyof typeof ConvergenceAct];

const ladder: readonly ConvergenceAct[] = Object.values(ConvergenceAct);

/** What the policy remembers from one sample to the next: plain data, so that it survives its worker. */
export interface ConvergenceState {
  /** The highest rung so far. */
  rung: ConvergenceAct;
  /** The pause that is allowed now. */
  downtimeMs: number;
  /** When the run last was seen to converge, to move ahead, or was acted upon; of `elapsedMs`. */
  hopeAtMs: number;
  /** When least was left, and how much; of passes after the first. */
  leastRemainingBytes: number;
  leastAtMs: number;
  /** What had crossed, and when that last grew. */
  crossedBytes: number;
  crossedAtMs: number;
  throttlePercent: number;
}

/** The next act. `raise-downtime` is to the state's `downtimeMs`; all others say all by their name. */
export interface ConvergenceStep {
  act: ConvergenceAct;
  /** A sentence for the report. */
  why: string;
  state: ConvergenceState;
}

/** Whether a run ends by itself, and when. */
export type Prediction = { ends: true; etaMs: number; why: string } | { ends: false; why: string };

/** Figures of QEMU's are averages of a pass: this close to one another they are no difference. */
const margin = 0.95;
/** A prediction that comes to nothing for so many times the patience is believed no more. */
const disbeliefAfterPatiences = 3;
/** Until the first byte the target's QEMU is started, which was seen to take 8 s on a loaded machine. */
const preparationMs = 120_000;
/** More than the guest may lose to auto-converge is not to be had. */
const highestThrottlePercent = 99;

export const beginConvergence = (options: ConvergenceOptions): ConvergenceState => ({
  rung: ConvergenceAct.wait,
  downtimeMs: options.maxDowntimeMs,
  hopeAtMs: 0,
  // Not infinity, which JSON does not know.
  leastRemainingBytes: Number.MAX_SAFE_INTEGER,
  leastAtMs: 0,
  crossedBytes: 0,
  crossedAtMs: 0,
  throttlePercent: 0,
});

/** Says whether a run ends if all stays as it is, with the pause that is allowed. */
export function predictEnd(sample: ConvergenceSample, downtimeMs: number): Prediction {
  const { bytesPerSecond: rate, dirtyBytesPerSecond: dirty, memoryRemainingBytes: left } = sample;
  if (sample.inPostCopy) {
    return { ends: true, etaMs: etaOf(left, rate), why: 'post-copy sends each page once' };
  }
  if (rate <= 0) return { ends: false, why: 'nothing crosses' };
  const atOnceBytes = (rate * downtimeMs) / 1000;
  if (sample.diskRemainingBytes === 0 && sample.iteration > 1 && left <= atOnceBytes) {
    return { ends: true, etaMs: 0, why: `what is left crosses within ${downtimeMs} ms` };
  }
  if (dirty >= rate * margin) {
    return {
      ends: false,
      why: `the guest changes ${perSecond(dirty)}, and ${perSecond(rate)} cross`,
    };
  }
  const etaMs = etaOf(Math.max(0, left - atOnceBytes), rate - dirty);
  return { ends: true, etaMs, why: `${perSecond(rate)} cross, and ${perSecond(dirty)} change` };
}

/**
 * The next act for a run, from what it shows now and what is remembered of it. Call it for each sample, in their order,
 * and do each act once: the state takes it as done. After `post-copy` and `give-up` there is nothing but `wait`.
 */
export function nextConvergenceStep(
  state: ConvergenceState,
  sample: ConvergenceSample,
  options: ConvergenceOptions,
): ConvergenceStep {
  const now = sample.elapsedMs;
  const seen = remember(state, sample);
  const wait = (why: string): ConvergenceStep => ({ act: ConvergenceAct.wait, why, state: seen });
  if (state.rung === ConvergenceAct.giveUp) return wait('it was given up');
  if (sample.inPostCopy || state.rung === ConvergenceAct.postCopy) {
    return wait('post-copy runs, which ends by itself and cannot be taken back');
  }
  const stuckMs = now - seen.crossedAtMs;
  const isPreparing = seen.crossedBytes === 0;
  const stuckLimitMs = isPreparing
    ? Math.max(options.patienceMs, preparationMs)
    : options.patienceMs;
  if (stuckMs >= stuckLimitMs) {
    // Post-copy over a link that carries nothing would take the guest down.
    return climb(seen, ConvergenceAct.giveUp, {
      now,
      why: `nothing has crossed for ${seconds(stuckMs)}`,
    });
  }
  if (isPreparing) return wait('the target is being prepared');
  if (sample.diskRemainingBytes > 0 && sample.iteration <= 1) return wait('disks are copied first');
  if (sample.iteration <= 1) return wait('the first pass over memory runs');
  const prediction = predictEnd(sample, seen.downtimeMs);
  const idleMs = now - Math.max(seen.leastAtMs, state.hopeAtMs);
  const believed = now - seen.leastAtMs < options.patienceMs * disbeliefAfterPatiences;
  if (prediction.ends && believed) {
    const step = wait(`it ends in about ${seconds(prediction.etaMs)}: ${prediction.why}`);
    // Believing is bounded by `leastAtMs`, which only a real advance moves.
    return { ...step, state: { ...seen, hopeAtMs: now } };
  }
  if (idleMs < options.patienceMs) {
    return wait(`it does not look as if it would end (${prediction.why}); it gets a while`);
  }
  const reason = prediction.ends
    ? `it was to end, but came no nearer in ${seconds(now - seen.leastAtMs)}`
    : prediction.why;
  return act(seen, sample, { options, now, reason });
}

interface Climb {
  options: ConvergenceOptions;
  now: number;
  reason: string;
}

/** The lowest rung that is allowed and not used up. */
function act(
  state: ConvergenceState,
  sample: ConvergenceSample,
  { options, now, reason }: Climb,
): ConvergenceStep {
  const at = ladder.indexOf(state.rung);
  const mayTake = (rung: ConvergenceAct): boolean => ladder.indexOf(rung) > at;
  const higherMs = raisedDowntimeMs(state.downtimeMs, sample, options);
  if (at <= ladder.indexOf(ConvergenceAct.raiseDowntime) && higherMs > state.downtimeMs) {
    const why = `${reason}; a pause of ${higherMs} ms is allowed from now on`;
    const raised = { ...state, downtimeMs: higherMs };
    return climb(raised, ConvergenceAct.raiseDowntime, { now, why });
  }
  if (options.allowAutoConverge && mayTake(ConvergenceAct.throttle)) {
    return climb(state, ConvergenceAct.throttle, {
      now,
      why: `${reason}; QEMU slows the guest down step by step`,
    });
  }
  if (options.allowPostCopy && mayTake(ConvergenceAct.postCopy)) {
    return climb(state, ConvergenceAct.postCopy, {
      now,
      why: `${reason}; the guest goes on at the target while its memory follows`,
    });
  }
  if (options.allowPause && mayTake(ConvergenceAct.pause)) {
    return climb(state, ConvergenceAct.pause, {
      now,
      why: `${reason}; the guest is paused until the end of the move`,
    });
  }
  return climb(state, ConvergenceAct.giveUp, { now, why: `${reason}; the plan allows no more` });
}

const climb = (
  state: ConvergenceState,
  rung: ConvergenceAct,
  { now, why }: { now: number; why: string },
): ConvergenceStep => ({
  act: rung,
  why,
  state: { ...state, rung, hopeAtMs: now, leastAtMs: now },
});

/** Twice the pause, or as much as would end the run at once, whichever is more; never above the highest. */
function raisedDowntimeMs(
  downtimeMs: number,
  sample: ConvergenceSample,
  options: ConvergenceOptions,
): number {
  if (!options.quicklyFinish) return downtimeMs;
  const neededMs = Math.ceil(etaOf(sample.memoryRemainingBytes, sample.bytesPerSecond));
  const wantedMs = Number.isFinite(neededMs) ? Math.max(2 * downtimeMs, neededMs) : 2 * downtimeMs;
  return Math.max(downtimeMs, Math.min(wantedMs, options.highestDowntimeMs));
}

/** What a sample adds to what is known. A pass that leaves a twentieth less than any before is an advance. */
function remember(state: ConvergenceState, sample: ConvergenceSample): ConvergenceState {
  const now = sample.elapsedMs;
  const crossed = sample.memoryProcessedBytes + sample.diskProcessedBytes;
  const hasCrossed = crossed > state.crossedBytes;
  const remaining = sample.memoryRemainingBytes + sample.diskRemainingBytes;
  const firstPass = sample.iteration <= 1;
  const isLess = !firstPass && remaining < state.leastRemainingBytes * margin;
  const throttle = Math.min(sample.throttlePercent, highestThrottlePercent);
  // QEMU takes a step at a time from the guest: as long as it does, the rung is not used up.
  const throttlesMore = state.rung === ConvergenceAct.throttle && throttle > state.throttlePercent;
  const advanced = firstPass || isLess || throttlesMore;
  return {
    ...state,
    crossedBytes: Math.max(crossed, state.crossedBytes),
    crossedAtMs: hasCrossed ? now : state.crossedAtMs,
    leastRemainingBytes: isLess ? remaining : state.leastRemainingBytes,
    leastAtMs: advanced ? now : state.leastAtMs,
    throttlePercent: Math.max(throttle, state.throttlePercent),
  };
}

const etaOf = (bytes: number, bytesPerSecond: number): number =>
  bytes === 0 ? 0 : (bytes / bytesPerSecond) * 1000;

const seconds = (ms: number): string => `${Number((ms / 1000).toFixed(1))} s`;

const perSecond = (bytesPerSecond: number): string =>
  `${Number((bytesPerSecond / (1024 * 1024)).toFixed(1))} MiB/s`;
