import {
  ActivityFailure,
  ApplicationFailure,
  TimeoutFailure,
  isCancellation,
} from '@temporalio/workflow';
import type { Fault } from '../domain/errors.ts';
import { Handling } from '../domain/errors.ts';

/** The end of a move by a fault that no retry and no person mends. */
export class MoveFailed extends Error {
  override readonly name = 'MoveFailed';
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

export { isCancellation };

/** How a workflow ends by a fault; the client finds it in the details. */
export const failureOf = (fault: Fault): ApplicationFailure =>
  ApplicationFailure.create({
    type: fault.code,
    message: fault.message,
    nonRetryable: fault.handling !== Handling.transient,
    details: [fault],
  });

/** Ends the workflow by the fault if `run` fails. */
export async function orFault<T>(host: string, what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw failureOf(faultOf(error, { host, what }));
  }
}

/** What an activity's failure means; the mapper of the activity side put the fault into its details. */
export function faultOf(error: unknown, context: { host: string; what: string }): Fault {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const detail: unknown = cause.details?.[0];
    if (isFault(detail)) return detail;
    // What Temporal's SDK makes of an operator's pause; the activity is one attempt, so the move waits instead of it.
    if (cause.type === 'ActivityPause') {
      return {
        code: 'paused',
        handling: Handling.needsOperator,
        message: `${context.what} on ${context.host} was paused in Temporal`,
        remedy: 'Go on with `vmferry retry`.',
        host: context.host,
      };
    }
    return {
      code: 'internal-error',
      handling: Handling.needsOperator,
      message: `${context.what} on ${context.host} failed: ${cause.message}`,
      remedy: `This is a defect of vmferry: see the worker's log on ${context.host}, then \`vmferry retry\` or \`vmferry cancel\`.`,
      host: context.host,
    };
  }
  if (cause instanceof TimeoutFailure) return timeoutFault(cause, context);
  return {
    code: 'internal-error',
    handling: Handling.needsOperator,
    message: `${context.what} on ${context.host} failed: ${error instanceof Error ? error.message : String(error)}`,
    remedy: 'This is a defect of vmferry: see the logs of its workers.',
    host: context.host,
  };
}

function timeoutFault(
  timeout: TimeoutFailure,
  { host, what }: { host: string; what: string },
): Fault {
  const restart = `It goes on by itself once the worker answers; on ${host} see \`systemctl status vmferry-host\`.`;
  if (timeout.timeoutType === 'SCHEDULE_TO_START') {
    return {
      code: 'worker-unreachable',
      handling: Handling.transient,
      message: `no worker of ${host} took up: ${what}`,
      remedy: restart,
      host,
    };
  }
  if (timeout.timeoutType === 'HEARTBEAT') {
    return {
      code: 'worker-lost',
      handling: Handling.transient,
      message: `the worker of ${host} stopped answering during: ${what}`,
      remedy: restart,
      host,
    };
  }
  return {
    code: 'step-timed-out',
    handling: Handling.transient,
    message: `${what} on ${host} took longer than its limit`,
    remedy: `See the worker's log on ${host}; the step is tried again.`,
    host,
  };
}

function isFault(value: unknown): value is Fault {
  if (typeof value !== 'object' || value === null) return false;
  const fault = value as Partial<Fault>;
  return (
    typeof fault.code === 'string' &&
    typeof fault.handling === 'string' &&
    typeof fault.message === 'string' &&
    typeof fault.remedy === 'string'
  );
}
