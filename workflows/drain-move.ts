/** One VM of a host that is emptied: looked at, placed, and moved by a workflow of its own. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  CancelledFailure,
  ChildWorkflowCancellationType,
  ChildWorkflowFailure,
  log,
  ParentClosePolicy,
  startChild,
} from '@temporalio/workflow';
import type { ChildWorkflowHandle } from '@temporalio/workflow';
import type { PlaceAnswer } from '../activities/control/contract.ts';
import type { VmToPlace } from '../activities/upkeep.ts';
import * as boards from '../domain/drain/board.ts';
import { DrainState, turnNotCome } from '../domain/drain/drain.ts';
import type { DrainLine, DrainRequest } from '../domain/drain/drain.ts';
import { wayOf } from '../domain/drain/way.ts';
import type { Way } from '../domain/drain/way.ts';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import { moveDefaults } from '../domain/move.ts';
import type { MoveRequest } from '../domain/move.ts';
import type { VmFacts } from '../domain/vm.ts';
import { labelsOfMove, moveId, signalNames, workflowTypes } from './contract.ts';
import type { MigrateVmInput } from './contract.ts';
import type { DrainRecord } from './drain-record.ts';
import { faultOf, isCancellation, MoveFailed } from './faults.ts';
import type { migrateVm } from './migrate-vm.ts';
import { controlActivities } from './on-control.ts';
import { asksOf, lookToPlace, placed } from './place.ts';

/** A move that was held this long ends, and is begun anew: what was looked into is old by then. */
const heldForMs = 60 * 60_000;

/** Takes one VM away, or says on the board why not. `ahead`: its move waits for `letGo`. Rejects only by a defect. */
export async function moveAway(drain: DrainRecord, line: DrainLine, ahead: boolean): Promise<void> {
  drain.change((board) => boards.began(board, line.uuid, { ahead }));
  try {
    await tryToMove(drain, line);
  } catch (error) {
    if (!isCancellation(error)) throw error;
    drain.change((board) => boards.isLeft(board, line.uuid, 'the drain was cancelled'));
  }
}

/** Its turn has come, whether its move is there already or is just being begun. */
export function letGo(drain: DrainRecord, { uuid }: DrainLine): void {
  drain.change((board) => boards.goes(board, uuid));
  const move = drain.held.get(uuid);
  drain.held.delete(uuid);
  if (move !== undefined) tellToGo(move);
}

function tellToGo(move: ChildWorkflowHandle<typeof migrateVm>): void {
  CancellationScope.nonCancellable(() => move.signal(signalNames.mayGo)).catch((error: unknown) => {
    log.info('a move that may go is over already', { error: String(error) });
  });
}

async function tryToMove(drain: DrainRecord, line: DrainLine): Promise<void> {
  const { uuid } = line;
  const { request } = drain.input;
  const look = await lookAt(drain, line);
  if (look === undefined) return;
  const { facts } = look;
  const way = wayOf(facts.state, request);
  if (way.leave !== undefined) {
    const { leave } = way;
    drain.change((board) => boards.isLeft(board, uuid, leave));
    return;
  }
  const asked = moveRequest(drain, facts, way);
  const answer = await placeOf(drain, { line, look, asked });
  if (answer?.chosen === undefined) return;
  const to = answer.chosen;
  const id = moveId(drain.input.cluster, uuid);
  if (CancellationScope.current().consideredCancelled) {
    await giveBack(drain, id, to);
    throw new CancelledFailure('the drain was cancelled');
  }
  drain.change((board) => boards.goesTo(board, uuid, { to, moveId: id }));
  await moved(drain, line, {
    cluster: drain.input.cluster,
    vm: { name: facts.name, uuid },
    running: facts.state === 'running',
    request: { ...asked, to },
    placement: answer.note,
    ...(isHeld(drain, uuid) ? { heldForMs } : {}),
  });
}

const isHeld = ({ board }: DrainRecord, uuid: string): boolean =>
  board.some((line) => line.uuid === uuid && line.state === DrainState.next);

/** Read anew for each VM: it may have been started, stopped or removed since the list was made. */
async function lookAt(drain: DrainRecord, line: DrainLine): Promise<VmToPlace | undefined> {
  const { host } = drain.input;
  const what = `look at ${line.name}`;
  try {
    return await lookToPlace(host, line.uuid, what);
  } catch (error) {
    if (isCancellation(error)) throw error;
    const fault = faultOf(error, { host, what });
    if (fault.code === 'vm-not-found') drain.change((board) => boards.isGone(board, line.uuid));
    else blocked(drain, line, { why: fault.message, mayPass: true });
    return undefined;
  }
}

interface Asked {
  line: DrainLine;
  look: VmToPlace;
  asked: MoveRequest;
}

/** The host with the room that the VM was promised there, or undefined, with the reason on the board. */
async function placeOf(
  drain: DrainRecord,
  { line, look, asked }: Asked,
): Promise<PlaceAnswer | undefined> {
  const { cluster, host, request } = drain.input;
  const id = moveId(cluster, line.uuid);
  const exclude = [host, ...(line.excluded ?? [])];
  try {
    const vm = asksOf(look, asked, request.labels);
    // Not to be left half-way: it would not be known whether room was reserved.
    const answer = await CancellationScope.nonCancellable(() =>
      placed(vm, {
        cluster,
        wishes: { policy: request.placement },
        exclude,
        move: { moveId: id, workflowId: id, ...(isHeld(drain, line.uuid) ? { waits: true } : {}) },
      }),
    );
    if (answer.chosen === undefined) {
      // All else that hosts refuse a VM for is as it is; a move that ends makes a place.
      const mayPass = answer.refusals.some(({ filter }) => filter === 'move-limit');
      blocked(drain, line, { why: noHost(line, answer), mayPass });
    }
    return answer;
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { message: why, handling } =
      error instanceof MoveFailed
        ? error.fault
        : faultOf(error, { host, what: `place ${line.name}` });
    blocked(drain, line, { why, mayPass: handling === Handling.transient });
    return undefined;
  }
}

/** A room that no move will use. What fails here is found by the hosts: nobody holds it. */
async function giveBack({ input }: DrainRecord, id: string, to: string): Promise<void> {
  await CancellationScope.nonCancellable(() =>
    controlActivities(`give back the room on ${to}`)
      .releaseMove({ cluster: input.cluster, moveId: id, hosts: [to], unstarted: true })
      .catch((error: unknown) => log.warn('room was not given back', { id, error: String(error) })),
  );
}

const longestWhy = 600;

function noHost({ fault }: DrainLine, { note, hosts }: PlaceAnswer): string {
  const before = fault === undefined ? '' : `${fault.message}; `;
  const why =
    hosts === 0
      ? 'there is no other host'
      : `no ${fault === undefined ? '' : 'other '}host takes it: ${note.reasons.join('. ')}`;
  return `${before}${why}`.slice(0, longestWhy);
}

function blocked(
  drain: DrainRecord,
  { uuid, blocked: before }: DrainLine,
  cause: { why: string; mayPass: boolean },
): void {
  const now = new Date().toISOString();
  const since = before === undefined ? {} : { since: before.since };
  drain.change((board) => boards.blockedBy(board, uuid, { ...cause, now, ...since }));
}

function moveRequest(
  { input }: DrainRecord,
  { uuid }: VmFacts,
  way: Pick<Way, 'live'>,
): MoveRequest {
  const { autoCommit, bandwidthBytesPerSecond, operator, skip } = input.request;
  const live = way.live === undefined ? {} : { live: way.live };
  return {
    ...moveDefaults,
    ...{ vm: uuid, from: input.host, bandwidthBytesPerSecond, autoCommit, operator },
    ...live,
    ...(skip === undefined ? {} : { skip }),
  };
}

/** From its start to its end, which may be long after the drain's: until then nothing waits for it but this. */
async function moved(drain: DrainRecord, line: DrainLine, input: MigrateVmInput): Promise<void> {
  const { uuid } = line;
  const { request } = drain.input;
  // A cancel of the drain reaches moves by a word of its own, with the name of the person.
  await CancellationScope.nonCancellable(async () => {
    try {
      const child = await begun(input);
      if (input.heldForMs !== undefined) {
        if (isHeld(drain, uuid)) drain.held.set(uuid, child);
        else tellToGo(child);
      }
      const report = await child.result().finally(() => drain.held.delete(uuid));
      drain.change((board) => boards.ended(board, uuid, report));
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) {
        // The room that it was given here; that move may have taken its own by now.
        await giveBack(drain, error.workflowId, input.request.to);
        const why = `it is being moved already, by ${error.workflowId}; if that awaits its commit, commit it first`;
        drain.change((board) => boards.isLeft(board, uuid, why));
        return;
      }
      afterFailure(
        drain,
        { line: { ...line, to: input.request.to }, request },
        faultOfChild(error, input),
      );
    }
  });
}

function afterFailure(
  drain: DrainRecord,
  { line, request }: { line: DrainLine; request: DrainRequest },
  fault: Fault,
): void {
  drain.change((board) => {
    // It may have waited for its turn for a while.
    if (fault.code === 'vm-not-found' && fault.host === drain.input.host)
      return boards.isGone(board, line.uuid);
    if (fault.code === turnNotCome) return boards.inLineAgain(board, line.uuid);
    return boards.failedByTarget(line, fault)
      ? boards.elsewhere(board, line.uuid, fault)
      : boards.failed(board, line.uuid, { fault, request });
  });
}

const begun = (input: MigrateVmInput): Promise<ChildWorkflowHandle<typeof migrateVm>> =>
  startChild<typeof migrateVm>(workflowTypes.migrateVm, {
    workflowId: moveId(input.cluster, input.vm.uuid),
    args: [input],
    // A move outlives the drain that began it: it may await its commit for days.
    parentClosePolicy: ParentClosePolicy.ABANDON,
    cancellationType: ChildWorkflowCancellationType.ABANDON,
    ...labelsOfMove(input, 'drain'),
  });

/** How a move ended that did not end well. */
function faultOfChild(error: unknown, { vm, request }: MigrateVmInput): Fault {
  if (isCancellation(error))
    return {
      code: 'cancelled',
      handling: Handling.cancelled,
      message: `the move of ${vm.name} was cancelled`,
      remedy: 'Drain the host again.',
    };
  const cause = error instanceof ChildWorkflowFailure ? error.cause : error;
  return faultOf(cause, { host: request.from, what: `move ${vm.name}` });
}
