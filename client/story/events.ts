/** A Temporal history, decrypted and put into the few words that a story needs. */
import type { Client } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { temporal } from '@temporalio/proto';
import { Handling } from '../../domain/errors.ts';
import type { Fault } from '../../domain/errors.ts';
import type { GivenOrder } from '../../domain/pipeline.ts';
import { signalNames, updateNames } from '../../workflows/contract.ts';
import type { StoryEnd } from './story.ts';

type Converter = Client['options']['loadedDataConverter'];
type Event = temporal.api.history.v1.IHistoryEvent;
type Payload = temporal.api.common.v1.IPayload;
type Failure = temporal.api.failure.v1.IFailure;

/** What happened, one thing an event. `id` is that of the event that scheduled the activity. */
export type StoryEvent = { at: string } & (
  | { kind: 'asked'; runId: string; by: string; input: unknown }
  | { kind: 'phase'; phase: string }
  | { kind: 'scheduled'; id: string; verb: string; queue: string; summary: string }
  | { kind: 'begun'; id: string }
  | { kind: 'done'; id: string; result: unknown }
  | { kind: 'failed'; id: string; failure: ReadFailure }
  | { kind: 'dropped'; id: string }
  | { kind: 'order'; order: GivenOrder['order']; by: string }
  | { kind: 'cancelling'; by: string }
  | { kind: 'cancel-asked'; by: string }
  | { kind: 'stuck'; message: string }
  | { kind: 'unstuck' }
  | { kind: 'ended'; how: StoryEnd; by?: string; reason?: string; fault?: Fault; result?: unknown }
);

/** A failure as the history holds it: a fault of ours, a time-out of Temporal's, or something unforeseen. */
export type ReadFailure =
  | { kind: 'fault'; fault: Fault }
  | { kind: 'timeout'; type: 'schedule-to-start' | 'heartbeat' | 'other' }
  | { kind: 'unforeseen'; message: string };

/** Verbs whose answers the story uses; those of the others stay encrypted. */
const told = [
  'checkSource',
  'checkTarget',
  'moveLive',
  'ensureStopped',
  'ensureCopied',
  'ensureStarted',
  'restoreSource',
  ...['checkForeign', 'checkImportTarget', 'stopForeign', 'ensureCached', 'ensureConverted'],
  ...['restartForeign', 'keepCache'],
];

// Temporal's numbers for kinds of time-outs (`temporal.api.enums.v1.TimeoutType`).
const scheduleToStart = 2;
const heartbeat = 4;

/** Reads the events of one run with the fleet's keys. Throws what the codec throws where a key is missing. */
export class HistoryReader {
  readonly #converter: Converter;
  /** Event that scheduled an activity -> its verb. */
  readonly #verbs = new Map<string, string>();

  constructor(converter: Converter) {
    this.#converter = converter;
  }

  /** In the order of the history. */
  async read(events: readonly Event[]): Promise<StoryEvent[]> {
    const story: StoryEvent[] = [];
    for (const event of events) {
      const at = timeOf(event);
      for (const what of [
        await this.#ofWorkflow(event),
        await this.#ofActivity(event),
        await this.#ofPeople(event),
      ])
        if (what !== undefined) story.push({ ...what, at });
    }
    return story;
  }

  async #ofWorkflow(event: Event): Promise<Untimed | undefined> {
    const begun = event.workflowExecutionStartedEventAttributes;
    if (begun) {
      const input = await this.#value(begun.input?.payloads?.[0]);
      const runId = begun.originalExecutionRunId ?? '';
      return { kind: 'asked', runId, by: begun.identity ?? '', input };
    }
    const phase =
      event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields?.[
        'Phase'
      ];
    // Search attributes are not encrypted.
    if (phase) return { kind: 'phase', phase: defaultPayloadConverter.fromPayload<string>(phase) };
    const broken = event.workflowTaskFailedEventAttributes;
    // Temporal fails a task by itself too, as when an order comes while it runs; those carry no failure.
    if (broken?.failure) return { kind: 'stuck', message: await this.#messageOf(broken.failure) };
    if (event.workflowTaskCompletedEventAttributes) return { kind: 'unstuck' };
    return this.#end(event);
  }

  async #end(event: Event): Promise<Untimed | undefined> {
    const completed = event.workflowExecutionCompletedEventAttributes;
    if (completed) {
      const result = await this.#value(completed.result?.payloads?.[0]);
      return { kind: 'ended', how: 'completed', result };
    }
    const failed = event.workflowExecutionFailedEventAttributes;
    if (failed) {
      const failure = await this.#failure(failed.failure);
      if (failure.kind === 'fault') return { kind: 'ended', how: 'failed', fault: failure.fault };
      const reason = failure.kind === 'unforeseen' ? failure.message : 'a time-out';
      return { kind: 'ended', how: 'failed', reason };
    }
    if (event.workflowExecutionCanceledEventAttributes) return { kind: 'ended', how: 'cancelled' };
    const killed = event.workflowExecutionTerminatedEventAttributes;
    if (killed) {
      const { identity, reason } = killed;
      return { kind: 'ended', how: 'terminated', by: identity ?? '', reason: reason ?? '' };
    }
    if (event.workflowExecutionTimedOutEventAttributes) return { kind: 'ended', how: 'timed-out' };
    if (event.workflowExecutionContinuedAsNewEventAttributes)
      return { kind: 'ended', how: 'other' };
    return undefined;
  }

  async #ofActivity(event: Event): Promise<Untimed | undefined> {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) {
      const id = String(event.eventId);
      const verb = scheduled.activityType?.name ?? '';
      this.#verbs.set(id, verb);
      const summary = await this.#value(event.userMetadata?.summary);
      return {
        kind: 'scheduled',
        id,
        verb,
        queue: scheduled.taskQueue?.name ?? '',
        summary: typeof summary === 'string' ? summary : verb,
      };
    }
    const begun = event.activityTaskStartedEventAttributes;
    if (begun) return { kind: 'begun', id: String(begun.scheduledEventId) };
    const done = event.activityTaskCompletedEventAttributes;
    if (done) {
      const id = String(done.scheduledEventId);
      const tells = told.includes(this.#verbs.get(id) ?? '');
      const result = tells ? await this.#value(done.result?.payloads?.[0]) : undefined;
      return { kind: 'done', id, result };
    }
    const failed =
      event.activityTaskFailedEventAttributes ?? event.activityTaskTimedOutEventAttributes;
    if (failed) {
      const failure = await this.#failure(failed.failure);
      return { kind: 'failed', id: String(failed.scheduledEventId), failure };
    }
    const dropped = event.activityTaskCanceledEventAttributes;
    return dropped ? { kind: 'dropped', id: String(dropped.scheduledEventId) } : undefined;
  }

  async #ofPeople(event: Event): Promise<Untimed | undefined> {
    const request = event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest;
    if (request) {
      const order = Object.values(updateNames).find((name) => name === request.input?.name);
      if (order === undefined) return undefined;
      const said = await this.#operator(request.input?.args?.payloads?.[0]);
      return { kind: 'order', order, by: said ?? clientOf(request.meta?.identity) };
    }
    const signal = event.workflowExecutionSignaledEventAttributes;
    if (signal?.signalName === signalNames.cancelling) {
      const said = await this.#operator(signal.input?.payloads?.[0]);
      return { kind: 'cancelling', by: said ?? clientOf(signal.identity) };
    }
    const cancel = event.workflowExecutionCancelRequestedEventAttributes;
    return cancel ? { kind: 'cancel-asked', by: clientOf(cancel.identity) } : undefined;
  }

  async #operator(payload: Payload | undefined): Promise<string | undefined> {
    const order = await this.#value(payload);
    if (typeof order !== 'object' || order === null || !('operator' in order)) return undefined;
    return typeof order.operator === 'string' && order.operator !== '' ? order.operator : undefined;
  }

  async #failure(failure: Failure | null | undefined): Promise<ReadFailure> {
    // A workflow's failure wraps that of its activity.
    for (let one = failure, depth = 0; one && depth < 10; one = one.cause, depth += 1) {
      const fault: unknown = await this.#value(
        one.applicationFailureInfo?.details?.payloads?.[0] ?? undefined,
      );
      if (isFault(fault)) return { kind: 'fault', fault };
      const type: number = one.timeoutFailureInfo?.timeoutType ?? 0;
      if (type === scheduleToStart) return { kind: 'timeout', type: 'schedule-to-start' };
      if (type === heartbeat) return { kind: 'timeout', type: 'heartbeat' };
      if (type !== 0) return { kind: 'timeout', type: 'other' };
    }
    return { kind: 'unforeseen', message: await this.#messageOf(failure) };
  }

  /** The text of a failure, which stands in a payload of its own so that it is encrypted. */
  async #messageOf(failure: Failure | null | undefined): Promise<string> {
    const hidden = await this.#value(failure?.encodedAttributes);
    if (typeof hidden === 'object' && hidden !== null && 'message' in hidden)
      return String(hidden.message);
    return failure?.message ?? 'no reason was given';
  }

  async #value(payload: Payload | null | undefined): Promise<unknown> {
    if (!payload) return undefined;
    let payloads: Payload[] = [payload];
    for (const codec of [...this.#converter.payloadCodecs].reverse())
      payloads = await codec.decode(payloads);
    return this.#converter.payloadConverter.fromPayload(payloads[0] ?? payload);
  }
}

type Untimed = StoryEvent extends infer E
  ? E extends { at: string }
    ? Omit<E, 'at'>
    : never
  : never;

const timeOf = ({ eventTime }: Event): string =>
  new Date(Number(eventTime?.seconds ?? 0) * 1000 + (eventTime?.nanos ?? 0) / 1e6).toISOString();

/** Temporal's own name for a client, `PID@MACHINE`, where the order itself says nobody. */
const clientOf = (identity: string | null | undefined): string =>
  identity ? `an unnamed client (${identity})` : 'somebody unnamed';

function isFault(value: unknown): value is Fault {
  if (typeof value !== 'object' || value === null) return false;
  const { code, handling, message } = value as Partial<Fault>;
  return (
    typeof code === 'string' &&
    typeof message === 'string' &&
    Object.values(Handling).some((known) => known === handling)
  );
}
