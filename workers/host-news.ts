import type { Logger } from 'pino';
import type { HostActivities } from '../activities/contract.ts';
import { tellsMore } from '../domain/hosts/reading.ts';
import type { HostReading } from '../domain/hosts/reading.ts';

/** The host is looked at this often; what is looked at costs libvirt a few calls a VM. */
const lookEveryMs = 60_000;
/** Moves that come one after the other change the host with every step: it is not looked at more often than so. */
const restMs = 3_000;
/** What changes nothing is told this rarely: each word is some events in the history of the host's entity. */
const silenceMs = 10 * 60_000;
/**
 * After it a VM is here or gone, or a pool has other room. The last verbs before a move gives its places back are among
 * them: the room of a VM that arrived is promised until its host tells facts after that.
 */
const telling: readonly (keyof HostActivities)[] = [
  'settleTarget',
  'removeSource',
  'releaseSource',
  'takeOwnership',
  'ensureHealthy',
  'clearTarget',
  'restoreSource',
  'settleLive',
  'moveLive',
];

export interface HostNewsOptions {
  read: () => Promise<HostReading>;
  /** Brings a reading to the host's entity. */
  tell: (reading: HostReading) => Promise<void>;
  logger: Pick<Logger, 'warn'>;
  /** For tests. */
  lookEveryMs?: number;
  restMs?: number;
  nowMs?: () => number;
}

/** Tells the host's entity the facts: at the start, after moves, and when a look shows something new. */
export class HostNews {
  readonly #options: HostNewsOptions;
  #told: { reading: HostReading; atMs: number } | undefined;
  #wake: () => void = () => undefined;
  #isDue = true;

  constructor(options: HostNewsOptions) {
    this.#options = options;
  }

  /** A move changed something here: the next look is as soon as may be, and is told in any case. */
  expect(): void {
    this.#isDue = true;
    this.#wake();
  }

  /** The verbs, each of those that change the host followed by a look. */
  after<A extends object>(activities: A): A {
    const followed = Object.entries(activities).map(([name, verb]) => {
      if (!telling.some((one) => one === name)) return [name, verb] as const;
      const run = verb as (input: unknown) => Promise<unknown>;
      return [name, (input: unknown) => run(input).finally(() => this.expect())] as const;
    });
    return Object.fromEntries(followed) as A;
  }

  /** Looks and tells until the signal fires. Trouble is logged; the next look comes all the same. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isDue = this.#takeDue();
      try {
        await this.#look(isDue);
      } catch (error) {
        this.#options.logger.warn({ error }, 'cannot tell the facts of this host');
        await this.#pause(signal);
        // What was due is not forgotten.
        this.#isDue ||= isDue;
        continue;
      }
      await this.#pause(signal);
    }
  }

  #takeDue(): boolean {
    const isDue = this.#isDue;
    this.#isDue = false;
    return isDue;
  }

  async #look(isDue: boolean): Promise<void> {
    const reading = await this.#options.read();
    const nowMs = (this.#options.nowMs ?? Date.now)();
    const told = this.#told;
    const isNews =
      told === undefined || nowMs - told.atMs >= silenceMs || tellsMore(told.reading, reading);
    if (!isDue && !isNews) return;
    await this.#options.tell(reading);
    this.#told = { reading, atMs: nowMs };
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      let soon: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(timer);
        clearTimeout(soon);
        signal.removeEventListener('abort', end);
        this.#wake = () => undefined;
        resolve();
      };
      const timer = setTimeout(end, this.#options.lookEveryMs ?? lookEveryMs);
      signal.addEventListener('abort', end, { once: true });
      const restEndsMs = performance.now() + (this.#options.restMs ?? restMs);
      this.#wake = () => {
        soon ??= setTimeout(end, Math.max(0, restEndsMs - performance.now()));
      };
      if (signal.aborted) end();
      // What fell due during the look waits for no other word.
      else if (this.#isDue) this.#wake();
    });
  }
}
