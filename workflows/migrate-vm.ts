/**
 * The story of a move, top to bottom. Each verb is an activity on one host (activities/contract.ts says what
 * it promises); what to undo is pushed before a step acts; from the cutover on nothing is cancelled half-way.
 */
import {
  CancellationScope,
  CancelledFailure,
  condition,
  defineSignal,
  setHandler,
} from '@temporalio/workflow';
import type { EpochRef } from '../activities/contract.ts';
import { turnNotCome } from '../domain/drain/drain.ts';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import { Phase } from '../domain/move.ts';
import type { MoveReport } from '../domain/move.ts';
import { clearingOfTarget, judge } from './check.ts';
import { Compensations } from './compensations.ts';
import { signalNames } from './contract.ts';
import type { MigrateVmInput } from './contract.ts';
import { copyAll, verifyAll } from './copy.ts';
import { cutOver, cutOverLive } from './cutover.ts';
import { failureOf, isCancellation, MoveFailed } from './faults.ts';
import { moveLive, readyForLive } from './live.ts';
import { MoveRecord } from './move-record.ts';
import { Hosts, limits } from './on-host.ts';
import { Orders } from './orders.ts';
import { guard, reserve } from './reserve.ts';
import { settle } from './settle.ts';
import { giveSlots, takeSlots } from './slots.ts';
import { heedHostLimits, tune } from './tune.ts';
import { moveRef, undoEpoch } from './move.ts';
import type { Checked, Move, Stopped } from './move.ts';

export async function migrateVm(input: MigrateVmInput): Promise<MoveReport> {
  const record = new MoveRecord(input);
  const orders = new Orders(record);
  const hosts = new Hosts(record, orders);
  const move: Move = {
    input,
    ref: moveRef(input),
    record,
    orders,
    hosts,
    undo: new Compensations(record, hosts),
    cutoverBegan: false,
    goingLive: false,
    hostLimits: {},
  };
  orders.tuner = (order) => tune(move, order);
  heedHostLimits(move);
  const turn = turnOf(move);
  try {
    const judged = await judge(move);
    const placed = await takePlaces(move, judged, turn);
    const { live } = move.input.request;
    const ready = live === undefined ? undefined : await readyForLive(move, placed, live);
    const checked = ready?.checked ?? (await reserveAndGuard(move, placed));
    if (ready !== undefined && (await moveLive(move, ready))) {
      await CancellationScope.nonCancellable(() => cutOverLive(move, checked));
    } else await moveCold(move, checked);
    await CancellationScope.nonCancellable(() => settle(move, checked));
  } catch (error) {
    await undoAndEnd(move, error);
  }
  return record.report;
}

/** What is to be awaited until the move may go: nothing, unless who began it holds it. It throws `MoveFailed`. */
function turnOf({ input, record }: Move): () => Promise<void> {
  const { heldForMs, request, vm } = input;
  if (heldForMs === undefined) return () => Promise.resolve();
  let mayGo = false;
  setHandler(defineSignal(signalNames.mayGo), () => {
    mayGo = true;
  });
  return async () => {
    if (mayGo) return;
    record.note(`${vm.name} is looked into; it goes as soon as others have left ${request.from}`);
    if (!(await condition(() => mayGo, heldForMs))) throw new MoveFailed(notItsTurn(input));
  };
}

/** What was looked into is old by then, and who began it may be no more. */
const notItsTurn = ({ vm, request }: MigrateVmInput): Fault => ({
  code: turnNotCome,
  handling: Handling.transient,
  message: `${vm.name} waited for its turn to leave ${request.from}, which did not come; nothing was touched`,
  remedy: `A drain that goes on looks into it again by itself; else drain ${request.from} again.`,
  host: request.from,
});

/** As many moves at a time as each of the hosts takes; what is said of their links holds for this move. */
async function takePlaces(
  move: Move,
  judged: Checked,
  turn: () => Promise<void>,
): Promise<Checked> {
  // The target has taken the definition over already; before the reservation it has no epoch to undo under.
  const { epoch } = judged;
  move.undo.push(
    clearingOfTarget(move, () => (move.reserving === true ? undoEpoch(move, epoch) : 0)),
  );
  await turn();
  const targetAddress = (await takeSlots(move, judged)) ?? judged.targetAddress;
  return { ...judged, targetAddress };
}

/** The target has its place first: a source that refuses to start its VM is to have a reason. */
async function reserveAndGuard(move: Move, placed: Checked): Promise<Checked> {
  const checked = await reserve(move, placed);
  await guard(move, checked);
  return checked;
}

async function moveCold(move: Move, checked: Checked): Promise<void> {
  const stopped = await takeDown(move, checked);
  const exports = await copyAll(move, checked);
  await verifyAll(move, checked);
  await define(move, checked);
  throwIfCancelled();
  await CancellationScope.nonCancellable(() => cutOver(move, { checked, stopped, exports }));
}

async function takeDown(move: Move, { epoch }: Checked): Promise<Stopped> {
  const { record, hosts, input } = move;
  const { from } = input.request;
  const ref: EpochRef = { ...move.ref, epoch };
  record.enter(Phase.stopping);
  const { shutdown, shutdownTimeoutMs } = input.request;
  const stopped = await record.during('stop-source', () =>
    hosts.do({
      host: from,
      what: `shut down ${input.vm.name}`,
      limit: { ...limits.act, attemptMs: shutdownTimeoutMs + limits.act.attemptMs },
      call: (at) => at.ensureStopped({ ...ref, shutdown, shutdownTimeoutMs }),
    }),
  );
  record.report.vmRunning = false;
  if (stopped.forced) record.note(`${input.vm.name} did not shut down in time and was powered off`);
  return { wasRunning: stopped.wasRunning, downSinceMs: Date.now() - stopped.downForMs };
}

/** An activity that ends well in spite of a cancel must not carry the move past the point of no return. */
function throwIfCancelled(): void {
  if (CancellationScope.current().consideredCancelled)
    throw new CancelledFailure('cancelled before the cutover');
}

/** Defined on the target, where the guard refuses a start until the cutover, with what libvirt keeps beside it. */
async function define(move: Move, checked: Checked): Promise<void> {
  const { record, hosts, ref, input } = move;
  const { disks, epoch } = checked;
  const { from, to } = input.request;
  const { complaint } = await record.during('define', async () => {
    const defined = await hosts.do({
      host: to,
      what: `define ${input.vm.name}`,
      limit: limits.act,
      call: (at) => at.ensureDefined({ ...ref, epoch, source: from, disks }),
    });
    if (keepsState(move, checked)) await moveState(move, checked);
    return defined;
  });
  if (complaint !== '')
    record.note(`libvirt on ${to} does not know all of the definition: ${complaint}`);
}

/** Whether anything but definition and disks belongs to the VM. */
function keepsState({ record }: Move, { source, disks }: Checked): boolean {
  const { keptState = [], snapshots } = source.vm;
  const stays = disks.every(({ how }) => how === 'shared');
  return (
    keptState.length > 0 ||
    (stays && snapshots.length > 0) ||
    record.report.concerns.some(({ code }) => code === 'secret-moves')
  );
}

/** UEFI variables, TPM state, snapshots' metadata and secrets, over the data plane. */
async function moveState({ hosts, ref, input }: Move, { disks, epoch }: Checked): Promise<void> {
  const { from, to } = input.request;
  await hosts.do({
    host: to,
    what: `take over the state of ${input.vm.name}`,
    limit: limits.act,
    call: async (at) => {
      // Offered anew for each attempt, as an export may have died with its host.
      const parcel = await hosts.do({
        host: from,
        what: `offer the state of ${input.vm.name}`,
        limit: limits.act,
        call: (source) => source.offerState({ ...ref, epoch, target: to, disks }),
      });
      return at.ensureState({ ...ref, epoch, parcel });
    },
  });
}

/** Undo everything, then end as what it was: cancelled, or failed by the first thing that no retry mends. */
async function undoAndEnd(move: Move, error: unknown): Promise<void> {
  const { record, undo } = move;
  const wish = isCancellation(error);
  if (!wish && !(error instanceof MoveFailed)) throw error;
  const fault: Fault | undefined = wish ? undefined : (error as MoveFailed).fault;
  if (fault !== undefined) record.report.firstError ??= fault;
  record.enter(Phase.rollingBack);
  await undo.runAll();
  await giveSlots(move);
  if (fault === undefined) {
    record.end(Phase.cancelled);
    throw error;
  }
  record.end(Phase.failed, fault);
  throw failureOf(fault);
}
