/** Who wants to know of which event. */
import { i32 } from './codec.ts';
import { events } from './events.ts';
import type { EventName, EventOf } from './events.ts';
import type { Frame } from './framing.ts';
import type { SurplusHandler } from './surplus.ts';
import { ProtocolError, XdrDecoder } from './xdr.ts';

/** Called once per event, in the order in which the daemon sent them. */
export type EventHandler<N extends EventName> = (event: EventOf<N>) => void;

interface Delivery {
  readonly callbackId: number;
  readonly name: EventName;
  readonly payload: unknown;
}

/** What may come before the answer to its registration; a daemon sends few events so early. */
const MAX_EARLY_EVENTS = 1000;
const MAX_EARLY_BYTES = 4 * 1024 * 1024;

const namesByProcedure = new Map<number, EventName>(
  Object.entries(events).map(([name, { procedure }]) => [procedure, name as EventName]),
);

export interface SubscriptionsOptions {
  readonly onHandlerError: (error: unknown) => void;
  readonly onSurplus: SurplusHandler;
}

export class Subscriptions {
  readonly #handlers = new Map<number, (payload: unknown) => void>();
  readonly #options: SubscriptionsOptions;
  #registering = 0;
  #early: Delivery[] = [];
  #earlyBytes = 0;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /**
   * Registers a handler under the number that the daemon gives. An event can overtake the answer
   * that brings this number, so events of unknown numbers are kept as long as an answer is awaited.
   */
  async add<N extends EventName>(
    register: () => Promise<number>,
    handler: EventHandler<N>,
  ): Promise<number> {
    this.#registering += 1;
    try {
      const callbackId = await register();
      this.#handlers.set(callbackId, handler as (payload: unknown) => void);
      for (const early of this.#early) if (early.callbackId === callbackId) this.#deliver(early);
      return callbackId;
    } finally {
      this.#registering -= 1;
      if (this.#registering === 0) {
        this.#early = [];
        this.#earlyBytes = 0;
      }
    }
  }

  remove(callbackId: number): void {
    this.#handlers.delete(callbackId);
  }

  /** Takes an event; one of a kind that this client never registers for is left alone. */
  onEvent(frame: Frame): void {
    const name = namesByProcedure.get(frame.procedure);
    if (name === undefined) return;
    const decoder = new XdrDecoder(frame.body);
    const callbackId = i32.decode(decoder);
    const payload = events[name].payload.decode(decoder);
    if (decoder.remainingBytes > 0) this.#options.onSurplus(name, decoder.remainingBytes);
    const delivery = { callbackId, name, payload };
    if (this.#handlers.has(callbackId)) this.#deliver(delivery);
    else if (this.#registering > 0) this.#keep(delivery, frame.body.length);
  }

  /** To drop one would be to miss it, so too many end the connection. */
  #keep(delivery: Delivery, bytes: number): void {
    this.#earlyBytes += bytes;
    if (this.#early.length >= MAX_EARLY_EVENTS || this.#earlyBytes > MAX_EARLY_BYTES) {
      throw new ProtocolError('too many events before their registration was answered');
    }
    this.#early.push(delivery);
  }

  #deliver({ callbackId, payload }: Delivery): void {
    try {
      this.#handlers.get(callbackId)?.(payload);
    } catch (error) {
      this.#options.onHandlerError(error);
    }
  }
}
