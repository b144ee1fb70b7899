/** Calls of Temporal that a worker cannot begin without: each with a deadline, and again while the server is silent. */
import { setTimeout as delay } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';

/** A call that was not answered by then is lost; the server answers these in milliseconds, a stalled one in seconds. */
const callMs = 10_000;
const againMs = 500;
/** Beyond this the process ends, and whoever watches over it starts it anew. */
const silentMs = 60_000;
/** gRPC's CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and UNAVAILABLE: the server may not have heard. */
const unanswered: readonly unknown[] = [1, 2, 4, 8, 14];

export interface AnsweredOptions {
  connection: Pick<NativeConnection, 'withDeadline'>;
  /** What is asked, for the log: `search attributes`. */
  what: string;
  logger?: Logger | undefined;
  /** Ends the tries with the last error. */
  signal?: AbortSignal | undefined;
  /** For tests. */
  limits?: { callMs: number; againMs: number; silentMs: number };
}

/**
 * The answer to `call`, which may be made several times: also after one whose answer was lost and which was obeyed.
 * Rejects with the server's error, at once if it is a refusal, else after a minute.
 */
export async function answered<T>(
  { connection, what, logger, signal, limits = { callMs, againMs, silentMs } }: AnsweredOptions,
  call: () => Promise<T>,
): Promise<T> {
  const end = Date.now() + limits.silentMs;
  for (let tries = 1; ; tries += 1) {
    try {
      return await connection.withDeadline(Date.now() + limits.callMs, call);
    } catch (error) {
      const isFinal = !unanswered.includes(grpcCode(error)) || Date.now() > end;
      if (isFinal || signal?.aborted === true) throw error;
      logger?.warn({ what, tries, error: String(error) }, 'Temporal did not answer; asking again');
    }
    await delay(limits.againMs);
  }
}

/** The gRPC status of an error; undefined if it has none. */
export const grpcCode = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
