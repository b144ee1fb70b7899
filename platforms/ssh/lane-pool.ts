/** The threads of all lanes of the process: a few, and none where there are no lanes. */
import { availableParallelism } from 'node:os';
import { SshError, SshErrorKind } from '../../protocols/ssh/index.ts';
import { OrderThread } from '../../protocols/threads/index.ts';
import { fromWords } from './lane-messages.ts';
import type { LaneAnswer, LaneOrder, LaneWords } from './lane-messages.ts';

type LaneThread = OrderThread<LaneOrder, LaneAnswer, LaneWords>;

/** A place in a thread. */
export interface Seat {
  readonly thread: LaneThread;
  /** Names the lane in it. */
  readonly lane: number;
}

const program = new URL('./lane-thread.ts', import.meta.url);
/** Small heaps: what a session holds lies outside of them. */
const resourceLimits = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 96 };
/** Two at least, so that the link is busy while one decrypts. */
export const mostLaneThreads = Math.min(4, Math.max(2, availableParallelism()));

/** To start one takes as long as to log in ten times. */
const usualLingerMs = 20_000;

const seated = new Map<LaneThread, Set<number>>();
let lastLane = 0;

const lost = (why: string): SshError =>
  new SshError(SshErrorKind.lost, `the thread that reads by SSH is gone: ${why}`);

/** Takes a place in the thread that has the fewest, or in a new one. */
export function takeSeat(): Seat {
  for (const thread of seated.keys()) if (thread.isLost) seated.delete(thread);
  const lane = ++lastLane;
  if (seated.size < mostLaneThreads) {
    seated.set(new OrderThread({ program, resourceLimits, fromWords, lost }), new Set());
  }
  const [[thread, lanes] = noThread()] = [...seated].sort(([, a], [, b]) => a.size - b.size);
  lanes.add(lane);
  return { thread, lane };
}

/** Gives it back. The thread ends so long after the last one, for often the next disk is about to come. */
export function leaveSeat({ thread, lane }: Seat, lingerMs = usualLingerMs): void {
  seated.get(thread)?.delete(lane);
  setTimeout(() => {
    if (seated.get(thread)?.size !== 0) return;
    seated.delete(thread);
    void thread.end();
  }, lingerMs).unref();
}

function noThread(): never {
  throw new RangeError('a thread at least is there');
}
