import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { VmFerryError } from '../../domain/errors.ts';
import type { ControlActivities } from './contract.ts';
import type { FleetAccess } from './fleet.ts';
import { place } from './place.ts';
import { releaseMove, reserveMove } from './reserve-move.ts';

/** A verb that waits for a place learns of a cancel with its beats. */
const beatMs = 1_000;

/** The verbs of the control worker; `fleetOf` gives the hosts of a cluster. */
export function createControlActivities(
  fleetOf: (cluster: string) => FleetAccess,
): ControlActivities {
  const verb =
    <I extends { cluster: string }, O>(
      run: (fleet: FleetAccess, input: I, options: { signal: AbortSignal }) => Promise<O>,
    ) =>
    (input: I): Promise<O> =>
      beating((signal) => run(fleetOf(input.cluster), input, { signal }));
  return {
    place: verb(place),
    reserveMove: verb(reserveMove),
    releaseMove: verb(releaseMove),
    setHost: verb((fleet, { host, order }) => fleet.set(host, order)),
  };
}

/** Beats while `run` works. Our own errors are final; what Temporal's client throws is for Temporal to try again. */
async function beating<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const context = Context.current();
  const { cancellationSignal: signal } = context;
  const beat = setInterval(() => context.heartbeat(), beatMs);
  try {
    return await run(signal);
  } catch (error) {
    if (signal.aborted && context.cancellationDetails?.cancelRequested === true)
      throw new CancelledFailure('cancelled');
    if (!(error instanceof VmFerryError)) throw error;
    throw ApplicationFailure.create({
      type: error.code,
      message: error.message,
      nonRetryable: true,
      details: [error.toFault()],
      cause: error,
    });
  } finally {
    clearInterval(beat);
  }
}
