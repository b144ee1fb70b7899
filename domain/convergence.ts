/**
 * Whether a live move will end, and what to do if it will not: the policy in plain words.
 *
 * A live move copies the guest's memory while the guest changes it, pass after pass, until what is left crosses within
 * the pause that is allowed. It ends if more crosses than changes. Where it does not, there is a ladder, and only rungs
 * that the plan allows are on it: allow a longer pause, slow the guest down, let it go on at the target before its
 * memory is there (post-copy), pause it, give up. A run that is seen to converge is left alone; one that is not gets
 * `patienceMs` before each rung. Nobody ever climbs down.
 *
 * What comes of a pass is known when the next one begins, and a pass takes as long as the link makes it. So whatever
 * shows only from pass to pass (less is left, QEMU took more from the guest) is waited for in passes as well as in time.
 */
import { etaOf, margin, predictEnd } from './convergence-prediction.ts';
import type { ConvergenceSample } from './convergence-prediction.ts';

export type { ConvergenceSample } from './convergence-prediction.ts';

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
  /** The guest stands still until the end, by the policy's order. */
  paused: boolean;
  /** When the run last was believed to end, or was acted upon; of `elapsedMs`. */
  hopeAtMs: number;
  /** When it last came nearer to its end, from pass to pass, and in which one. */
  nearerAtMs: number;
  nearerPass: number;
  /** With how much the pass began that had least to do. */
  leastBytes: number;
  /** The pass that runs, what is left of it, and when that last grew less. */
  pass: number;
  passLeftBytes: number;
  fellAtMs: number;
  /** What had crossed, and when that last grew. */
  crossedBytes: number;
  crossedAtMs: number;
  throttlePercent: number;
  /** It was given up since nothing crossed: that says of the link, and nothing of the guest. */
  stalled: boolean;
}

/** The next act. `raise-downtime` is to the state's `downtimeMs`; all others say all by their name. */
export interface ConvergenceStep {
  act: ConvergenceAct;
  /** A sentence for the report. */
  why: string;
  state: ConvergenceState;
}

/** A prediction that comes to nothing for so many times the patience, and so many passes, is believed no more. */
const disbeliefAfterPatiences = 3;
const disbeliefAfterPasses = 3;
/** QEMU takes more from the guest after every second pass that did not help: two such steps may fail to come. */
const throttlePasses = 4;
/** However long those passes take. */
const longestThrottleMs = 30 * 60_000;
/** Until the first byte the target's QEMU is started, which was seen to take 8 s on a loaded machine. */
const preparationMs = 120_000;
/** More than the guest may lose to auto-converge is not to be had. */
const highestThrottlePercent = 99;

export const beginConvergence = (options: ConvergenceOptions): ConvergenceState => ({
  rung: ConvergenceAct.wait,
  downtimeMs: options.maxDowntimeMs,
  paused: false,
  hopeAtMs: 0,
  nearerAtMs: 0,
  nearerPass: 0,
  // Not infinity, which JSON does not know.
  leastBytes: Number.MAX_SAFE_INTEGER,
  pass: 0,
  passLeftBytes: Number.MAX_SAFE_INTEGER,
  fellAtMs: 0,
  crossedBytes: 0,
  crossedAtMs: 0,
  throttlePercent: 0,
  stalled: false,
});

/** What is remembered of a run that nobody watched for a while: patience is counted from this sample on. */
export const countAnew = (
  state: ConvergenceState,
  { elapsedMs: now, iteration: pass }: ConvergenceSample,
): ConvergenceState => ({
  ...state,
  ...{ hopeAtMs: now, nearerAtMs: now, nearerPass: pass, fellAtMs: now, crossedAtMs: now },
});

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
    const step = climb(seen, ConvergenceAct.giveUp, {
      sample,
      why: `nothing has crossed for ${seconds(stuckMs)}`,
    });
    return { ...step, state: { ...step.state, stalled: true } };
  }
  if (isPreparing) return wait('the target is being prepared');
  if (sample.diskRemainingBytes > 0 && sample.iteration <= 1) return wait('disks are copied first');
  if (sample.iteration <= 1) return wait('the first pass over memory runs');
  const prediction = predictEnd(sample, seen);
  if (prediction.ends && isBelieved(seen, sample, options)) {
    const step = wait(`it ends in about ${seconds(prediction.etaMs)}: ${prediction.why}`);
    // Believing is bounded by what only a real advance moves.
    return { ...step, state: { ...seen, hopeAtMs: now } };
  }
  if (isPatient(seen, sample, options))
    return wait(`it does not look as if it would end (${prediction.why}); it gets a while`);
  const reason = prediction.ends
    ? `it was to end, but came no nearer in ${seconds(now - seen.nearerAtMs)}`
    : prediction.why;
  return act(seen, sample, { options, reason });
}

/** A prediction is one as long as something comes of it: less is left of this pass, or passes grow smaller. */
function isBelieved(
  state: ConvergenceState,
  { elapsedMs: now, iteration }: ConvergenceSample,
  { patienceMs }: ConvergenceOptions,
): boolean {
  const limitMs = patienceMs * disbeliefAfterPatiences;
  if (now - state.fellAtMs >= limitMs) return false;
  return now - state.nearerAtMs < limitMs || iteration - state.nearerPass < disbeliefAfterPasses;
}

/** Whether a run that looks endless gets more time for what was done last. */
function isPatient(
  state: ConvergenceState,
  { elapsedMs: now, iteration }: ConvergenceSample,
  { patienceMs }: ConvergenceOptions,
): boolean {
  const idleMs = now - Math.max(state.nearerAtMs, state.hopeAtMs);
  if (idleMs < patienceMs) return true;
  if (state.rung !== ConvergenceAct.throttle) return false;
  // Not from the last hope on: near its end each pass looks for a moment as if it were the last.
  return iteration - state.nearerPass < throttlePasses && idleMs < longestThrottleMs;
}

interface Climb {
  options: ConvergenceOptions;
  reason: string;
}

/** The lowest rung that is allowed and not used up. */
function act(
  state: ConvergenceState,
  sample: ConvergenceSample,
  { options, reason }: Climb,
): ConvergenceStep {
  const at = ladder.indexOf(state.rung);
  const mayTake = (rung: ConvergenceAct): boolean => ladder.indexOf(rung) > at;
  const higherMs = raisedDowntimeMs(state.downtimeMs, sample, options);
  if (at <= ladder.indexOf(ConvergenceAct.raiseDowntime) && higherMs > state.downtimeMs) {
    const why = `${reason}; a pause of ${higherMs} ms is allowed from now on`;
    const raised = { ...state, downtimeMs: higherMs };
    return climb(raised, ConvergenceAct.raiseDowntime, { sample, why });
  }
  if (options.allowAutoConverge && mayTake(ConvergenceAct.throttle)) {
    return climb(state, ConvergenceAct.throttle, {
      sample,
      why: `${reason}; QEMU slows the guest down step by step`,
    });
  }
  if (options.allowPostCopy && mayTake(ConvergenceAct.postCopy)) {
    return climb(state, ConvergenceAct.postCopy, {
      sample,
      why: `${reason}; the guest goes on at the target while its memory follows`,
    });
  }
  if (options.allowPause && mayTake(ConvergenceAct.pause)) {
    return climb(state, ConvergenceAct.pause, {
      sample,
      why: `${reason}; the guest is paused until the end of the move`,
    });
  }
  return climb(state, ConvergenceAct.giveUp, { sample, why: `${reason}; the plan allows no more` });
}

function climb(
  state: ConvergenceState,
  rung: ConvergenceAct,
  { sample: { elapsedMs: now, iteration: pass }, why }: { sample: ConvergenceSample; why: string },
): ConvergenceStep {
  const paused = state.paused || rung === ConvergenceAct.pause;
  // Whatever was left before, from here on each page counts.
  const passLeftBytes = Number.MAX_SAFE_INTEGER;
  const stalled = false;
  const since = { hopeAtMs: now, nearerAtMs: now, nearerPass: pass, fellAtMs: now };
  return { act: rung, why, state: { ...state, rung, paused, passLeftBytes, stalled, ...since } };
}

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

/** What a sample adds to what is known. A pass that begins with a twentieth less than any before is an advance. */
function remember(state: ConvergenceState, sample: ConvergenceSample): ConvergenceState {
  const { elapsedMs: now, iteration } = sample;
  const crossed = sample.memoryProcessedBytes + sample.diskProcessedBytes;
  const left = sample.memoryRemainingBytes + sample.diskRemainingBytes;
  const isFirst = iteration <= 1;
  const isNew = iteration !== state.pass;
  const isSmaller = isNew && !isFirst && left < state.leastBytes * margin;
  const hasFallen = isNew || left < state.passLeftBytes * margin;
  const throttle = Math.min(sample.throttlePercent, highestThrottlePercent);
  // QEMU takes a step at a time from the guest: as long as it does, the rung is not used up.
  const throttlesMore = state.rung === ConvergenceAct.throttle && throttle > state.throttlePercent;
  const isNearer = isFirst || isSmaller || throttlesMore;
  return {
    ...state,
    pass: iteration,
    passLeftBytes: hasFallen ? left : state.passLeftBytes,
    fellAtMs: hasFallen || isFirst ? now : state.fellAtMs,
    leastBytes: isSmaller ? left : state.leastBytes,
    nearerAtMs: isNearer ? now : state.nearerAtMs,
    nearerPass: isNearer ? iteration : state.nearerPass,
    crossedBytes: Math.max(crossed, state.crossedBytes),
    crossedAtMs: crossed > state.crossedBytes ? now : state.crossedAtMs,
    throttlePercent: Math.max(throttle, state.throttlePercent),
  };
}

const seconds = (ms: number): string => `${Number((ms / 1000).toFixed(1))} s`;
