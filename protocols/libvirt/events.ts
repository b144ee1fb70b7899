/** The events that a domain sends: their numbers and layouts, in wire order. */
import { i32, string, struct } from './codec.ts';
import type { Codec, Fields, StructOf } from './codec.ts';
import { domain } from './types.ts';
import { typedParams } from './typed-params.ts';

/** `procedure` numbers the message, `eventId` (virDomainEventID) is what one registers for. */
export interface EventKind<F extends Fields> {
  readonly procedure: number;
  readonly eventId: number;
  readonly payload: Codec<StructOf<F>>;
}

const event = <const F extends Fields>(
  procedure: number,
  eventId: number,
  fields: F,
): EventKind<F> => ({ procedure, eventId, payload: struct(fields) });

/** Every event that this client knows. What the numbers mean is in `enums.ts`. */
export const events = {
  DomainEventCallbackLifecycle: event(318, 0, { dom: domain, event: i32, detail: i32 }),
  DomainEventCallbackReboot: event(319, 1, { dom: domain }),
  DomainEventCallbackIOError: event(322, 4, {
    dom: domain,
    srcPath: string,
    devAlias: string,
    action: i32,
  }),
  DomainEventCallbackIOErrorReason: event(324, 6, {
    dom: domain,
    srcPath: string,
    devAlias: string,
    action: i32,
    reason: string,
  }),
  DomainEventCallbackControlError: event(325, 7, { dom: domain }),
  /** Names the disk by its path; `DomainEventBlockJob2` by its target. */
  DomainEventCallbackBlockJob: event(326, 8, { dom: domain, path: string, type: i32, status: i32 }),
  DomainEventBlockJob2: event(339, 16, { dom: domain, dst: string, type: i32, status: i32 }),
  DomainEventCallbackAgentLifecycle: event(348, 18, { dom: domain, state: i32, reason: i32 }),
  DomainEventCallbackMigrationIteration: event(359, 20, { dom: domain, iteration: i32 }),
  DomainEventCallbackJobCompleted: event(363, 21, { dom: domain, params: typedParams(64) }),
} as const;

export type EventName = keyof typeof events;

/** What a handler is given. */
export type EventOf<N extends EventName> =
  (typeof events)[N] extends EventKind<infer F> ? StructOf<F> : never;
