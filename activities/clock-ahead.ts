import { Context } from '@temporalio/activity';
import type { MachineFacts } from '../domain/host.ts';

/**
 * How far this host's clock is ahead of the Temporal server's, the way of the message included: both hosts of a move
 * measure against the same server, so what they differ by is their own. Ask at the start of an attempt. Empty outside
 * of an activity.
 */
export function clockAhead(): Pick<MachineFacts, 'clockAheadMs'> {
  let scheduledAtMs: number;
  try {
    scheduledAtMs = Context.current().info.currentAttemptScheduledTimestampMs;
  } catch {
    // Nobody scheduled this.
    return {};
  }
  return { clockAheadMs: Date.now() - scheduledAtMs };
}
