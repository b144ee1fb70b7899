/** Who gets a place on a host, and who gave it back: the same room is never promised twice. */
import { fleetOf } from '../placement/fleet.ts';
import { refusalsOf } from '../placement/filters/all.ts';
import type { Refusal } from '../placement/filters/all.ts';
import { questionOf } from '../placement/question.ts';
import { reservationOf } from '../placement/reserve.ts';
import type { PlacementHost } from '../placement/host.ts';
import type { PlacementVm } from '../placement/vm.ts';
import { limitsInForce } from './bandwidth.ts';
import { placementHost, withoutMovesIn } from './standing.ts';
import type { HostState, InSlot, OutSlot, SlotHolder } from './state.ts';

/** What a move asks of one host. */
export interface SlotWish {
  direction: 'in' | 'out';
  moveId: string;
  workflowId: string;
  runId?: string;
  vm: PlacementVm;
  /**
   * `placed`: the rules of placement chose this host, and all of them have to hold still. `named`: a person did, whose
   * word outranks them; only limits, and room that others were promised, stand in the way.
   */
  by: 'placed' | 'named';
  /** The room alone, of a VM that comes later: it asks again then, and the limit counts it from there. */
  waits?: true;
}

export interface SlotRelease {
  moveId: string;
  /** The VM is here: its room stays promised until the facts show it. */
  arrived: boolean;
  /** Only what placement promised and no run of the move has taken up. */
  unstarted?: true;
}

export type SlotAnswer =
  /** `limits` are those in force. */
  | { granted: true; settings: HostState['settings'] }
  /** `final`: no waiting helps. `holders` have the places now; those whose workflow is over may be released. */
  | { granted: false; final: boolean; refusals: Refusal[]; holders: SlotHolder[] };

/** A worker tells the facts within seconds after a move; where it does not, the room is free after this long, ms. */
const lingerMs = 180_000;
/** More holders are never named at once: the limits of a host are below it. */
const mostHolders = 64;

/** Whether the host gives the place. Pure: `withSlot` takes it. */
export function slotAnswer(host: string, state: HostState, wish: SlotWish): SlotAnswer {
  const settings = { ...state.settings, limits: limitsInForce(state) };
  if (holdsSlot(state, wish)) return { granted: true, settings };
  const refusals =
    wish.direction === 'out' ? outRefusals(host, state) : inRefusals(host, state, wish);
  if (refusals.length === 0) return { granted: true, settings };
  return {
    granted: false,
    final: refusals.some(({ filter }) => filter === 'enabled' || filter === 'not-draining'),
    refusals,
    holders: [...state.movesIn, ...state.movesOut].slice(0, mostHolders).map(holderOf),
  };
}

/** The state with the place taken; `slotAnswer` granted it. One that the move has already learns its newer run. */
export function withSlot(state: HostState, wish: SlotWish, now: string): HostState {
  const { moveId, workflowId, runId, vm, waits } = wish;
  const run = runId === undefined ? {} : { runId };
  const renewed = <S extends SlotHolder>(slots: readonly S[]): S[] =>
    slots.map((slot) => (slot.moveId === moveId ? { ...slot, workflowId, ...run } : slot));
  const holder = { moveId, workflowId, ...run, vm: vm.name, since: now };
  if (wish.direction === 'out') {
    const movesOut = holdsSlot(state, wish)
      ? renewed<OutSlot>(state.movesOut)
      : [...state.movesOut, holder];
    return { ...state, movesOut };
  }
  if (holdsSlot(state, wish)) return { ...state, movesIn: renewed<InSlot>(state.movesIn) };
  // What lingers of an earlier move of this VM is counted by the new one.
  const others = state.movesIn.filter((slot) => slot.moveId !== moveId);
  const room = { reservation: reservationOf(vm, moveId), ...(waits === true ? { waits } : {}) };
  return { ...state, movesIn: [...others, { ...holder, ...room }] };
}

/** The state without the places of a move. The same state if it has none. */
export function withoutSlot(
  state: HostState,
  { moveId, arrived, unstarted }: SlotRelease,
  now: string,
): HostState {
  const isOthers = (slot: SlotHolder): boolean =>
    slot.moveId !== moveId || (unstarted === true && slot.runId !== undefined);
  const concerned = [...state.movesIn, ...state.movesOut].filter((slot) => !isOthers(slot));
  if (concerned.length === 0) return state;
  const movesIn = arrived
    ? state.movesIn.map((slot) => (isOthers(slot) ? slot : { arrived: now, ...slot }))
    : state.movesIn.filter(isOthers);
  return { ...state, movesIn, movesOut: state.movesOut.filter(isOthers) };
}

/** The state without room that lingers, all of it or what does so for too long. */
export function withoutLingering(
  state: HostState,
  { nowMs, all = false }: { nowMs: number; all?: boolean },
): HostState {
  const stays = ({ arrived }: InSlot): boolean =>
    arrived === undefined || (!all && nowMs - Date.parse(arrived) < lingerMs);
  return state.movesIn.every(stays) ? state : { ...state, movesIn: state.movesIn.filter(stays) };
}

/** Whether the VM has not arrived, and room is promised to it. */
const hasRoom = ({ movesIn }: HostState, { moveId }: Pick<SlotWish, 'moveId'>): boolean =>
  movesIn.some((slot) => slot.moveId === moveId && slot.arrived === undefined);

/** Whether the move has the place already; one that only lingers is none, and room alone is all that `waits` asks for. */
export const holdsSlot = (
  { movesIn, movesOut }: HostState,
  { moveId, direction, waits }: Pick<SlotWish, 'moveId' | 'direction' | 'waits'>,
): boolean =>
  direction === 'out'
    ? movesOut.some((slot) => slot.moveId === moveId)
    : movesIn
        .filter((slot) => slot.moveId === moveId && slot.arrived === undefined)
        .some((slot) => waits === true || slot.waits === undefined);

function outRefusals(host: string, { settings, movesOut }: HostState): Refusal[] {
  const { limits } = settings;
  if (movesOut.length < limits.movesOut) return [];
  const reason = `${host} has as many moves away from it under way as it may have (${limits.movesOut})`;
  return [{ filter: 'move-limit', reason }];
}

function inRefusals(host: string, given: HostState, wish: SlotWish): Refusal[] {
  const { vm, by, moveId } = wish;
  const state = { ...given, movesIn: given.movesIn.filter((slot) => slot.moveId !== moveId) };
  const present = placementHost(host, state);
  const known = wish.waits === true ? withoutMovesIn(present) : present;
  const found = refusalsAt(known, vm);
  if (by === 'placed') {
    if (state.reading !== undefined) return found;
    return [...found, { filter: 'facts', reason: `${host} has told no facts yet` }];
  }
  // One that has its room already is under way: only the limit may keep it.
  if (hasRoom(given, wish)) return found.filter(({ filter }) => filter === 'move-limit');
  const standing = ['enabled', 'not-draining', 'move-limit'];
  // Lacking also where nothing was promised: that is for the move's own checks, which look freshly.
  const anyway = refusalsAt({ ...known, reservations: [] }, vm).map(({ filter }) => filter);
  const room = ['memory', 'vcpus', 'pool-room'].filter((filter) => !anyway.includes(filter));
  return found.filter(({ filter }) => [...standing, ...room].includes(filter));
}

/** Affinity needs the whole fleet: the choice has looked at it, one host alone cannot. */
const refusalsAt = (host: PlacementHost, vm: PlacementVm): Refusal[] => {
  const rules = vm.rules.filter(({ kind }) => kind === 'anti-affinity');
  return refusalsOf(0, questionOf(fleetOf([host]), { ...vm, rules }));
};

const holderOf = ({ moveId, workflowId, runId, vm, since }: SlotHolder): SlotHolder => ({
  moveId,
  workflowId,
  ...(runId === undefined ? {} : { runId }),
  vm,
  since,
});
