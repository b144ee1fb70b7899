/** What the commands about moves print with `-o json`. */
import { z } from 'zod';
import { Phase, stepNames } from '../../domain/move.ts';
import type {
  DiskProgress,
  DiskResult,
  MovePlan,
  MoveReport,
  MoveSummary,
  PlannedDisk,
  Step,
} from '../../domain/move.ts';
import type { GivenOrder } from '../../domain/pipeline.ts';
import type { PlacementNote } from '../../domain/placement/note.ts';
import { startPolicies } from '../../domain/placement/weighers.ts';
import type { StartPolicy } from '../../domain/placement/weighers.ts';
import type { MoveStatus } from '../ferry.ts';
import { liveProgress, liveReport } from './live.ts';
import { bytes, concern, count, fault, flag, milliseconds, text, time, vm } from './parts.ts';
import type { ShapeOf } from './parts.ts';

const phase = z.enum(Object.values(Phase)).meta({ id: 'phase' });
const mode = z.enum(['cold', 'shared', 'live']);
const oneRunning = z.enum(['enforced', 'observed', 'none']).meta({
  description: 'How firmly it was held that one copy runs; `enforced`: a live guard on both hosts.',
});
const stepName = z.enum(stepNames);
const proof = z.enum(['nonce', 'content']);

/** Of a step, whatever it is called. */
export const stepShape = {
  state: z.enum(['waiting', 'running', 'done', 'skipped', 'failed']),
  startedAt: time.exactOptional(),
  endedAt: time.exactOptional(),
  attempts: count.meta({ description: 'Failed attempts that were tried again.' }),
  firstError: fault.exactOptional(),
  bytes: bytes.exactOptional(),
} satisfies ShapeOf<Omit<Step, 'name'>>;

const step: z.ZodType<Step> = z.strictObject({
  name: stepName,
  ...stepShape,
} satisfies ShapeOf<Step>);

const disk: z.ZodType<DiskResult> = z.strictObject({
  name: text,
  capacityBytes: bytes,
  bytesCopied: bytes,
  bytesRecopied: bytes.meta({ description: 'Of `bytesCopied`, what crossed a second time.' }),
  sourceHash: text.exactOptional(),
  targetHash: text.exactOptional(),
  verified: flag,
  shared: proof.exactOptional(),
  restarted: text.exactOptional(),
} satisfies ShapeOf<DiskResult>);

const orderName = z.enum(['commit', 'rollback', 'retry', 'cancel', 'tune']);

const order: z.ZodType<GivenOrder> = z.strictObject({
  order: orderName,
  operator: text,
  at: time,
} satisfies ShapeOf<GivenOrder>);

const startPolicy = z.enum(Object.keys(startPolicies) as StartPolicy[]);

/** How a target was chosen that nobody named. */
const placement: z.ZodType<PlacementNote> = z.strictObject({
  policy: startPolicy,
  preferHost: text.exactOptional(),
  reasons: z.array(text).meta({ description: 'At most 20; the chosen host first.' }),
} satisfies ShapeOf<PlacementNote>);

/** `migrate`, and the orders: how the move ended or rests. */
/** What a report says of the way of a move or an import, whatever its phases are called. */
export const wayShape = {
  firstError: fault.exactOptional(),
  fault: fault.exactOptional(),
  failedCompensations: z.array(fault),
  notes: z.array(text),
  orders: z.array(order).exactOptional(),
  startedAt: time,
  endedAt: time.exactOptional(),
  downtimeMs: milliseconds.exactOptional(),
};

export const moveReport: z.ZodType<MoveReport> = z
  .strictObject({
    id: text,
    runId: text,
    mode,
    vm,
    source: text,
    target: text,
    operator: text.meta({ description: 'Who asked for the move.' }),
    phase,
    parkedIn: phase.exactOptional(),
    steps: z.array(step),
    concerns: z.array(concern),
    disks: z.array(disk),
    oneRunning,
    vmOn: text.meta({ description: 'Where the VM lives and may be started now.' }),
    vmRunning: flag,
    ...wayShape,
    live: liveReport.exactOptional(),
    placement: placement.exactOptional(),
  } satisfies ShapeOf<MoveReport>)
  .meta({ id: 'report' });

export const progress: z.ZodType<DiskProgress> = z.strictObject({
  name: text,
  capacityBytes: bytes,
  totalBytes: bytes,
  doneBytes: bytes,
  bytesPerSecond: z.number().min(0),
} satisfies ShapeOf<DiskProgress>);

/** `status ID`, and each line of `status ID --watch`. */
export const moveStatus: z.ZodType<MoveStatus> = z.strictObject({
  report: moveReport,
  progress: z.array(progress),
  live: liveProgress.exactOptional(),
} satisfies ShapeOf<MoveStatus>);

const summary: z.ZodType<MoveSummary> = z.strictObject({
  id: text,
  runId: text,
  vmName: text,
  source: text,
  target: text,
  phase: text,
  startedAt: time,
  endedAt: time.exactOptional(),
} satisfies ShapeOf<MoveSummary>);

/** `status` without a move: the latest first. */
export const moveList = z.array(summary);

/** `migrate --detach`. */
export const started = z.strictObject({ id: text });

/** An order with `--detach`. */
export const accepted = z.strictObject({
  id: text,
  accepted: orderName,
  atOnce: flag
    .meta({ description: 'Of `tune`: whether something that runs now took it.' })
    .exactOptional(),
});

const plannedDisk: z.ZodType<PlannedDisk> = z.strictObject({
  name: text,
  how: z.enum(['copy', 'shared']),
  proof: proof.exactOptional(),
  capacityBytes: bytes,
  allocationBytes: bytes,
  from: z.strictObject({ path: text, format: z.enum(['raw', 'qcow2']) }),
  to: z.strictObject({ path: text, format: z.enum(['raw', 'qcow2']), pool: text }),
} satisfies ShapeOf<PlannedDisk>);

/** `migrate --dry-run`. */
export const movePlan: z.ZodType<MovePlan> = z.strictObject({
  vm,
  source: text,
  target: text,
  mode,
  running: flag,
  concerns: z.array(concern),
  disks: z.array(plannedDisk),
  steps: z.array(stepName),
  oneRunning,
  placement: placement.exactOptional(),
} satisfies ShapeOf<MovePlan>);

export { orderName, phase, placement, startPolicy, stepName };
