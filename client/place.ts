/** What a person asks when no target is named. */
import { permanent } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import type { MoveRequest } from '../domain/move.ts';
import type { PlacementWishes } from '../domain/placement/choose.ts';
import type { Supposed } from '../domain/placement/host.ts';
import type { PlaceAnswer, PlaceVmInput } from '../workflows/contract.ts';

export interface PlaceRequest extends PlacementWishes, Partial<PlaceVmInput['request']> {
  /** Name or UUID. */
  vm: string;
  from: string;
  /** Labels that the host has to have, beside those that the VM requires itself. */
  labels?: Readonly<Record<string, string>>;
  exclude?: readonly string[];
  /** For a plan: what holds beside what the hosts know. */
  supposed?: Supposed;
}

/** The question as the workflow takes it. */
export function placeInput(
  asked: PlaceRequest,
  { cluster, reserve }: { cluster: string; reserve: boolean },
): PlaceVmInput {
  const { vm, from, labels, exclude, supposed, policy, preferHost, ...request } = asked;
  return {
    cluster,
    host: from,
    vm,
    request: { ...request, targetPool: request.targetPool ?? '' },
    wishes: {
      ...(policy === undefined ? {} : { policy }),
      ...(preferHost === undefined || preferHost === '' ? {} : { preferHost }),
    },
    ...(labels === undefined ? {} : { labels }),
    ...(exclude === undefined ? {} : { exclude }),
    ...(supposed === undefined ? {} : { supposed }),
    reserve,
  };
}

/** What of a move's request bears on where it may go. */
export const askOf = ({
  vm,
  from,
  targetPool,
  disks,
  allocation,
  storage,
  sharedDisks,
  autoStart,
}: MoveRequest): PlaceRequest => ({
  ...{ vm, from, targetPool, autoStart },
  ...(disks === undefined ? {} : { disks }),
  ...(allocation === undefined ? {} : { allocation }),
  ...(storage === undefined ? {} : { storage }),
  ...(sharedDisks === undefined ? {} : { sharedDisks }),
});

const reasonsShown = 3;

/** That nobody takes it, with the first reasons. */
export function noHost(vm: string, { hosts, note }: PlaceAnswer): VmFerryError {
  const reasons = note.reasons.slice(0, reasonsShown);
  const why = reasons.length === 0 ? '' : `: ${reasons.join('. ')}`;
  return permanent({
    code: 'no-host',
    message: `none of ${hosts} hosts takes ${vm}${why}`,
    remedy: `See all reasons with \`vmferry place ${vm} --explain\`, or name a host with --to.`,
  });
}
