/** What a live move shows while it runs, and how it went, as `-o json` prints it. */
import { z } from 'zod';
import { ConvergenceAct } from '../../domain/convergence.ts';
import type { LiveProgress, LiveReport, LiveStep } from '../../domain/live.ts';
import { bytes, count, flag, milliseconds, text } from './parts.ts';
import type { ShapeOf } from './parts.ts';

const rate = z.number().min(0).meta({ description: 'Bytes a second.' });

/** One look at a run, as libvirt's statistics had it. */
export const liveProgress: z.ZodType<LiveProgress> = z.strictObject({
  elapsedMs: milliseconds,
  iteration: count.meta({ description: 'The pass over memory that runs; 0 before the first.' }),
  memoryTotalBytes: bytes,
  memoryProcessedBytes: bytes,
  memoryRemainingBytes: bytes,
  bytesPerSecond: rate,
  dirtyBytesPerSecond: rate,
  diskTotalBytes: bytes,
  diskProcessedBytes: bytes,
  diskRemainingBytes: bytes,
  throttlePercent: z.number().min(0),
  inPostCopy: flag,
  etaMs: milliseconds.exactOptional(),
  outlook: text.meta({ description: 'What the convergence policy thinks of it.' }),
} satisfies ShapeOf<LiveProgress>);

/** What was done so that a run ends. */
export const liveStep: z.ZodType<LiveStep> = z.strictObject({
  act: z.enum(Object.values(ConvergenceAct)),
  why: text,
  atMs: milliseconds,
} satisfies ShapeOf<LiveStep>);

/** How it went, in the report. */
export const liveReport: z.ZodType<LiveReport> = z.strictObject({
  runs: count.meta({ description: 'How often libvirt was asked to migrate.' }),
  steps: z.array(liveStep).meta({ description: 'What was done so that a run ends, and why.' }),
  totalMs: milliseconds.exactOptional(),
  downtimeMs: milliseconds
    .meta({
      description:
        "The guest's pause, ms: from its stop at the source to its start at the target, or libvirt's figure where that was not seen.",
    })
    .exactOptional(),
  iterations: count.exactOptional(),
  memoryBytes: bytes.exactOptional(),
  diskBytes: bytes.exactOptional(),
  postCopy: flag,
  gaveUp: text
    .meta({ description: 'Why it was not moved live after all; `mode` says what was done.' })
    .exactOptional(),
} satisfies ShapeOf<LiveReport>);
