/** A live move played from a script: disks, four passes over memory, a longer pause allowed in the third. */
import type { MoveStatus } from '../../../cli/ferry.ts';
import type { LiveProgress } from '../../../domain/live.ts';
import { stepsOf } from '../../../domain/move.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import { epochMs, reportWith } from './fake-client.ts';

const at = (ms: number): string => new Date(epochMs + ms).toISOString();
const mib = 1024 ** 2;
const memory = 4096 * mib;
const disk = 10_240 * mib;

const beforeLive = [
  { name: 'check', ms: 800, phase: 'checking' },
  { name: 'reserve-target', ms: 300, phase: 'preparing' },
  { name: 'guard-source', ms: 200, phase: 'preparing' },
] as const;
const liveFromMs = 1300;
const liveForMs = 12_000;

/** One look at the run, `ms` after its begin. */
export function playedRun(ms: number): LiveProgress {
  const disksDone = Math.min(1, ms / 4000);
  const passes = [
    { fromMs: 4000, leftMib: 4096 },
    { fromMs: 7500, leftMib: 1100 },
    { fromMs: 9500, leftMib: 700 },
    { fromMs: 11_000, leftMib: 690 },
    { fromMs: liveForMs, leftMib: 0 },
  ];
  const iteration = passes.findLastIndex(({ fromMs }) => ms >= fromMs) + 1;
  const [pass, next] = [passes[iteration - 1], passes[iteration]];
  const share =
    pass === undefined || next === undefined ? 0 : (ms - pass.fromMs) / (next.fromMs - pass.fromMs);
  const left = pass === undefined ? memory : pass.leftMib * mib * (1 - share);
  const endless = iteration === 3;
  return {
    elapsedMs: ms,
    iteration,
    memoryTotalBytes: memory,
    memoryProcessedBytes: memory - left,
    memoryRemainingBytes: Math.round(left),
    bytesPerSecond: (iteration === 0 ? 2500 : 1000) * mib,
    dirtyBytesPerSecond: iteration > 1 ? 950 * mib : 0,
    diskTotalBytes: disk,
    diskProcessedBytes: Math.round(disk * disksDone),
    diskRemainingBytes: Math.round(disk * (1 - disksDone)),
    throttlePercent: 0,
    inPostCopy: false,
    ...(iteration === 4 ? { etaMs: Math.max(1000, liveForMs - ms) } : {}),
    outlook:
      iteration === 0
        ? 'disks are copied first'
        : iteration === 1
          ? 'the first pass over memory runs'
          : endless
            ? 'it does not look as if it would end (the guest changes 950 MiB/s, and 1000 MiB/s cross); it gets a while'
            : 'it ends in about 1 s: what is left crosses within 800 ms',
  };
}

/** How it went. */
export const playedLive: NonNullable<MoveReport['live']> = {
  runs: 1,
  steps: [
    {
      act: 'raise-downtime',
      why: 'the guest changes 950 MiB/s, and 1000 MiB/s cross; a pause of 800 ms is allowed from now on',
      atMs: 10_200,
    },
  ],
  totalMs: liveForMs,
  downtimeMs: 412,
  iterations: 4,
  memoryBytes: 6586 * mib,
  diskBytes: disk,
  postCopy: false,
};

/** The played live move as it stands `ms` after its start; ends waiting for a commit. */
export function playedLiveStatus(ms: number): MoveStatus {
  const report = reportWith({
    mode: 'live',
    steps: stepsOf({ live: defaultLiveWishes }).map((name) => ({
      name,
      state: 'waiting',
      attempts: 0,
    })),
    live: { runs: 1, steps: [], postCopy: false },
    disks: [
      { name: 'vda', capacityBytes: disk, bytesCopied: 0, bytesRecopied: 0, verified: false },
    ],
  });
  const step = (name: string) => report.steps.find((one) => one.name === name)!;
  let from = 0;
  for (const { name, ms: takes, phase } of beforeLive) {
    Object.assign(step(name), { state: 'running', startedAt: at(from) });
    report.phase = phase;
    if (ms < from + takes) return { report, progress: [] };
    Object.assign(step(name), { state: 'done', endedAt: at(from + takes) });
    from += takes;
  }
  Object.assign(step('live'), { state: 'running', startedAt: at(liveFromMs) });
  report.phase = 'moving';
  const runMs = ms - liveFromMs;
  if (runMs < liveForMs) return { report, progress: [], live: playedRun(runMs) };
  Object.assign(step('live'), { state: 'done', endedAt: at(liveFromMs + liveForMs) });
  Object.assign(step('cut-over'), {
    state: 'done',
    startedAt: at(liveFromMs + liveForMs),
    endedAt: at(liveFromMs + liveForMs + 400),
  });
  Object.assign(report, {
    phase: 'awaiting-commit',
    vmOn: 'beta',
    vmRunning: true,
    live: playedLive,
    downtimeMs: playedLive.downtimeMs,
  });
  return { report, progress: [] };
}
