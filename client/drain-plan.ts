import type { Concern } from '../domain/concerns.ts';
import { mostTargets } from '../domain/drain/drain.ts';
import type { DrainRequest } from '../domain/drain/drain.ts';
import { standingOf, wayOf } from '../domain/drain/way.ts';
import type { LiveWishes } from '../domain/live.ts';
import type { MovePlan } from '../domain/move.ts';
import type { Reservation } from '../domain/placement/host.ts';
import type { VmSummary } from '../domain/vm.ts';
import type { PlannedPlace } from '../workflows/contract.ts';
import type { DrainPlan, DrainPlanLine } from './drain.ts';
import type { PlaceRequest } from './place.ts';
import type { MigrateRequest } from './request.ts';

/** VMs whose checks are asked for at a time: each costs both its hosts theirs. */
const asksAtATime = 4;

/** What the plan needs of the client. */
export interface PlanAsker {
  place(asked: PlaceRequest): Promise<Pick<PlannedPlace, 'answer' | 'takes'>>;
  plan(asked: MigrateRequest): Promise<MovePlan>;
}

export interface PlannedDrain {
  host: string;
  vms: readonly VmSummary[];
  request: DrainRequest;
}

/** A VM that is to leave; what is found of it is written here. */
interface Leaver {
  vm: VmSummary;
  live?: LiveWishes;
  excluded: string[];
  /** Where it goes to, and what it takes there. */
  place?: { host: string; reservation: Reservation };
  /** Why the last target was none for it. */
  refused?: string;
}

type Ending = Pick<DrainPlanLine, 'way' | 'to' | 'why'>;

/**
 * What a drain would do with each of these VMs now, by the same checks that its moves begin with. Touches nothing. They
 * are placed one after the other, as the drain does it: what one takes of a host is missing to the next.
 */
export async function planDrain(asker: PlanAsker, drain: PlannedDrain): Promise<DrainPlan> {
  const endings = new Map<string, Ending>();
  let waiting: Leaver[] = [];
  for (const vm of drain.vms) {
    const way = leavesBy(vm, drain);
    if ('way' in way) endings.set(vm.uuid, way);
    else waiting.push({ vm, ...way, excluded: [] });
  }
  const leavers = waiting;
  // One whose target turns out to be none for it is tried on another, as often as a drain does.
  while (waiting.length > 0) {
    for (const leaver of waiting) {
      const why = await placed(asker, { drain, leaver, leavers });
      if (why !== undefined) endings.set(leaver.vm.uuid, { way: 'fails', why });
    }
    const hasPlace = ({ place }: Leaver): boolean => place !== undefined;
    const judged = waiting.filter(hasPlace);
    await inTurns(judged, async (leaver) => {
      const ending = await judge(asker, drain, leaver);
      if (ending === undefined) endings.delete(leaver.vm.uuid);
      else endings.set(leaver.vm.uuid, ending);
    });
    // Room that was given back may be what others lack.
    const isLessTaken = !judged.every(hasPlace);
    const without = waiting.filter((leaver) => isLessTaken && !judged.includes(leaver));
    waiting = [...judged.filter(({ vm }) => !endings.has(vm.uuid)), ...without];
  }
  return { host: drain.host, vms: drain.vms.map((vm) => lineOf(vm, endings)) };
}

function lineOf({ uuid, name, state }: VmSummary, endings: Map<string, Ending>): DrainPlanLine {
  const ending = endings.get(uuid);
  if (ending === undefined) throw new Error(`the plan forgot ${name}`);
  return { uuid, name, state, ...ending };
}

/** By its state and the word of the guard: how it leaves, or why it does not. */
function leavesBy(vm: VmSummary, { host, request }: PlannedDrain): Ending | Pick<Leaver, 'live'> {
  const standing = standingOf(vm, host);
  if (standing.kind === 'moved') return { way: 'stays', why: 'it has left already' };
  if (standing.kind !== 'to-move') return { way: 'stays', why: standing.why };
  const { leave, live } = wayOf(vm.state, request);
  if (leave !== undefined) return { way: 'stays', why: leave };
  return live === undefined ? {} : { live };
}

/** Gives it a host beside all that have one already, or gives why none takes it. */
async function placed(
  asker: PlanAsker,
  { drain, leaver, leavers }: { drain: PlannedDrain; leaver: Leaver; leavers: readonly Leaver[] },
): Promise<string | undefined> {
  const { host, request } = drain;
  delete leaver.place;
  const promised = leavers.flatMap(({ place }) => (place === undefined ? [] : [place]));
  const { answer, takes } = await asker.place({
    vm: leaver.vm.uuid,
    from: host,
    policy: request.placement,
    labels: request.labels,
    exclude: [...leaver.excluded],
    supposed: { draining: host, promised },
  });
  const { chosen, note } = answer;
  if (chosen === undefined || takes === undefined) {
    const { refused } = leaver;
    const other = refused === undefined ? '' : 'other ';
    const before = refused === undefined ? '' : `${refused}; `;
    return `${before}no ${other}host takes it: ${note.reasons.join('. ')}`;
  }
  leaver.place = { host: chosen, reservation: takes };
  return undefined;
}

/** What the checks of its move make of it; undefined where another target is to be tried. */
async function judge(
  asker: PlanAsker,
  { host, request }: PlannedDrain,
  leaver: Leaver,
): Promise<Ending | undefined> {
  const { vm, live, place: { host: to } = { host: '' } } = leaver;
  const { operator, skip } = request;
  const skipped = skip === undefined ? {} : { skip };
  const asked = { vm: vm.uuid, from: host, to, operator, ...skipped };
  const { concerns } = await asker.plan(live === undefined ? asked : { ...asked, live });
  const critical = concerns.filter(({ level }) => level === 'critical');
  if (critical.length === 0) return { way: live === undefined ? 'cold' : 'live', to };
  const why = critical.map(({ message }) => message).join('; ');
  if (live !== undefined && request.rest === 'cold') return { way: 'cold', to, why };
  delete leaver.place;
  if (isOfTarget(critical, to) && leaver.excluded.length < mostTargets - 1) {
    leaver.excluded.push(to);
    leaver.refused = why;
    return undefined;
  }
  return { way: request.rest === 'leave' ? 'stays' : 'fails', to, why };
}

/** By the first of them, which would be the fault of the move. */
const isOfTarget = ([first]: readonly Concern[], to: string): boolean => first?.host === to;

/** In their order, so many at a time. */
async function inTurns<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < all.length; at += asksAtATime)
    await Promise.all(all.slice(at, at + asksAtATime).map(act));
}
