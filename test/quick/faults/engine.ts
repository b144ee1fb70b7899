/**
 * Plays workflow code in this process, in virtual time: what `@temporalio/workflow` offers to it, as far as vmferry's
 * workflows use it. A move with a time-out of minutes takes milliseconds here, so that every fault can be tried at every
 * step. The same workflows run on a real server in test/quick/workflows, which holds this twin to the real thing.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  RetryState,
  TimeoutFailure,
} from '@temporalio/common';
import { vi } from 'vitest';
import { controlQueue } from '../../../workflows/contract.ts';

/** How one attempt of an activity ends, as the server sees it. */
export type Ending =
  | { kind: 'returned'; value: unknown }
  | { kind: 'threw'; error: unknown }
  /** The worker is gone or frozen: nothing is heard of it until the heartbeat's time-out. */
  | { kind: 'silent' }
  /** No worker took it up. */
  | { kind: 'not-taken' };

export interface ActivityOptions {
  taskQueue: string;
  startToCloseTimeout: number;
  scheduleToStartTimeout: number;
  heartbeatTimeout: number;
}

/** Runs an attempt; `signal` aborts when the workflow asks it to end. */
export type Performer = (
  call: { taskQueue: string; verb: string; input: unknown },
  signal: AbortSignal,
) => Promise<Ending>;

interface Waiter {
  holds: () => boolean;
  resolve: (value: boolean) => void;
}

interface Timer {
  atMs: number;
  fire: () => void;
}

const current = new AsyncLocalStorage<Engine>();
const scopes = new AsyncLocalStorage<CancellationScope>();

const engine = (): Engine => {
  const found = current.getStore();
  if (found === undefined) throw new Error('not inside a workflow');
  return found;
};

/** Longest that a move may take in turns of the loop: a workflow that spins is a defect. */
const maxTurns = 20_000;

export class Engine {
  readonly root = new CancellationScope({ cancellable: true });
  readonly #perform: Performer;
  #waiters: Waiter[] = [];
  #timers: Timer[] = [];
  #acting = 0;
  #woken: () => void = () => undefined;
  readonly queries = new Map<string, () => unknown>();
  readonly updates = new Map<string, { run: Handler; validator?: Handler }>();
  readonly id: string;

  constructor(id: string, perform: Performer) {
    this.id = id;
    this.#perform = perform;
  }

  /** Runs a workflow to its end; `observe` is called whenever nothing moves, and may give orders. */
  async run(
    workflow: () => Promise<unknown>,
    observe: () => void = () => undefined,
  ): Promise<void> {
    let end: { error?: unknown } | undefined;
    const running = current
      .run(this, () => this.root.run(workflow))
      .then(
        () => (end = {}),
        (error: unknown) => (end = { error }),
      );
    const isOver = (): boolean => end !== undefined;
    for (let turn = 0; !isOver(); turn += 1) {
      if (turn > maxTurns) throw new Error('the workflow spins');
      await settled();
      if (this.#wakeWaiters()) continue;
      current.run(this, observe);
      await settled();
      if (this.#wakeWaiters()) continue;
      if (this.#acting > 0) await this.#nextEvent();
      else if (!isOver() && !this.#fireNextTimer()) throw new Error('the workflow hangs');
    }
    await running;
    if (end !== undefined && 'error' in end) throw end.error;
  }

  query(name: string): unknown {
    const handler = this.queries.get(name);
    if (handler === undefined) throw new Error(`no query ${name}`);
    return handler();
  }

  /** Throws what the validator throws. */
  update(name: string, ...args: unknown[]): void {
    const handler = this.updates.get(name);
    if (handler === undefined) throw new Error(`no update ${name}`);
    handler.validator?.(...args);
    handler.run(...args);
  }

  cancel(): void {
    this.root.cancel();
  }

  sleep(ms: number): Promise<void> {
    return inScope((resolve) => this.at(ms, () => resolve(undefined)));
  }

  /** Also false once `limitMs` passed. */
  condition(holds: () => boolean, limitMs?: number): Promise<boolean> {
    return inScope<boolean>((resolve) => {
      const waiter = { holds, resolve };
      this.#waiters.push(waiter);
      const drop = () => (this.#waiters = this.#waiters.filter((one) => one !== waiter));
      const cancelTimer =
        limitMs === undefined
          ? () => undefined
          : this.at(limitMs, () => {
              drop();
              resolve(false);
            });
      return () => {
        drop();
        cancelTimer();
      };
    });
  }

  at(ms: number, fire: () => void): () => void {
    const timer = { atMs: Date.now() + ms, fire };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** As WAIT_CANCELLATION_COMPLETED: a cancel is told to the attempt, and its end is waited for. */
  async activity(options: ActivityOptions, verb: string, input: unknown): Promise<unknown> {
    const scope = CancellationScope.current();
    if (scope.consideredCancelled) throw activityFailure(verb, new CancelledFailure('cancelled'));
    const abort = new AbortController();
    const stopListening = scope.onCancel(() => abort.abort(new CancelledFailure('CANCELLED')));
    this.#acting += 1;
    const { taskQueue } = options;
    const sent: unknown = input === undefined ? undefined : JSON.parse(JSON.stringify(input));
    let ending: Ending;
    try {
      ending = await this.#perform({ taskQueue, verb, input: sent }, abort.signal);
    } finally {
      this.#acting -= 1;
      this.#woken();
    }
    try {
      return await this.#endAs(ending, { options, verb, signal: abort.signal });
    } finally {
      stopListening();
    }
  }

  async #endAs(
    ending: Ending,
    at: { options: ActivityOptions; verb: string; signal: AbortSignal },
  ): Promise<unknown> {
    const { options, verb, signal } = at;
    switch (ending.kind) {
      case 'returned':
        return ending.value === undefined ? undefined : JSON.parse(JSON.stringify(ending.value));
      case 'threw':
        throw activityFailure(verb, ending.error as Error);
      case 'silent':
        await this.#pass(options.heartbeatTimeout);
        throw activityFailure(verb, new TimeoutFailure('gone', undefined, 'HEARTBEAT'));
      case 'not-taken':
        // Nobody has it, so a cancel ends it at once.
        await Promise.race([this.#pass(options.scheduleToStartTimeout), aborted(signal)]);
        throw activityFailure(
          verb,
          signal.aborted
            ? new CancelledFailure('cancelled')
            : new TimeoutFailure('nobody', undefined, 'SCHEDULE_TO_START'),
        );
    }
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(ms, resolve);
    });
  }

  #wakeWaiters(): boolean {
    const ready = this.#waiters.filter(({ holds }) => current.run(this, holds));
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve(true);
    return ready.length > 0;
  }

  #fireNextTimer(): boolean {
    const next = this.#timers.toSorted((left, right) => left.atMs - right.atMs)[0];
    if (next === undefined) return false;
    this.#timers = this.#timers.filter((one) => one !== next);
    vi.setSystemTime(Math.max(Date.now(), next.atMs));
    next.fire();
    return true;
  }

  #nextEvent(): Promise<void> {
    return new Promise((resolve) => {
      this.#woken = resolve;
    });
  }
}

type Handler = (...args: unknown[]) => unknown;

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

const activityFailure = (verb: string, cause: Error): ActivityFailure =>
  new ActivityFailure(
    'Activity task failed',
    verb,
    '1',
    RetryState.MAXIMUM_ATTEMPTS_REACHED,
    'played',
    cause,
  );

/** A wait that ends with the scope it stands in. */
function inScope<T>(begin: (resolve: (value: T) => void) => () => void): Promise<T> {
  const scope = CancellationScope.current();
  return new Promise<T>((resolve, reject) => {
    if (scope.consideredCancelled) {
      reject(new CancelledFailure('cancelled'));
      return;
    }
    let stopListening = (): void => undefined;
    const end = begin((value) => {
      stopListening();
      resolve(value);
    });
    stopListening = scope.onCancel(() => {
      end();
      reject(new CancelledFailure('cancelled'));
    });
  });
}

export class CancellationScope {
  readonly #cancellable: boolean;
  readonly #parent: CancellationScope | undefined;
  readonly #listeners = new Set<() => void>();
  #cancelled = false;

  constructor({ cancellable, parent }: { cancellable: boolean; parent?: CancellationScope }) {
    this.#cancellable = cancellable;
    this.#parent = parent;
    if (cancellable) parent?.onCancel(() => this.cancel());
  }

  static current(): CancellationScope {
    const scope = scopes.getStore();
    if (scope === undefined) throw new Error('not inside a workflow');
    return scope;
  }

  static cancellable<T>(run: () => Promise<T>): Promise<T> {
    return new CancellationScope({ cancellable: true, parent: this.current() }).run(run);
  }

  static nonCancellable<T>(run: () => Promise<T>): Promise<T> {
    return new CancellationScope({ cancellable: false, parent: this.current() }).run(run);
  }

  run<T>(run: () => Promise<T>): Promise<T> {
    return scopes.run(this, run);
  }

  get consideredCancelled(): boolean {
    return this.#cancelled || (this.#cancellable && this.#parent?.consideredCancelled === true);
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    for (const listener of [...this.#listeners]) listener();
  }

  onCancel(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

const isCancellation = (error: unknown): boolean =>
  error instanceof CancelledFailure ||
  (error instanceof ActivityFailure && isCancellation(error.cause));

const activitiesBy = (options: ActivityOptions) =>
  new Proxy(
    {},
    { get: (_, verb) => (input: unknown) => engine().activity(options, String(verb), input) },
  );

/** What takes the place of `@temporalio/workflow`. */
export const workflowModule = {
  ActivityCancellationType: { WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED' },
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TimeoutFailure,
  CancellationScope,
  isCancellation,
  patched: () => true,
  condition: async (holds: () => boolean, limitMs?: number) => engine().condition(holds, limitMs),
  sleep: (ms: number) => engine().sleep(ms),
  defineQuery: (name: string) => ({ type: 'query', name }),
  defineUpdate: (name: string) => ({ type: 'update', name }),
  defineSignal: (name: string) => ({ type: 'signal', name }),
  setHandler(
    definition: { type: string; name: string },
    run: Handler,
    options: { validator?: Handler } = {},
  ): void {
    const { queries, updates } = engine();
    if (definition.type === 'query') queries.set(definition.name, run);
    if (definition.type === 'update') updates.set(definition.name, { run, ...options });
  },
  proxyActivities: (options: ActivityOptions) => activitiesBy(options),
  // The worker that runs the workflow performs them itself.
  proxyLocalActivities: (options: Omit<ActivityOptions, 'taskQueue'>) =>
    activitiesBy({ ...options, taskQueue: controlQueue }),
  log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  setCurrentDetails: () => undefined,
  upsertSearchAttributes: () => undefined,
  upsertMemo: () => undefined,
  setWorkflowOptions: () => undefined,
  continueAsNew: () => Promise.reject(new Error('not played')),
  workflowInfo: () => ({
    workflowId: engine().id,
    runId: engine().id.replaceAll('/', '-'),
    firstExecutionRunId: engine().id.replaceAll('/', '-'),
    continueAsNewSuggested: false,
  }),
};
