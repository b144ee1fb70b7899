/** What the commands about placement and drains print with `-o json`. */
import { z } from 'zod';
import type { LiveWishes } from '../../domain/live.ts';
import { DrainState } from '../../domain/drain/drain.ts';
import type { DrainLine, DrainReport, DrainRequest } from '../../domain/drain/drain.ts';
import { VmState } from '../../domain/vm.ts';
import type { DrainPlan, DrainPlanLine, PlaceAnswer, PlaceVmResult } from '../ferry.ts';
import { placement, startPolicy } from './move.ts';
import { bytes, count, fault, flag, milliseconds, text, time } from './parts.ts';
import type { ShapeOf } from './parts.ts';

const vmState = z.enum(Object.values(VmState));
const moveMode = z.enum(['cold', 'shared', 'live']);

const answer: z.ZodType<PlaceAnswer> = z.strictObject({
  vm: text,
  policy: startPolicy,
  chosen: text.exactOptional().meta({ description: 'Absent if no host takes the VM now.' }),
  hosts: count.meta({ description: 'How many were asked.' }),
  rows: z
    .array(
      z.strictObject({
        host: text,
        state: z.enum(['chosen', 'possible', 'refused']),
        total: text,
        why: text,
      }),
    )
    .meta({ description: 'The best first; at most 50.' }),
  refusals: z.array(z.strictObject({ filter: text, hosts: count })),
  note: placement,
} satisfies ShapeOf<PlaceAnswer>);

/** `place` */
export const placed: z.ZodType<PlaceVmResult> = z.strictObject({
  vm: z.strictObject({ name: text, uuid: text, host: text, state: vmState }),
  answer,
} satisfies ShapeOf<PlaceVmResult>);

const live: z.ZodType<LiveWishes> = z.strictObject({
  maxDowntimeMs: milliseconds,
  quicklyFinish: flag,
  highestDowntimeMs: milliseconds,
  autoConverge: flag,
  postCopy: flag,
  pause: flag,
  patienceMs: milliseconds,
  parallelConnections: count.exactOptional(),
  compression: z.enum(['xbzrle', 'mt']).exactOptional(),
  fallback: z.enum(['none', 'cold']),
  keepTargetOnFailure: flag,
} satisfies ShapeOf<LiveWishes>);

const request: z.ZodType<DrainRequest> = z.strictObject({
  running: z.enum(['live', 'cold']),
  rest: z.enum(['cold', 'leave', 'fail']),
  off: z.enum(['move', 'leave']),
  parallel: count,
  labels: z.record(z.string(), z.string()),
  placement: startPolicy,
  autoCommit: flag,
  bandwidthBytesPerSecond: bytes,
  live,
  skip: z.array(z.enum(['cpu', 'kernel'])).exactOptional(),
  operator: text,
} satisfies ShapeOf<DrainRequest>);

const line: z.ZodType<DrainLine> = z.strictObject({
  uuid: text,
  name: text,
  state: z.enum(Object.values(DrainState)),
  to: text.exactOptional(),
  moveId: text.exactOptional(),
  mode: moveMode.exactOptional(),
  arrived: z.literal(true).exactOptional(),
  awaitsCommit: z.literal(true).exactOptional(),
  why: text.exactOptional(),
  fault: fault.exactOptional(),
  blocked: z
    .strictObject({ by: z.enum(['room', 'guard']), since: time, mayPass: flag })
    .exactOptional(),
  excluded: z.array(text).exactOptional(),
} satisfies ShapeOf<DrainLine>);

/** `drain` */
export const drainReport: z.ZodType<DrainReport> = z.strictObject({
  id: text,
  host: text,
  operator: text,
  phase: z.enum(['marking', 'moving', 'stopping', 'done', 'cancelled']),
  request,
  vms: z.array(line),
  startedAt: time,
  endedAt: time.exactOptional(),
  trouble: fault.exactOptional(),
  cancelledBy: text.exactOptional(),
} satisfies ShapeOf<DrainReport>);

const planLine: z.ZodType<DrainPlanLine> = z.strictObject({
  uuid: text,
  name: text,
  state: vmState,
  way: z.enum(['live', 'cold', 'stays', 'fails']),
  to: text.exactOptional(),
  why: text.exactOptional(),
} satisfies ShapeOf<DrainPlanLine>);

/** `drain --dry-run` */
export const drainPlan: z.ZodType<DrainPlan> = z.strictObject({
  host: text,
  vms: z.array(planLine),
} satisfies ShapeOf<DrainPlan>);

/** `undrain` */
export const undrained = z.strictObject({ host: text, cancelled: flag });
