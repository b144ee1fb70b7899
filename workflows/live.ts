/**
 * A guest that moves while it runs. libvirt carries it out and goes on when every process of ours is dead; so what
 * counts is never a reply but where both hosts say that the VM is, asked anew after every run.
 */
import { CancellationScope, sleep } from '@temporalio/workflow';
import type { EpochRef, HeldGuest, LiveAdmission, MoveLiveResult } from '../activities/contract.ts';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import type { LiveReport, LiveWishes } from '../domain/live.ts';
import { targetNotKept } from '../domain/live-outcome.ts';
import { Phase } from '../domain/move.ts';
import { allOrNone } from './all-or-none.ts';
import { isCancellation, MoveFailed } from './faults.ts';
import { letGoOn, letNothingIn, whereItIs } from './live-whereabouts.ts';
import type { Checked, Move } from './move.ts';
import { limits, watchOn } from './on-host.ts';
import { guard, reserveLive } from './reserve.ts';
import { giveSlots } from './slots.ts';
import { tellOfArrival } from './tell-parent.ts';
import { capOf } from './tune.ts';

/** After so many runs that broke off by themselves, the move is no passing trouble any more. */
const mostRuns = 5;
const firstPauseMs = 2_000;
const longestPauseMs = 30_000;

/** Both hosts are ready for the first run. */
export interface ReadyForLive {
  checked: Checked;
  wishes: LiveWishes;
  leave: LiveAdmission;
}

/**
 * The target has a place and lets the guest in, and the source refuses every other start of it. Neither needs the other,
 * and no run begins before both.
 */
export async function readyForLive(
  move: Move,
  placed: Checked,
  wishes: LiveWishes,
): Promise<ReadyForLive> {
  move.goingLive = true;
  let ready: ReadyForLive | undefined;
  await allOrNone([
    () => guard(move, placed),
    async () => {
      undoLive(move, placed);
      const mayHold = mayBeHeld(move, wishes);
      ready = { wishes, ...(await reserveLive(move, placed, { mayHold })) };
    },
  ]);
  if (ready === undefined) throw new Error('ready without a place');
  return ready;
}

/** Runs before the source gets its VM back: nothing of it may come up at the target after that. */
function undoLive(move: Move, { epoch }: Checked): void {
  move.undo.push({
    name: 'end the live migration',
    run: async () => {
      // Once it is handed over there is none, and the ledgers are no longer those of this epoch.
      if (!move.cutoverBegan) await callOff(move, { ...move.ref, epoch });
    },
  });
}

/** Whether the VM is at the target now. False: it stayed, and is to be moved cold instead, as the plan allows. */
export async function moveLive(move: Move, ready: ReadyForLive): Promise<boolean> {
  const { record, input } = move;
  const { checked, wishes } = ready;
  const ref: EpochRef = { ...move.ref, epoch: checked.epoch };
  record.enter(Phase.moving);
  const fault = await record.during('live', () => runs(move, { ...ready, ref }));
  if (fault === undefined) return true;
  if (wishes.fallback !== 'cold') throw new MoveFailed(fault);
  await callOff(move, ref);
  move.goingLive = false;
  liveReport(move).gaveUp = fault.message;
  record.note(`${input.vm.name} did not move live (${fault.message}); it is moved cold, as asked`);
  return false;
}

/** `wishes` as the move began with; a person may have changed a limit since. */
interface Run extends ReadyForLive {
  ref: EpochRef;
}

/** One run after the other until the VM is there. Gives why it is not; throws only if it is known to have stayed. */
async function runs(move: Move, what: Run): Promise<Fault | undefined> {
  const { record, input } = move;
  const report = liveReport(move);
  for (let run = 1; ; run += 1) {
    report.runs = run;
    let result: MoveLiveResult;
    try {
      result = await oneRun(move, what, run);
    } catch (error) {
      if (!isCancellation(error) && !(error instanceof MoveFailed)) throw error;
      // A cancel, or something that no try mends: the guest may have gone over all the same.
      const place = await CancellationScope.nonCancellable(async () => {
        await callOff(move, what.ref);
        return whereItIs(move, what.ref);
      });
      if (place !== 'target') throw error;
      move.awaitsWord = true;
      record.note(
        `${input.vm.name} had arrived on ${input.request.to} before it could be called off; it goes on from there`,
      );
      return undefined;
    }
    tell(report, result);
    const { held, fault: said } = result;
    const place = await CancellationScope.nonCancellable(async () => {
      // The source's libvirt let go of it, and the target's took the word to let it go on.
      if (said === undefined && held?.forMs !== undefined && held.keepPaused !== true)
        return 'target';
      const isThere = held !== undefined && (await endHold(move, what.ref, held));
      return isThere ? 'target' : whereItIs(move, what.ref);
    });
    if (place === 'target') {
      // Whatever else was said of the run is settled by where the guest is.
      if (said?.code === targetNotKept) complain(move, said);
      return undefined;
    }
    if (place === 'down') throw new MoveFailed(wentDown(input.request.from, input.vm.name));
    const fault = said ?? brokeOff(input.request.from, input.vm.name);
    record.failedAttempt(fault);
    if (!isPassing(fault) || run >= mostRuns) return fault;
    await sleep(Math.min(longestPauseMs, firstPauseMs * 2 ** (run - 1)));
  }
}

/** The guest is there, and yet libvirt said no to something, as to keep its definition: the source's copy stays for now. */
function complain(move: Move, { message, remedy }: Fault): void {
  const { record, input } = move;
  move.awaitsWord = true;
  record.note(
    `${input.vm.name} runs on ${input.request.to}, but: ${message}. ${remedy} Then commit.`,
  );
}

/**
 * The source let go of a guest that arrived paused: it goes on there, first of all. True where it does, which is all
 * that has to be known then: what let go cannot come back.
 */
async function endHold(move: Move, ref: EpochRef, held: HeldGuest): Promise<boolean> {
  const { record, input } = move;
  const beganMs = Date.now();
  const { place, job } = await letGoOn(move, ref, held);
  const isThere = place === 'running' && job === 'none';
  if (held.keepPaused === true || held.forMs !== undefined) return isThere;
  const report = liveReport(move);
  if (report.downtimeMs !== undefined) report.downtimeMs += Date.now() - beganMs;
  if (held.trouble !== undefined)
    record.note(
      `${input.request.from} could not let ${input.vm.name} go on at ${input.request.to} by itself (${held.trouble}); the worker there did`,
    );
  return isThere;
}

const runSuffix = (run: number): string => (run === 1 ? '' : `, run ${run}`);

/** A post-copy is over only once the guest runs there. */
const mayBeHeld = ({ input }: Move, wishes: LiveWishes): boolean =>
  !(input.request.live ?? wishes).postCopy;

/** Leave for one run at the target after the first. */
function admit(
  move: Move,
  { wishes, ref }: Pick<Run, 'wishes' | 'ref'>,
  run: number,
): Promise<LiveAdmission> {
  const { hosts, input } = move;
  const { from, to } = input.request;
  const mayHold = mayBeHeld(move, wishes);
  return hosts.do({
    host: to,
    what: `admit ${input.vm.name}${runSuffix(run)}`,
    limit: limits.act,
    call: (at) => at.admitLive({ ...ref, source: from, run, ...(mayHold ? { mayHold } : {}) }),
  });
}

/** The run itself, with leave at the target; the source attaches to one that goes on already. */
async function oneRun(
  move: Move,
  { checked, wishes, ref, leave }: Run,
  run: number,
): Promise<MoveLiveResult> {
  const { hosts, input } = move;
  const { from, to } = input.request;
  const { token, holds } = run === 1 ? leave : await admit(move, { wishes, ref }, run);
  move.liveRunBegan = true;
  const standby = holds === true ? standBy(move, { checked, ref }) : undefined;
  try {
    return await hosts.do({
      host: from,
      what: `move ${input.vm.name} live${runSuffix(run)}`,
      limit: limits.bulk,
      call: (at) =>
        at.moveLive({
          ...ref,
          ...{ target: to, run, token, ...(holds === true ? { hold: true } : {}) },
          wishes: move.input.request.live ?? wishes,
          targetAddress: checked.targetAddress,
          disks: checked.disks,
          // Read for each attempt: a person may have changed it.
          bandwidthBytesPerSecond: capOf(move),
        }),
    });
  } finally {
    standby?.cancel();
  }
}

/**
 * One of the two hosts' workers is enough for a guest to go on that arrived paused. Once it does, the move needs no place
 * on either host any more: libvirt takes its time to end what is over.
 */
function standBy(
  move: Move,
  { checked, ref }: Pick<Run, 'checked' | 'ref'>,
): CancellationScope | undefined {
  const { vm, migrationAddress: sourceAddress } = checked.source;
  if (vm.state === 'paused') return undefined;
  const { to } = move.input.request;
  const standby = new CancellationScope();
  const at = watchOn(to, `await ${move.input.vm.name}`);
  void standby
    .run(async () => {
      const there = await at.awaitArrival({ ...ref, sourceAddress });
      if (there.place !== 'running' || there.job !== 'none') return;
      await giveSlots(move, to);
      tellOfArrival(move.record.report);
    })
    // What it could not see is asked for anew; that it was called off is no news.
    .catch(() => undefined);
  return standby;
}

/** No run goes on, and no other begins: first the source lets go, then the target lets nothing in any more. */
async function callOff(move: Move, ref: EpochRef): Promise<void> {
  // Before the first run the source has nothing to end, and may not have taken the move up.
  if (move.liveRunBegan === true)
    await move.hosts.do({
      host: move.input.request.from,
      what: 'end the live migration',
      limit: limits.act,
      call: (at) => at.endLive(ref),
    });
  await letNothingIn(move, ref);
}

/** The last run's figures stay; what was done is kept of all of them. */
function tell(
  report: LiveReport,
  { fault: _, held: _held, elapsedMs, steps, ...figures }: MoveLiveResult,
): void {
  report.steps.push(...steps);
  Object.assign(report, figures, { totalMs: elapsedMs });
}

function liveReport({ record }: Move): LiveReport {
  const { live } = record.report;
  if (live === undefined) throw new Error('a live move without its report');
  return live;
}

const isPassing = ({ handling }: Fault): boolean =>
  handling === Handling.transient || handling === Handling.outcomeUnknown;

const wentDown = (host: string, vm: string): Fault => ({
  code: 'vm-went-down',
  handling: Handling.permanent,
  message: `${vm} came to an end on ${host} while it was to move live`,
  remedy: `It is left off, where it was. See its log on ${host} if nobody shut it down; then start it, or move it cold.`,
  host,
});

const brokeOff = (host: string, vm: string): Fault => ({
  code: 'live-broke-off',
  handling: Handling.transient,
  message: `the live migration of ${vm} from ${host} ended, and libvirt does not say why; the VM runs on where it was`,
  remedy: `It is tried again. See libvirt's log on ${host} and on the target.`,
  host,
});
