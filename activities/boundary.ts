import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { Handling, VmFerryError } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';

/** A worker that lives beats this often, so that one that died is noticed within the heartbeat's time-out. */
const beatMs = 1_000;

/** What an activity gets beside its input. */
export interface Attempt {
  /** Aborts on cancel, on time-out, when the worker stops, and when a newer attempt takes over. */
  signal: AbortSignal;
  /** Kept and sent with the next beats: for progress only. */
  report(details: unknown): void;
}

export interface BoundaryOptions {
  host: string;
  /** The verb, for logs and messages. */
  verb: string;
}

/**
 * The one place where vmferry's errors become Temporal's. Beats while `run` works, maps what it throws to a failure
 * that carries the fault as data, and turns an abort into a cancellation.
 */
export async function atBoundary<T>(
  { host, verb }: BoundaryOptions,
  run: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const context = Context.current();
  let details: unknown = null;
  const beat = setInterval(() => context.heartbeat(details), beatMs);
  const attempt: Attempt = {
    signal: context.cancellationSignal,
    report: (next) => {
      details = next;
    },
  };
  try {
    return await run(attempt);
  } catch (error) {
    const stopping = isStopping(context);
    if (context.cancellationSignal.aborted && !stopping) {
      context.log.info('attempt ended by cancellation', { verb, error });
      throw new CancelledFailure(`${verb} was cancelled`, [], asError(error));
    }
    // Nobody asked for the end of the move: a worker that stops in order must not look like a cancel.
    const fault = stopping ? workerStopped({ host, verb }) : faultOf(error, { host, verb });
    context.log.warn('attempt failed', { verb, code: fault.code, error });
    throw ApplicationFailure.create({
      type: fault.code,
      message: fault.message,
      nonRetryable: true,
      details: [fault],
      cause: asError(error),
    });
  } finally {
    clearInterval(beat);
  }
}

function isStopping({ cancellationSignal, cancellationDetails: details }: Context): boolean {
  return cancellationSignal.aborted && details?.workerShutdown === true && !details.cancelRequested;
}

const workerStopped = ({ host, verb }: BoundaryOptions): Fault => ({
  code: 'worker-stopped',
  handling: Handling.transient,
  message: `the worker of ${host} was stopped during ${verb}`,
  remedy: `It goes on once a worker runs there again: \`systemctl start vmferry-host\` on ${host}.`,
  host,
});

function faultOf(error: unknown, { host, verb }: BoundaryOptions): Fault {
  if (error instanceof VmFerryError) return { host, ...error.toFault() };
  if (isNoRoom(error)) {
    return {
      code: 'host-disk-full',
      handling: Handling.needsOperator,
      message: `${host} has no room for what ${verb} has to write down: ${error.message}`,
      remedy: 'Make room on the file system of the state folder, then `vmferry retry`.',
      host,
    };
  }
  return {
    code: 'internal-error',
    handling: Handling.needsOperator,
    message: `${verb} on ${host} failed: ${error instanceof Error ? error.message : String(error)}`,
    remedy: `This is a defect of vmferry: see the worker's log on ${host}; then \`vmferry retry\` or \`vmferry cancel\`.`,
    host,
  };
}

/** A file of ours could not be written; whatever tells more of itself has an error of its own by now. */
const isNoRoom = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error &&
  ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));
