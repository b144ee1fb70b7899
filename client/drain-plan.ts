import type { DrainRequest } from '../domain/drain/drain.ts';
import { standingOf, wayOf } from '../domain/drain/way.ts';
import type { MovePlan } from '../domain/move.ts';
import type { VmSummary } from '../domain/vm.ts';
import type { PlaceAnswer } from '../workflows/contract.ts';
import type { DrainPlan, DrainPlanLine } from './drain.ts';
import type { PlaceRequest } from './place.ts';
import type { MigrateRequest } from './request.ts';

/** VMs that are asked about at a time: each costs both its hosts their checks. */
const asksAtATime = 4;

/** What the plan needs of the client. */
export interface PlanAsker {
  place(asked: PlaceRequest): Promise<{ answer: PlaceAnswer }>;
  plan(asked: MigrateRequest): Promise<MovePlan>;
}

/** What a drain would do with each of these VMs now, by the same checks that its moves begin with. Touches nothing. */
export async function planDrain(
  asker: PlanAsker,
  { host, vms, request }: { host: string; vms: readonly VmSummary[]; request: DrainRequest },
): Promise<DrainPlan> {
  const lines: DrainPlanLine[] = [];
  for (let at = 0; at < vms.length; at += asksAtATime) {
    const some = vms.slice(at, at + asksAtATime);
    lines.push(...(await Promise.all(some.map((vm) => planned(asker, { host, vm, request })))));
  }
  return { host, vms: lines };
}

async function planned(
  asker: PlanAsker,
  { host, vm, request }: { host: string; vm: VmSummary; request: DrainRequest },
): Promise<DrainPlanLine> {
  const { uuid, name, state } = vm;
  const own = { uuid, name, state };
  const standing = standingOf(vm, host);
  if (standing.kind === 'moved') return { ...own, way: 'stays', why: 'it has left already' };
  if (standing.kind !== 'to-move') return { ...own, way: 'stays', why: standing.why };
  const { leave, live } = wayOf(state, request);
  if (leave !== undefined) return { ...own, way: 'stays', why: leave };
  const { answer } = await asker.place({
    vm: uuid,
    from: host,
    policy: request.placement,
    labels: request.labels,
  });
  const to = answer.chosen;
  if (to === undefined)
    return { ...own, way: 'fails', why: `no host takes it: ${answer.note.reasons.join('. ')}` };
  const asked = { vm: uuid, from: host, to, operator: request.operator };
  const plan = await asker.plan(live === undefined ? asked : { ...asked, live });
  const critical = plan.concerns.filter(({ level }) => level === 'critical');
  if (critical.length === 0) return { ...own, way: live === undefined ? 'cold' : 'live', to };
  const why = critical.map(({ message }) => message).join('; ');
  const instead = live !== undefined && request.rest === 'cold' ? 'cold' : undefined;
  return { ...own, way: instead ?? (request.rest === 'leave' ? 'stays' : 'fails'), to, why };
}
