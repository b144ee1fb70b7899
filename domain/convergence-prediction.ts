/** Whether a live move ends if nothing is done about it, by its figures of one moment. */

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

/** Whether a run ends by itself, and when. */
export type Prediction = { ends: true; etaMs: number; why: string } | { ends: false; why: string };

/** Figures of QEMU's are averages of a pass: this close to one another they are no difference. */
export const margin = 0.95;
/** Says whether a run ends if all stays as it is, with the pause that is allowed. */
export function predictEnd(
  sample: ConvergenceSample,
  { downtimeMs, paused }: { downtimeMs: number; paused: boolean },
): Prediction {
  const { bytesPerSecond: rate, memoryRemainingBytes: left } = sample;
  // A guest that stands still changes nothing, whatever QEMU's average of the pass says.
  const dirty = paused ? 0 : sample.dirtyBytesPerSecond;
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

/** What bytes take at a rate, ms; infinite where nothing crosses. */
export const etaOf = (bytes: number, bytesPerSecond: number): number =>
  bytes === 0 ? 0 : (bytes / bytesPerSecond) * 1000;

const perSecond = (bytesPerSecond: number): string =>
  `${Number((bytesPerSecond / (1024 * 1024)).toFixed(1))} MiB/s`;
