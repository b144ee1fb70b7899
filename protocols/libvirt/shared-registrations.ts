/**
 * One registration at the daemon for all of a connection who want the same events: libvirt refuses a second one of the
 * same kind and domain ("event callback already tracked", libvirt 9.0, src/conf/object_event.c).
 */

type Handler = (payload: unknown) => void;

/** How to tell the daemon. */
export interface DaemonSide {
  /** Resolves with the daemon's number once it has registered `deliver`. */
  register(deliver: Handler): Promise<number>;
  deregister(callbackId: number): Promise<void>;
}

interface Registration {
  readonly handlers: Set<Handler>;
  readonly ready: Promise<number>;
}

export class SharedRegistrations {
  readonly #onHandlerError: (error: unknown) => void;
  readonly #byKey = new Map<string, Registration>();
  /** Goodbyes under way: the daemon may take a new registration before it has taken the old one back. */
  readonly #leaving = new Map<string, Promise<void>>();

  constructor(onHandlerError: (error: unknown) => void) {
    this.#onHandlerError = onHandlerError;
  }

  /**
   * Calls `handler` for the events that `key` stands for, from when this resolves until the result was called.
   * Rejects with what the registration is refused with.
   */
  async join(key: string, handler: Handler, daemon: DaemonSide): Promise<() => Promise<void>> {
    // Its own object, since one function may be given twice.
    const own: Handler = (payload) => handler(payload);
    for (;;) {
      for (let gone = this.#leaving.get(key); gone !== undefined; gone = this.#leaving.get(key))
        await gone.catch(() => undefined);
      const known = this.#byKey.get(key);
      const registration = known ?? this.#begin(key, daemon);
      registration.handlers.add(own);
      try {
        const callbackId = await registration.ready;
        return () => this.#leave({ key, registration, own }, () => daemon.deregister(callbackId));
      } catch (error) {
        registration.handlers.delete(own);
        // Whoever asked may have given up, by a signal of its own; then this one asks itself.
        if (known === undefined) throw error;
      }
    }
  }

  #begin(key: string, daemon: DaemonSide): Registration {
    const handlers = new Set<Handler>();
    const ready = daemon.register((payload) => {
      for (const handler of [...handlers]) this.#deliver(handler, payload);
    });
    const registration = { handlers, ready };
    this.#byKey.set(key, registration);
    ready.catch(() => this.#byKey.delete(key));
    return registration;
  }

  #deliver(handler: Handler, payload: unknown): void {
    try {
      handler(payload);
    } catch (error) {
      this.#onHandlerError(error);
    }
  }

  async #leave(
    { key, registration, own }: { key: string; registration: Registration; own: Handler },
    deregister: () => Promise<void>,
  ): Promise<void> {
    registration.handlers.delete(own);
    if (registration.handlers.size > 0 || this.#byKey.get(key) !== registration) return;
    this.#byKey.delete(key);
    const gone = deregister();
    this.#leaving.set(key, gone);
    try {
      await gone;
    } finally {
      this.#leaving.delete(key);
    }
  }
}
