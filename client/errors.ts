import { ApplicationFailure } from '@temporalio/common';
import {
  isGrpcServiceError,
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { needsOperator, permanent, transient, VmFerryError } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';

export interface ErrorContext {
  /** What was tried: `look up web on alpha`. */
  what: string;
  /** Temporal's address, for messages. */
  address: string;
}

/** Turns what Temporal's client throws into an error that names the thing and the remedy. */
export function toVmFerryError(error: unknown, { what, address }: ErrorContext): VmFerryError {
  if (error instanceof VmFerryError) return error;
  const fault = faultWithin(error);
  if (fault !== undefined) return new VmFerryError(fault.handling, { ...fault, cause: error });
  if (error instanceof WorkflowNotFoundError) {
    return permanent({
      code: 'move-not-found',
      message: `no move or import stands under ${error.workflowId}`,
      remedy:
        'List moves and imports with `vmferry status`; they are named by their ID, or by their VM.',
      cause: error,
    });
  }
  if (error instanceof WorkflowUpdateFailedError) {
    return permanent({
      code: 'order-refused',
      message: error.cause?.message ?? error.message,
      remedy: 'See where it stands with `vmferry status`.',
      cause: error,
    });
  }
  if (error instanceof ServiceError || isConnectionError(error)) {
    return transient({
      code: 'temporal-unreachable',
      message: `Temporal at ${address} did not answer (${what}): ${rootMessage(error)}`,
      remedy:
        'Check `temporal.address` in the configuration and that the server runs; `vmferry doctor` tells more.',
      cause: error,
    });
  }
  return needsOperator({
    code: 'unexpected',
    message: `${what} failed: ${rootMessage(error)}`,
    remedy: 'This is a defect of vmferry or of its set-up; `vmferry doctor` may tell more.',
    cause: error,
  });
}

/** The second move of one VM: names the first. */
export const alreadyRunning = (
  error: Pick<WorkflowExecutionAlreadyStartedError, 'workflowId'>,
  vm: string,
): VmFerryError =>
  permanent({
    code: 'move-already-running',
    message: `${vm} is already being moved by ${error.workflowId}`,
    remedy: `Follow it with \`vmferry status ${vm}\`; commit, roll back or cancel it before the next move.`,
    cause: error,
  });

/** gRPC's NOT_FOUND. */
const grpcNotFound: number = 5;

/** Whether the server knows no such thing; what is asked by its own calls is refused so, not by an error of the client's. */
export const isNotFound = (error: unknown): boolean =>
  isGrpcServiceError(error) && error.code.valueOf() === grpcNotFound;

function faultWithin(error: unknown): Fault | undefined {
  for (
    let cause = error, depth = 0;
    cause instanceof Error && depth < 10;
    cause = cause.cause, depth += 1
  ) {
    if (!(cause instanceof ApplicationFailure)) continue;
    const detail = cause.details?.[0] as Partial<Fault> | undefined;
    if (typeof detail?.code === 'string' && typeof detail.handling === 'string')
      return detail as Fault;
  }
  return undefined;
}

const isConnectionError = (error: unknown): boolean =>
  error instanceof Error && /connect|UNAVAILABLE|DEADLINE|ECONNREFUSED/i.test(error.message);

function rootMessage(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  return cause instanceof Error ? cause.message : String(cause);
}

export { WorkflowExecutionAlreadyStartedError };
