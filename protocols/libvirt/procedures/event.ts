import { i32, optional } from '../codec.ts';
import { domain } from '../types.ts';
import { call } from './call.ts';

const none = {};

/** Registering for events; the typed way is `connection.onEvent`. */
export const eventCalls = {
  ConnectDomainEventCallbackRegisterAny: call(
    316,
    { eventId: i32, dom: optional(domain) },
    { callbackId: i32 },
  ),
  ConnectDomainEventCallbackDeregisterAny: call(317, { callbackId: i32 }, none),
} as const;
