import type { Fault } from '../errors.ts';
import { Handling } from '../errors.ts';
import type { LiveWishes } from '../live.ts';
import type { MoveReport } from '../move.ts';
import { VmState } from '../vm.ts';
import type { VmSummary } from '../vm.ts';
import type { DrainLine, DrainRequest } from './drain.ts';

/** How a VM leaves a host that is emptied, if it does. `live`: what its move is asked for; absent for a cold one. */
export interface Way {
  /** Why it stays. */
  leave?: string;
  live?: LiveWishes;
}

/** By the policy and the VM's state of this moment; whether a live move is possible is for the move's own checks. */
export function wayOf(state: VmState, request: DrainRequest): Way {
  if (state === VmState.shutOff) {
    return request.off === 'leave' ? { leave: 'it is off, and only VMs that run are moved' } : {};
  }
  if (request.running === 'cold') return {};
  const fallback = request.rest === 'cold' ? 'cold' : 'none';
  return { live: { ...request.live, fallback } };
}

/** A line of the report with what is known of its VM's end; it is where `vmOn` says. */
export function lineOfEnd(
  line: DrainLine,
  report: Pick<MoveReport, 'phase' | 'vmOn' | 'mode'>,
): DrainLine {
  const { phase, vmOn, mode } = report;
  const rest = settled(line);
  if (vmOn === line.to) return { ...rest, state: 'moved', mode };
  return { ...rest, state: 'left', mode, why: `its move was ${phase.replace('-', ' ')}` };
}

/** A line of the report after its move failed, by what the policy says of VMs that cannot move. */
export function lineOfFault(line: DrainLine, fault: Fault, request: DrainRequest): DrainLine {
  const rest = settled(line);
  if (fault.handling === Handling.cancelled)
    return { ...rest, state: 'left', why: 'its move was cancelled' };
  // What no retry mends is no accident: the VM cannot move as it was asked to.
  const leaves = request.rest === 'leave' && fault.handling === Handling.permanent;
  return { ...rest, state: leaves ? 'left' : 'failed', why: fault.message, fault };
}

/** Without what was said of it while it was under way. */
export function settled(line: DrainLine): DrainLine {
  const { awaitsCommit: _1, why: _2, fault: _3, blocked: _4, arrived: _5, ...rest } = line;
  return rest;
}

/** What the ledger of the host says of a VM, for the drain: to be moved, or not (any more, or yet). */
export type Standing =
  | { kind: 'to-move' }
  | { kind: 'moved' }
  | { kind: 'not-yet'; why: string }
  | { kind: 'left'; why: string };

/** By the guard: a VM that it never saw belongs to the host it is on. */
export function standingOf({ ownership }: Pick<VmSummary, 'ownership'>, host: string): Standing {
  switch (ownership) {
    case undefined:
    case '':
    case 'owner':
      return { kind: 'to-move' };
    case 'released':
      return { kind: 'moved' };
    case 'incoming':
      return { kind: 'not-yet', why: `a move brings it to ${host}` };
    case 'migrating-out':
      return { kind: 'not-yet', why: 'another move takes it away' };
    default:
      return { kind: 'left', why: `the guard of ${host} says that it is ${ownership}` };
  }
}
