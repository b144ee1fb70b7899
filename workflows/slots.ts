/** The places of a move on its two hosts: as many moves at a time as each host takes, the room on the target promised. */
import {
  ActivityCancellationType,
  CancellationScope,
  log,
  proxyActivities,
} from '@temporalio/workflow';
import type {
  ControlActivities,
  ReleaseMoveInput,
  ReserveMoveAnswer,
  ReserveMoveInput,
} from '../activities/control/contract.ts';
import { placementVmOf } from '../domain/placement/from-facts.ts';
import { controlQueue } from './contract.ts';
import { faultOf, isCancellation, MoveFailed } from './faults.ts';
import { controlActivities } from './on-control.ts';
import type { Checked, Move } from './move.ts';
import { untilGranted, waitMs } from './until-granted.ts';

const waitOnControl = (summary: string): ControlActivities =>
  proxyActivities<ControlActivities>({
    taskQueue: controlQueue,
    startToCloseTimeout: waitMs + 60_000,
    heartbeatTimeout: '15s',
    // Only Temporal itself can be in trouble here: the SDK's own back-off, for as long as that takes.
    retry: { initialInterval: '1s', maximumInterval: '30s' },
    scheduleToCloseTimeout: '1h',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary,
  });

/**
 * Waits until both hosts have a place for the move, and takes them. Call it after the checks and before anything is
 * touched. While it waits the report says for which host and why. Gives where the target is to be reached for a live
 * migration, if somebody set that. Throws `MoveFailed` where no waiting helps (the target was disabled), and the
 * cancellation.
 */
export async function takeSlots(move: Move, checked: Checked): Promise<string | undefined> {
  const { from, to } = move.input.request;
  const { source, target } = await placesFor(wishOf(move, checked), {
    note: (text) => move.record.note(text),
    giveBack: () => giveSlots(move),
  });
  if (source === undefined) throw new Error('a move without a place on its source');
  // What a host's entity said itself meanwhile is newer: it tells only those that have their place.
  move.hostLimits = { [from]: source.limits, [to]: target.limits, ...move.hostLimits };
  return target.migrationAddress;
}

interface Waiting {
  /** What the report says of the wait. */
  note: (text: string) => void;
  /** Takes places back that a cancel may have left taken. */
  giveBack: () => Promise<void>;
}

/** Waits until the hosts have the places, and takes them. Throws `MoveFailed`, and the cancellation. */
export async function placesFor(
  asked: ReserveMoveInput,
  waiting: Waiting,
): Promise<Extract<ReserveMoveAnswer, { granted: true }>> {
  return untilGranted((wait) => askHosts({ ...asked, ...wait }, waiting), waiting.note);
}

/**
 * Gives the places back; where there are none any more nothing happens, so that it may be called at each end. Call it as
 * soon as the disks and the guest are where they are to be, before the move awaits its commit: that may take days. `vmOn`
 * is where the VM is by then. Never fails the move.
 */
export async function giveSlots(move: Move, vmOn: string = move.record.report.vmOn): Promise<void> {
  move.placesGiven ??= placesGiven(move, vmOn);
  if (!(await move.placesGiven)) delete move.placesGiven;
}

/** Whether that worked. */
const placesGiven = ({ input, ref }: Move, vmOn: string): Promise<boolean> =>
  placesReleased({
    cluster: input.cluster,
    moveId: ref.moveId,
    hosts: [input.request.from, input.request.to],
    ...(vmOn === input.request.to ? { arrivedOn: vmOn } : {}),
  });

/** Whether that worked. */
export async function placesReleased(input: ReleaseMoveInput): Promise<boolean> {
  try {
    await CancellationScope.nonCancellable(() =>
      controlActivities('give the places back').releaseMove(input),
    );
    return true;
  } catch (error) {
    // The next move that lacks these places finds that this one is over, and takes them.
    log.warn('could not give the places back', { error });
    return false;
  }
}

async function askHosts(
  input: ReserveMoveInput,
  { giveBack }: Waiting,
): Promise<ReserveMoveAnswer> {
  const on = input.source === undefined ? `on ${input.target}` : 'on both hosts';
  try {
    const summary = `take a place ${on}`;
    const control =
      input.waitMs === undefined
        ? controlActivities(summary, { inAll: '1h' })
        : waitOnControl(summary);
    return await control.reserveMove(input);
  } catch (error) {
    if (isCancellation(error)) {
      await giveBack();
      throw error;
    }
    throw new MoveFailed(faultOf(error, { host: input.target, what: 'take a place' }));
  }
}

function wishOf({ input, ref, record }: Move, { source, disks }: Checked): ReserveMoveInput {
  const { request, cluster } = input;
  const shared = disks.filter(({ how }) => how === 'shared').map(({ name }) => name);
  const isOff = !record.report.vmRunning && !request.autoStart;
  return {
    cluster,
    move: { moveId: ref.moveId, workflowId: ref.moveId, runId: ref.migrationId },
    source: request.from,
    target: request.to,
    vm: placementVmOf(source.vm, { request, shared, isOff }),
  };
}
