/**
 * The VMs of a host that is emptied, as plain data, and what happens to them as functions: the workflow remembers a board
 * over all its runs and asks it what to do next.
 */
import { Handling } from '../errors.ts';
import type { Fault } from '../errors.ts';
import type { MoveReport } from '../move.ts';
import type { VmSummary } from '../vm.ts';
import type { DrainLine, DrainRequest } from './drain.ts';
import { DrainState, mostTargets } from './drain.ts';
import { lineOfEnd, lineOfFault, settled, standingOf } from './way.ts';

export type Board = readonly DrainLine[];

/** How long a VM waits for room, or for a move of somebody else, once nothing else is under way. */
export const blockedPatienceMs = 10 * 60_000;

const byName = (a: DrainLine, b: DrainLine): number =>
  a.name < b.name ? -1 : Number(a.name > b.name) || (a.uuid < b.uuid ? -1 : 1);

const change = (board: Board, uuid: string, to: (line: DrainLine) => DrainLine): Board =>
  board.map((line) => (line.uuid === uuid ? to(line) : line));

/** The board after the host told of its VMs: new ones come to it, and what nobody has begun with may be gone. */
export function seen(
  board: Board,
  vms: readonly Pick<VmSummary, 'uuid' | 'name' | 'ownership'>[],
  { host, now }: { host: string; now: string },
): Board {
  const there = new Map(vms.map((vm) => [vm.uuid, vm]));
  const kept = board.map((line): DrainLine => {
    const vm = there.get(line.uuid);
    there.delete(line.uuid);
    if (vm === undefined)
      return line.state === DrainState.waiting ? { ...settled(line), state: 'gone' } : line;
    if (line.state === DrainState.gone) return standing(vm, { host, now });
    return line.state === DrainState.waiting ? standing(vm, { host, now, line }) : line;
  });
  const added = [...there.values()].map((vm) => standing(vm, { host, now }));
  return [...kept, ...added].sort(byName);
}

function standing(
  vm: Pick<VmSummary, 'uuid' | 'name' | 'ownership'>,
  { host, now, line }: { host: string; now: string; line?: DrainLine },
): DrainLine {
  const { uuid, name } = vm;
  const found = standingOf(vm, host);
  switch (found.kind) {
    case 'to-move':
      return line === undefined || line.blocked?.by === 'guard'
        ? { uuid, name, state: 'waiting' }
        : line;
    case 'moved':
      return { uuid, name, state: 'moved', awaitsCommit: true, why: 'moved before this drain' };
    case 'not-yet': {
      const since = line?.blocked?.since ?? now;
      const { why } = found;
      return { uuid, name, state: 'waiting', why, blocked: { by: 'guard', since, mayPass: true } };
    }
    case 'left':
      return { uuid, name, state: 'left', why: found.why };
  }
}

/**
 * The VMs that moves may begin for now: those that wait for nothing first, and of those that wait for room one, to see
 * whether it still does; none of them where `turn` is absent.
 */
export function nextUp(board: Board, parallel: number, turn?: number): DrainLine[] {
  const free = parallel - board.filter(takesPart).length;
  const waiting = board.filter(({ state }) => state === DrainState.waiting);
  const blocked = waiting.filter((line) => line.blocked?.by === 'room');
  const tried =
    turn === undefined || blocked.length === 0
      ? []
      : blocked.slice(turn % blocked.length, (turn % blocked.length) + 1);
  return [...waiting.filter((line) => line.blocked === undefined), ...tried].slice(
    0,
    Math.max(0, free),
  );
}

/** Those whose turn it is: they were begun ahead, and there is a place for them now. */
export function mayGo(board: Board, parallel: number): DrainLine[] {
  const free = parallel - board.filter(takesPart).length;
  return board.filter(({ state }) => state === DrainState.next).slice(0, Math.max(0, free));
}

/**
 * Those to be begun ahead, so that they go as soon as others are there: as many again as go at a time, once all of those
 * have their moves. Not those that wait for anything. Ask after `nextUp`.
 */
export function toPrepare(board: Board, parallel: number): DrainLine[] {
  const isJustBegun = ({ state, moveId }: DrainLine): boolean =>
    state === DrainState.moving && moveId === undefined;
  if (board.some(isJustBegun)) return [];
  const ready = board.filter(({ state }) => state === DrainState.next).length;
  return board
    .filter(({ state, blocked }) => state === DrainState.waiting && blocked === undefined)
    .slice(0, Math.max(0, parallel - ready));
}

/** Whether a move takes something of both hosts now. */
const takesPart = ({ state, arrived }: DrainLine): boolean =>
  state === DrainState.moving && arrived !== true;

/** `ahead`: it is to wait for its turn. */
export const began = (board: Board, uuid: string, { ahead }: { ahead: boolean }): Board =>
  change(board, uuid, (line) => ({
    ...settled(line),
    ...lastFault(line),
    state: ahead ? 'next' : 'moving',
  }));

/** Its turn has come. */
export const goes = (board: Board, uuid: string): Board =>
  change(board, uuid, (line) => ({ ...line, state: 'moving' }));

/** Why the last target was none: it stands for good if no other takes the VM. */
const lastFault = ({ fault }: DrainLine): Pick<DrainLine, 'fault'> =>
  fault === undefined ? {} : { fault };

/** Where its move goes to, once that is known. */
export const goesTo = (board: Board, uuid: string, to: { to: string; moveId: string }): Board =>
  change(board, uuid, (line) => ({ ...line, ...to }));

/** Nothing was begun with it: it waits for room, or for something else that may pass. */
export const blockedBy = (
  board: Board,
  uuid: string,
  cause: { why: string; mayPass: boolean; now: string; since?: string },
): Board =>
  change(board, uuid, (line) => {
    const { why, mayPass, now, since = now } = cause;
    const { to: _1, moveId: _2, ...rest } = settled(line);
    const blocked = { by: 'room', since, mayPass } as const;
    return { ...rest, ...lastFault(line), state: 'waiting', why, blocked };
  });

export const isGone = (board: Board, uuid: string): Board =>
  change(board, uuid, (line) => ({ ...settled(line), state: 'gone' }));

export const isLeft = (board: Board, uuid: string, why: string): Board =>
  change(board, uuid, (line) => ({ ...settled(line), state: 'left', why }));

/** Its move is over. */
export const ended = (
  board: Board,
  uuid: string,
  report: Pick<MoveReport, 'phase' | 'vmOn' | 'mode'>,
): Board => change(board, uuid, (line) => lineOfEnd(line, report));

/** Its move failed, or could not be begun. */
export const failed = (
  board: Board,
  uuid: string,
  { fault, request }: { fault: Fault; request: DrainRequest },
): Board => change(board, uuid, (line) => lineOfFault(line, fault, request));

/**
 * A move told of itself. One whose guest is there makes room for the next. One that awaits its commit has done what the
 * drain needs of it; one that is parked is a person's, also once it goes on: nothing waits for it any more.
 */
export const told = (
  board: Board,
  {
    id,
    phase,
    mode,
    fault,
    arrived,
  }: Pick<MoveReport, 'id' | 'phase' | 'mode' | 'fault'> & { arrived?: true },
): Board =>
  board.map((line): DrainLine => {
    if (line.moveId !== id) return line;
    if (arrived === true) return isUnderWay(line) ? { ...line, state: 'moving', arrived } : line;
    if (phase === 'awaiting-commit')
      return { ...settled(line), state: 'moved', mode, awaitsCommit: true };
    if (phase !== 'parked') return line;
    const why = fault?.message ?? 'its move waits for a person';
    return {
      ...settled(line),
      state: 'parked',
      mode,
      why,
      ...(fault === undefined ? {} : { fault }),
    };
  });

/** Its move failed because of its target: it is to be tried on another host. */
export const elsewhere = (board: Board, uuid: string, fault: Fault): Board =>
  change(board, uuid, (line) => {
    const { to, moveId: _, ...rest } = settled(line);
    const excluded = [...(line.excluded ?? []), ...(to === undefined ? [] : [to])];
    return { ...rest, state: 'waiting', why: fault.message, fault, excluded };
  });

/** Its turn did not come in time: it is looked into anew. */
export const inLineAgain = (board: Board, uuid: string): Board =>
  change(board, uuid, (line) => {
    const { to: _1, moveId: _2, ...rest } = settled(line);
    return { ...rest, state: 'waiting' };
  });

const leavesNothing: readonly Handling[] = [Handling.transient, Handling.permanent];

/** Whether a move failed by what its target is or has, so that another target may do. */
export const failedByTarget = ({ to, excluded = [] }: DrainLine, fault: Fault): boolean =>
  leavesNothing.includes(fault.handling) && fault.host === to && excluded.length < mostTargets - 1;

/** What failed or was left is tried once more. */
export const again = (board: Board): Board =>
  board.map((line): DrainLine =>
    line.state === 'failed' || line.state === 'left'
      ? { uuid: line.uuid, name: line.name, state: 'waiting' }
      : line,
  );

/** Whether it has a move that is not over, or is being given one. */
export const isUnderWay = ({ state }: Pick<DrainLine, 'state'>): boolean =>
  state === DrainState.moving || state === DrainState.next;

export const isMoving = (board: Board): boolean => board.some(isUnderWay);

export const isWaiting = (board: Board): boolean =>
  board.some(({ state }) => state === DrainState.waiting);

/** How many VMs nothing more happens to by itself; grows as room is made. */
export const overCount = (board: Board): number =>
  board.filter((line) => !isUnderWay(line) && line.state !== DrainState.waiting).length;

/** Once nothing is under way that could make room: those that no time will help, and those that waited long enough, fail. */
export function givenUp(board: Board, nowMs: number, request: DrainRequest): Board {
  if (isMoving(board)) return board;
  return board.map((line): DrainLine => {
    const { blocked } = line;
    if (line.state !== DrainState.waiting || blocked === undefined) return line;
    const waitedMs = nowMs - Date.parse(blocked.since);
    if (blocked.mayPass && waitedMs < blockedPatienceMs) return line;
    const over: DrainLine =
      line.fault === undefined
        ? { ...settled(line), state: 'failed' }
        : lineOfFault(line, line.fault, request);
    return { ...over, why: line.why ?? over.why ?? '' };
  });
}
