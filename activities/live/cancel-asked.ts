import { Context } from '@temporalio/activity';

/**
 * Tells whether somebody cancelled the activity that calls this now. A worker that stops, or a newer attempt, aborts the
 * same signal, and has to leave a migration alone.
 */
export function cancelAsked(): () => boolean {
  const context = Context.current();
  return () => context.cancellationDetails?.cancelRequested === true;
}
