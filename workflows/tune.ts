/** What a move may take of its hosts' links, as people change it while it runs: of the move itself, or of a host. */
import { HandlerUnfinishedPolicy } from '@temporalio/common';
import { defineSignal, log, setHandler, sleep } from '@temporalio/workflow';
import { lowestCap, shareOfCap } from '../domain/bandwidth.ts';
import { Phase } from '../domain/move.ts';
import { signalNames } from './contract.ts';
import type { HostLimitsNews, TuneOrder } from './contract.ts';
import { faultOf, isCancellation, orFault } from './faults.ts';
import type { Move } from './move.ts';
import { activitiesOf, limits } from './on-host.ts';

const hostLimitsSignal = defineSignal<[HostLimitsNews]>(signalNames.hostLimits);

/** A run that is about to begin with the cap of before, or a worker that is away for a moment. */
const tellAgainMs = 2_000;
const mostTells = 10;

/**
 * Cap of a move in bytes a second: its own, or a share of the other host's cap if that is less; 0 is none. Of a cold move
 * that is the source's share, of a live one the target's; the host that does the work shares its own cap among its moves
 * itself, as they come and go.
 */
export function capOf({ input, hostLimits, goingLive }: Move): number {
  const { from, to, bandwidthBytesPerSecond: own } = input.request;
  const { downBytesPerSecond = 0, movesIn = 1 } = hostLimits[to] ?? {};
  const { upBytesPerSecond = 0, movesOut = 1 } = hostLimits[from] ?? {};
  // Each end knows its own moves only: a copy is read by the target, a guest is sent by the source.
  const share = goingLive
    ? shareOfCap(downBytesPerSecond, movesIn)
    : shareOfCap(upBytesPerSecond, movesOut);
  return lowestCap(own, share);
}

/** New limits of a move: for what runs now, and for every later attempt. Gives whether something that runs took them. */
export async function tune(move: Move, order: TuneOrder): Promise<boolean> {
  const { bandwidthBytesPerSecond, maxDowntimeMs } = order;
  const { request } = move.input;
  const { live } = request;
  move.input = {
    ...move.input,
    request: {
      ...request,
      ...(bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond }),
      ...(live === undefined || maxDowntimeMs === undefined
        ? {}
        : { live: { ...live, maxDowntimeMs } }),
    },
  };
  return tell(move, {
    ...(bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond: capOf(move) }),
    ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
  });
}

/** From now on the limits that people set of its hosts hold for the move as it runs. */
export function heedHostLimits(move: Move): void {
  let telling: Promise<void> = Promise.resolve();
  const heed = async ({ host, limits: now }: HostLimitsNews): Promise<void> => {
    const before = capOf(move);
    move.hostLimits = { ...move.hostLimits, [host]: now };
    const cap = capOf(move);
    if (cap === before || working(move) === undefined) return;
    move.record.note(
      `the limits of ${host} were changed: ${cap === 0 ? 'no cap' : `at most ${cap} bytes a second`} from here on`,
    );
    // One after the other, each with what holds by then: an older one must not come last.
    telling = telling.then(() => tellUntilTaken(move, host));
    await telling;
  };
  // A move that is over needs no cap.
  const unfinishedPolicy = HandlerUnfinishedPolicy.ABANDON;
  setHandler(hostLimitsSignal, heed, { unfinishedPolicy });
}

async function tellUntilTaken(move: Move, host: string): Promise<void> {
  for (let tells = 1; working(move) !== undefined; tells += 1) {
    let why = 'nothing runs there that could take it';
    try {
      if (await tell(move, { bandwidthBytesPerSecond: capOf(move) })) return;
    } catch (error) {
      if (isCancellation(error)) return;
      why = faultOf(error, { host, what: 'change the cap' }).message;
    }
    if (tells >= mostTells) {
      log.warn('a changed cap was not taken over', { why });
      move.record.note(`${why}: the changed cap holds from the next attempt on`);
      return;
    }
    await sleep(tellAgainMs);
  }
}

/** What a move does that has a cap. */
function working({ record: { report } }: Move): 'live' | 'copy' | undefined {
  const { phase, parkedIn } = report;
  const current = parkedIn ?? phase;
  if (current === Phase.moving) return 'live';
  return current === Phase.copying ? 'copy' : undefined;
}

async function tell(
  move: Move,
  told: { bandwidthBytesPerSecond?: number; maxDowntimeMs?: number },
): Promise<boolean> {
  const { from, to } = move.input.request;
  const { bandwidthBytesPerSecond } = told;
  const what = working(move);
  if (what === 'live') {
    const summary = `${from}: change the limits of the live migration`;
    return orFault(from, 'change its limits', () =>
      activitiesOf(from, summary, limits.check).tuneLive({ ...move.ref, ...told }),
    );
  }
  if (what === undefined || bandwidthBytesPerSecond === undefined) return false;
  return orFault(to, 'change its cap', () =>
    activitiesOf(to, `${to}: change the cap of the copy`, limits.check).tuneCopy({
      ...move.ref,
      bandwidthBytesPerSecond,
    }),
  );
}
