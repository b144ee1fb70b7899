import { proxyActivities } from '@temporalio/workflow';
import type { PlaceAnswer, PlaceInput } from '../activities/control/contract.ts';
import type { UpkeepActivities, VmToPlace } from '../activities/upkeep.ts';
import type { MoveRequest } from '../domain/move.ts';
import { placementVmOf } from '../domain/placement/from-facts.ts';
import { reservationOf } from '../domain/placement/reserve.ts';
import type { PlacementVm } from '../domain/placement/vm.ts';
import type { VmFacts } from '../domain/vm.ts';
import { hostQueue, moveId } from './contract.ts';
import type { PlaceVmInput, PlannedPlace } from './contract.ts';
import { failureOf, faultOf, MoveFailed } from './faults.ts';
import { controlActivities } from './on-control.ts';
import { limits } from './on-host.ts';

/** Which host takes a VM, and why. With `reserve` its room there is promised to the move that has to follow. */
export async function place(input: PlaceVmInput): Promise<PlannedPlace> {
  const { cluster, host, request, labels = {}, wishes, exclude = [], supposed, reserve } = input;
  let what = `look up ${input.vm}`;
  try {
    const look = await lookToPlace(host, input.vm, what);
    const { facts } = look;
    what = `choose a host for ${facts.name}`;
    const vm = asksOf(look, request, labels);
    const id = moveId(cluster, facts.uuid);
    const answer = await placed(vm, {
      cluster,
      wishes,
      exclude: [host, ...exclude],
      ...(supposed === undefined ? {} : { supposed }),
      ...(reserve ? { move: { moveId: id, workflowId: id } } : {}),
    });
    const { name, uuid, state } = facts;
    const takes = supposed === undefined ? {} : { takes: reservationOf(vm, id) };
    return { vm: { name, uuid, host, state }, answer, ...takes };
  } catch (error) {
    throw failureOf(error instanceof MoveFailed ? error.fault : faultOf(error, { host, what }));
  }
}

/** Asks the hosts' entities, all of them. */
export const placed = (vm: PlacementVm, input: Omit<PlaceInput, 'vm'>): Promise<PlaceAnswer> =>
  controlActivities(`choose a host for ${vm.name}`, { attempt: '30s' }).place({ ...input, vm });

/** A VM of a host, read now. */
export const lookToPlace = (host: string, vm: string, what: string): Promise<VmToPlace> =>
  proxyActivities<UpkeepActivities>({
    taskQueue: hostQueue(host),
    startToCloseTimeout: limits.check.attemptMs,
    scheduleToStartTimeout: limits.check.pickUpMs,
    retry: { maximumAttempts: 1 },
    summary: `${host}: ${what}`,
  }).lookToPlace({ vm });

/**
 * What a VM asks of a host: by its facts, by what its definition says of its placement, and by more labels. Throws
 * `MoveFailed` where nobody understands what it says.
 */
export function asksOf(
  { facts, wishes }: VmToPlace,
  request: PlaceVmInput['request'],
  labels: Readonly<Record<string, string>>,
): PlacementVm {
  if ('fault' in wishes) throw new MoveFailed(wishes.fault);
  const { rules, requiredLabels } = wishes;
  const shared = sharedIn(facts, request);
  return placementVmOf(facts, {
    request,
    shared,
    rules,
    requiredLabels: { ...requiredLabels, ...labels },
    isOff: facts.state !== 'running' && request.autoStart !== true,
  });
}

/** Disks that both hosts see, as far as is known before any host has proved it; all others count as copied. */
const sharedIn = (
  { disks }: VmFacts,
  { storage, sharedDisks = [] }: Pick<MoveRequest, 'storage' | 'sharedDisks'>,
): string[] =>
  disks
    .filter(({ name, kind }) => {
      if (storage === 'copy') return false;
      return storage === 'shared' || kind === 'network' || sharedDisks.includes(name);
    })
    .map(({ name }) => name);
