/**
 * What a daemon can do, found out by asking it, never by its version: distributions carry features
 * back, and drivers leave calls out.
 */
import type { Connection } from './connection.ts';
import { LibvirtError } from './errors.ts';
import { procedures } from './procedures.ts';
import type { ProcedureName } from './procedures.ts';

/** What one may ask a driver for (virDrvFeature). Asking for 10 is more: it starts keep-alive. */
export const Feature = {
  migrationP2p: 4,
  migrationV3: 6,
  migrateChangeProtection: 7,
  migrationOffline: 12,
  migrationParams: 13,
} as const;

/** Why a call was refused, where another way may be open. */
export const Lack = {
  /** The daemon is older than the call. */
  call: 'call',
  /** The driver has no such call. */
  driver: 'driver',
  /** The call does not know a flag, or an argument. */
  argument: 'argument',
  /** The call is there but not for this machine, disk or configuration. */
  operation: 'operation',
} as const;
export type Lack = (typeof Lack)[keyof typeof Lack];

/**
 * What the daemon lacks, if that is why it refused; undefined for every other error. It was refused
 * before anything was done.
 */
export function lackOf(error: unknown): Lack | undefined {
  if (!(error instanceof LibvirtError)) return undefined;
  const { lack, words } = lacks[error.codeName] ?? {};
  return words === undefined || words.test(error.message) ? lack : undefined;
}

/** Where a code has more than one meaning, the words decide. */
const lacks: Readonly<Partial<Record<string, { readonly lack: Lack; readonly words?: RegExp }>>> = {
  RPC: { lack: Lack.call, words: /^unknown procedure/i },
  NO_SUPPORT: { lack: Lack.driver },
  ARGUMENT_UNSUPPORTED: { lack: Lack.argument },
  INVALID_ARG: { lack: Lack.argument, words: /^unsupported flags|: unsupported flags/i },
  OPERATION_UNSUPPORTED: { lack: Lack.operation },
  CONFIG_UNSUPPORTED: { lack: Lack.operation },
};

/**
 * Does it by the first way that the daemon can: goes on to the next only after a refusal that
 * `lackOf` knows. Rejects with the last refusal, or with the first error of another kind.
 */
export async function byFirstWay<T>(ways: readonly (() => Promise<T>)[]): Promise<T> {
  let refusal: unknown = new RangeError('no way was given');
  for (const way of ways) {
    try {
      return await way();
    } catch (error) {
      if (lackOf(error) === undefined) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

/** What is known of one daemon; each question goes out once. */
export class Abilities {
  readonly #connection: Connection;
  readonly #answers = new Map<string, Promise<boolean>>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Whether the driver has a feature (`Feature`, or a number that is newer). */
  hasFeature(feature: number): Promise<boolean> {
    return this.#once(`feature ${feature}`, async () => {
      try {
        return (await this.#connection.call('ConnectSupportsFeature', { feature })).supported > 0;
      } catch (error) {
        if (error instanceof LibvirtError) return false;
        throw error;
      }
    });
  }

  /**
   * Whether the daemon knows a call; the driver may still not have it. It is asked by a call without
   * its arguments, which a daemon that knows it cannot read and refuses. Throws `RangeError` for
   * calls that have no arguments: asking would be doing.
   */
  knowsCall(name: ProcedureName): Promise<boolean> {
    if (procedures[name].args.minBytes === 0)
      throw new RangeError(`${name} cannot be asked for without doing it`);
    return this.#once(name, async () => {
      const refusal = await this.#connection.probe(name);
      return lackOf(refusal) !== Lack.call;
    });
  }

  /** A question that could not be answered may be asked again. */
  #once(question: string, ask: () => Promise<boolean>): Promise<boolean> {
    const known = this.#answers.get(question);
    if (known !== undefined) return known;
    const answer = ask();
    this.#answers.set(question, answer);
    answer.catch(() => this.#answers.delete(question));
    return answer;
  }
}
