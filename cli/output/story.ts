/** What `vmferry explain -o json` prints. */
import { z } from 'zod';
import type { ImportStory, Story, StoryRun, StoryWork } from '../ferry.ts';
import { importPhase, importReport, importStepName } from './imports.ts';
import { liveStep } from './live.ts';
import { moveReport, orderName, phase, stepName } from './move.ts';
import { bytes, concern, count, fault, flag, milliseconds, text, time, vm } from './parts.ts';
import type { ShapeOf } from './parts.ts';

const end = z.enum(['completed', 'failed', 'cancelled', 'terminated', 'timed-out', 'other']);
const failure = { at: time, fault };

const run: z.ZodType<StoryRun> = z.strictObject({
  fault: fault.exactOptional(),
  steps: z.array(liveStep),
  elapsedMs: milliseconds,
  downtimeMs: milliseconds.exactOptional(),
  iterations: count.exactOptional(),
  memoryBytes: bytes.exactOptional(),
  diskBytes: bytes.exactOptional(),
  postCopy: flag,
} satisfies ShapeOf<StoryRun>);

const work = {
  step: z.union([stepName, importStepName]).exactOptional(),
  verb: text,
  host: text,
  what: text,
  undo: flag,
  state: z.enum(['waiting', 'running', 'done', 'retrying', 'given-up', 'cancelled']),
  attempts: count,
  startedAt: time,
  endedAt: time.exactOptional(),
  failures: z.array(z.strictObject(failure)),
  bytes: bytes.exactOptional(),
  bytesRecopied: bytes.exactOptional(),
  bytesFromCache: bytes.exactOptional(),
  gaveBack: z.enum(['started', 'goes-on', 'stays-off', 'untouched']).exactOptional(),
  live: run.exactOptional(),
  shutdown: z.enum(['graceful', 'forced', 'already-off']).exactOptional(),
} satisfies Record<keyof StoryWork, z.ZodType>;

const momentIn = <Phase extends z.ZodType>(anyPhase: Phase) =>
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('asked'), at: time, by: text }),
    z.strictObject({ kind: z.literal('phase'), at: time, phase: anyPhase }),
    z.strictObject({ kind: z.literal('work'), at: time, ...work }),
    z.strictObject({ kind: z.literal('order'), at: time, order: orderName, by: text }),
    z.strictObject({ kind: z.literal('stuck'), at: time, message: text }),
    z.strictObject({
      kind: z.literal('ended'),
      at: time,
      how: end,
      by: text.exactOptional(),
      reason: text.exactOptional(),
    }),
  ]);

/** What is the same in the story of a move and of an import. */
const told = {
  id: text,
  runId: text,
  vm,
  source: text,
  target: text,
  operator: text,
  end: end.exactOptional(),
  startedAt: time,
  endedAt: time.exactOptional(),
  vmOn: text,
  vmRunning: flag,
  targetHasRun: flag,
  downMs: milliseconds.exactOptional(),
  downNow: flag,
  concerns: z.array(concern),
  firstError: z.strictObject({ ...failure, host: text, what: text }).exactOptional(),
  fault: fault.exactOptional(),
  failedUndo: z.array(z.strictObject({ host: text, what: text, fault })),
  leftovers: z
    .strictObject({ sourceGuarded: flag, targetVolumes: flag, exports: flag })
    .exactOptional(),
};

/** The timeline of a move, and how it stands. */
export const story: z.ZodType<Story> = z.strictObject({
  ...told,
  phase,
  parkedIn: phase.exactOptional(),
  timeline: z.array(momentIn(phase)),
  report: moveReport.exactOptional(),
} satisfies ShapeOf<Story>);

/** The same of an import. */
export const importStory: z.ZodType<ImportStory> = z.strictObject({
  kind: z.literal('import'),
  ...told,
  foreign: z.strictObject({ provider: text, id: text, name: text }),
  conversionHost: text,
  clone: flag,
  cachedUntil: time.exactOptional(),
  phase: importPhase,
  parkedIn: importPhase.exactOptional(),
  timeline: z.array(momentIn(importPhase)),
  report: importReport.exactOptional(),
} satisfies ShapeOf<ImportStory>);
