/** What emptying a host is asked for, shows and reports. */
import type { Fault } from '../errors.ts';
import { defaultLiveWishes } from '../live.ts';
import type { LiveWishes } from '../live.ts';
import type { MoveReport, SkippedCheck } from '../move.ts';
import type { StartPolicy } from '../placement/weighers.ts';

/** What a person asked for. */
export interface DrainRequest {
  /** How VMs that run are moved. `cold`: each is shut down. */
  running: 'live' | 'cold';
  /** What becomes of a VM that runs and cannot move live: shut down and moved, left running, or counted as failed. */
  rest: 'cold' | 'leave' | 'fail';
  /** What becomes of VMs that are off. */
  off: 'move' | 'leave';
  /** Most moves of this drain at a time; the limits of the hosts hold beside it. */
  parallel: number;
  /** Labels that each target must have, beside those that a VM requires itself. */
  labels: Readonly<Record<string, string>>;
  placement: StartPolicy;
  autoCommit: boolean;
  /** Cap of each move in bytes a second; 0 is none. */
  bandwidthBytesPerSecond: number;
  /** How far live moves may go with their guests. */
  live: LiveWishes;
  /** Checks that are left out of each move. */
  skip?: SkippedCheck[];
  operator: string;
}

/** What nobody chose: VMs that run move live, those that cannot stay, and no host has more than its default of moves. */
export const drainDefaults = (operator: string): DrainRequest => ({
  running: 'live',
  rest: 'leave',
  off: 'move',
  parallel: 2,
  labels: {},
  placement: 'fewest-vms',
  autoCommit: false,
  bandwidthBytesPerSecond: 0,
  live: defaultLiveWishes,
  operator,
});

/**
 * Where one VM of the host stands. `next`: it has a target, and its move is looked into and waits for its turn; nothing of
 * the VM was touched. `parked`: its move waits for a person and goes on by itself after that. `left`: it stays as the
 * policy or an order has it. `gone`: it was there and is not any more, by no doing of the drain.
 */
export const DrainState = {
  waiting: 'waiting',
  next: 'next',
  moving: 'moving',
  moved: 'moved',
  parked: 'parked',
  left: 'left',
  failed: 'failed',
  gone: 'gone',
} as const;
export type DrainState = (typeof DrainState)[keyof typeof DrainState];

export interface DrainLine {
  uuid: string;
  name: string;
  state: DrainState;
  /** Where it goes to, or went. */
  to?: string;
  /** Workflow ID of its move, once there is one. */
  moveId?: string;
  mode?: MoveReport['mode'];
  /** Its guest runs at the target and its places are free again, though its move is not over: the next may begin. */
  arrived?: true;
  /** It is on its target, and its source keeps a copy until somebody commits. */
  awaitsCommit?: true;
  /** Why it waits, stays or failed; a sentence or a few. */
  why?: string;
  fault?: Fault;
  /**
   * While it waits: for `room` on another host, or for the `guard`, which says that a move of somebody else has it. Since
   * when, ISO 8601, and whether time may help.
   */
  blocked?: { by: 'room' | 'guard'; since: string; mayPass: boolean };
  /** Hosts that failed it. */
  excluded?: string[];
}

/** Code of the fault by which a move ends that was begun ahead and never let go. */
export const turnNotCome = 'turn-not-come';

/** After its move failed on so many targets, a VM is not tried on another. */
export const mostTargets = 3;

/** `stopping`: somebody cancelled it, and moves under way come to their end. The last two are ends. */
export type DrainPhase = 'marking' | 'moving' | 'stopping' | 'done' | 'cancelled';

/** The state of a drain; what queries and `vmferry drain` give. */
export interface DrainReport {
  /** The workflow's ID: `drain/<cluster>/<host>`. */
  id: string;
  host: string;
  operator: string;
  phase: DrainPhase;
  request: DrainRequest;
  /** Sorted by name. */
  vms: DrainLine[];
  startedAt: string;
  endedAt?: string;
  /** What keeps the drain itself from going on; it tries again. */
  trouble?: Fault;
  /** Who cancelled it; empty if that person did not say. */
  cancelledBy?: string;
}

export type DrainCounts = Readonly<Record<DrainState, number>> & {
  /** Of `moved`. */
  readonly awaitsCommit: number;
};

/** How many VMs stand where. */
export function drainCounts(lines: readonly DrainLine[]): DrainCounts {
  const counts = {
    ...{ waiting: 0, next: 0, moving: 0, moved: 0, parked: 0, left: 0, failed: 0, gone: 0 },
    awaitsCommit: 0,
  };
  for (const { state, awaitsCommit } of lines) {
    counts[state] += 1;
    if (awaitsCommit === true) counts.awaitsCommit += 1;
  }
  return counts;
}

/** Whether the host has none of its VMs to keep any more; those that await their commit are elsewhere already. */
export const isDrained = ({ phase, vms }: Pick<DrainReport, 'phase' | 'vms'>): boolean =>
  phase === 'done' && vms.every(({ state }) => state === 'moved' || state === 'gone');

/** Most moves at a time that can be asked for. */
export const mostParallel = 64;
