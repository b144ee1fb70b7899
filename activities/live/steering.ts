import {
  beginConvergence,
  ConvergenceAct,
  countAnew,
  nextConvergenceStep,
} from '../../domain/convergence.ts';
import type {
  ConvergenceOptions,
  ConvergenceState,
  ConvergenceStep,
} from '../../domain/convergence.ts';
import { predictEnd } from '../../domain/convergence-prediction.ts';
import { VmFerryError } from '../../domain/errors.ts';
import type { LiveProgress, LiveWishes } from '../../domain/live.ts';
import type { LiveSample } from '../../platforms/libvirt/live/sample.ts';
import { unpaused } from './paused-by-us.ts';
import type { LiveMemory, MoveFolder } from '../move-folder.ts';
import type { LiveHypervisor } from '../parts.ts';
import { mebibytesOf } from './limits.ts';
import { isTrouble } from './run-outcome.ts';

/** Of a run, in its report: the last ones. */
const mostSteps = 100;

export interface SteeringOptions {
  live: LiveHypervisor;
  folder: MoveFolder;
  uuid: string;
  wishes: LiveWishes;
  memory: LiveMemory;
  /**
   * Where the run began with a part of its cap for each disk: gives all of it, bytes a second, for the memory. What a disk
   * began with libvirt 9.0 changes no more.
   */
  wholeCap?: () => Promise<number>;
}

/** Has each sample of a run judged by the convergence policy, does what that says, and writes it down. */
export class Steering {
  readonly #options: SteeringOptions;
  readonly #policy: ConvergenceOptions;
  #memory: LiveMemory;
  #state: ConvergenceState;
  /** Nobody looked since the last act was written down: patience is counted from the first look on. */
  #isAttached: boolean;
  #tunedDowntimeMs: number | undefined;
  #isWhole = false;

  constructor(options: SteeringOptions, { isAttached }: { isAttached: boolean }) {
    this.#options = options;
    this.#policy = policyOf(options.wishes);
    this.#memory = options.memory;
    const { convergence, paused = false } = options.memory;
    // Of the pause the run's memory knows first; what an older version wrote may lack a field.
    this.#state = { ...beginConvergence(this.#policy), ...convergence, paused };
    this.#isAttached = isAttached;
  }

  /** What is remembered of the run by now. */
  get memory(): LiveMemory {
    return this.#memory;
  }

  get gaveUp(): boolean {
    return this.#state.rung === ConvergenceAct.giveUp;
  }

  /** Judges, acts, and gives what is to be shown. Throws what libvirt has against an order. */
  async take(sample: LiveSample): Promise<LiveProgress> {
    await this.#heedTuning();
    await this.#liftPart(sample);
    if (this.#isAttached) this.#state = countAnew(this.#state, sample);
    this.#isAttached = false;
    const step = nextConvergenceStep(this.#state, sample, this.#policy);
    if (step.act === ConvergenceAct.wait) this.#state = step.state;
    else await this.#carryOut(step, sample);
    return this.show(sample, step.why);
  }

  /** The sample as people see it. */
  show(sample: LiveSample, outlook: string): LiveProgress {
    const { bytesPerSecond, diskBytesPerSecond } = sample;
    const etaMs = etaOf(sample, this.#state);
    return {
      elapsedMs: sample.elapsedMs,
      iteration: sample.iteration,
      memoryTotalBytes: sample.memoryTotalBytes,
      memoryProcessedBytes: sample.memoryProcessedBytes,
      memoryRemainingBytes: sample.memoryRemainingBytes,
      bytesPerSecond: bytesPerSecond + diskBytesPerSecond,
      dirtyBytesPerSecond: sample.dirtyBytesPerSecond,
      diskTotalBytes: sample.diskTotalBytes,
      diskProcessedBytes: sample.diskProcessedBytes,
      diskRemainingBytes: sample.diskRemainingBytes,
      throttlePercent: sample.throttlePercent,
      inPostCopy: sample.inPostCopy,
      ...(etaMs === undefined ? {} : { etaMs }),
      outlook,
    };
  }

  /** Pauses a guest that libvirt had go on here although it may run at the target: both hosts are asked first. */
  async pauseTakenBack(): Promise<void> {
    await this.remember({ paused: true });
    await this.#options.live.pauseGuest(this.#options.uuid);
  }

  /** Writes down that the guest, which the policy had paused, goes on here. */
  async resumed(): Promise<void> {
    this.#memory = unpaused(this.#memory);
    await this.remember({});
  }

  /** Writes down what belongs to the run beside its acts. */
  async remember(more: Partial<LiveMemory>): Promise<void> {
    this.#memory = { ...this.#memory, ...more };
    await this.#options.folder.write('live', this.#memory);
  }

  /** Once copies are under way: before, libvirt would take the part for the memory again. */
  async #liftPart({ diskTotalBytes }: LiveSample): Promise<void> {
    const { live, uuid, wholeCap } = this.#options;
    if (this.#isWhole || diskTotalBytes === 0 || wholeCap === undefined) return;
    this.#isWhole = true;
    await live.setBandwidth(uuid, mebibytesOf(await wholeCap()));
  }

  /** A person's own limit goes before the one that the run was begun with, and is where raising it goes on from. */
  async #heedTuning(): Promise<void> {
    const downtimeMs = (await this.#options.folder.read('tuned'))?.maxDowntimeMs;
    if (downtimeMs === undefined || downtimeMs === this.#tunedDowntimeMs) return;
    this.#tunedDowntimeMs = downtimeMs;
    this.#state = { ...this.#state, downtimeMs };
  }

  async #carryOut(step: ConvergenceStep, { elapsedMs: atMs }: LiveSample): Promise<void> {
    const { act } = step;
    let { why, state } = step;
    try {
      await this.#order(step);
    } catch (error) {
      // libvirt's no ends nothing: the run goes on, and so does the ladder, once patience is used up again.
      if (isTrouble(error) || !(error instanceof VmFerryError)) throw error;
      why = `${why}; libvirt refused: ${error.message}`;
      if (act === ConvergenceAct.postCopy || act === ConvergenceAct.giveUp)
        state = { ...state, rung: this.#state.rung };
      if (act === ConvergenceAct.pause) {
        state = { ...state, paused: false };
        this.#memory = unpaused(this.#memory);
      }
    }
    const steps = [...this.#memory.steps, { act, why, atMs }].slice(-mostSteps);
    this.#state = state;
    await this.remember({ convergence: state, steps });
  }

  async #order({ act, state }: ConvergenceStep): Promise<void> {
    const { live, uuid } = this.#options;
    switch (act) {
      case ConvergenceAct.raiseDowntime:
        await live.setMaxDowntimeMs(uuid, state.downtimeMs);
        break;
      case ConvergenceAct.postCopy:
        await live.startPostCopy(uuid);
        break;
      case ConvergenceAct.pause:
        // Before the guest stands still: whoever comes after us has to know why it does.
        await this.remember({ paused: true });
        await live.pauseGuest(uuid);
        break;
      case ConvergenceAct.giveUp:
        await live.abort(uuid);
        break;
      // QEMU throttles by itself, since the run was begun with leave for that.
      case ConvergenceAct.throttle:
      case ConvergenceAct.wait:
        break;
    }
  }
}

const policyOf = (wishes: LiveWishes): ConvergenceOptions => ({
  maxDowntimeMs: wishes.maxDowntimeMs,
  quicklyFinish: wishes.quicklyFinish,
  highestDowntimeMs: wishes.highestDowntimeMs,
  allowAutoConverge: wishes.autoConverge,
  allowPostCopy: wishes.postCopy,
  allowPause: wishes.pause,
  patienceMs: wishes.patienceMs,
});

/** Until the end, ms; undefined where it would never come or nobody can tell yet. */
function etaOf(sample: LiveSample, state: ConvergenceState): number | undefined {
  const { diskRemainingBytes: disk, diskBytesPerSecond: diskRate } = sample;
  if (sample.iteration === 0 && disk > 0)
    return diskRate > 0 ? Math.round((disk / diskRate) * 1000) : undefined;
  if (sample.iteration === 0) return undefined;
  const prediction = predictEnd(sample, state);
  return prediction.ends && Number.isFinite(prediction.etaMs)
    ? Math.round(prediction.etaMs)
    : undefined;
}
