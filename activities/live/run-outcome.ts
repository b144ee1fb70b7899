import { LivePlace, targetNotKept } from '../../domain/live-outcome.ts';
import {
  needsOperator,
  outcomeUnknown,
  permanent,
  transient,
  VmFerryError,
} from '../../domain/errors.ts';
import type { Fault } from '../../domain/errors.ts';
import { ConvergenceAct } from '../../domain/convergence.ts';
import type { LiveSample } from '../../platforms/libvirt/live/sample.ts';
import type { MoveLiveResult } from '../contract.ts';
import type { LiveMemory } from '../move-folder.ts';
import type { LetGo } from './begin-run.ts';
import { placeByUs } from './paused-by-us.ts';

/** What is known of a run that is over, at the source. */
export interface RunOutcome {
  host: string;
  vm: string;
  place: LivePlace;
  memory: LiveMemory;
  last?: LiveSample;
  /** What libvirt said, if it said no. */
  refusal?: Error;
  /** libvirt said that all is well. */
  arrived: boolean;
  /** What the source did for a guest that arrived paused. */
  held?: LetGo;
}

export function resultOf(outcome: RunOutcome): MoveLiveResult {
  const { last, memory } = outcome;
  const fault = faultOf(outcome);
  const byAct = memory.steps.some(({ act }) => act === ConvergenceAct.postCopy);
  return {
    ...(fault === undefined ? {} : { fault }),
    steps: memory.steps,
    elapsedMs: last?.elapsedMs ?? 0,
    ...downtimeOf(outcome),
    ...(last === undefined
      ? {}
      : {
          iterations: last.iteration,
          memoryBytes: last.memoryProcessedBytes,
          diskBytes: last.diskProcessedBytes,
        }),
    postCopy: byAct || last?.inPostCopy === true,
    ...heldOf(outcome),
  };
}

/** By one clock from the stop here to the start there, where both were seen; else libvirt's figure and what was added. */
function downtimeOf({ last, held }: RunOutcome): Pick<MoveLiveResult, 'downtimeMs'> {
  if (last?.downtimeMs === undefined) return {};
  const { pausedAtMs, downtimeMs } = last;
  if (pausedAtMs !== undefined && held?.atMs !== undefined)
    return { downtimeMs: Math.round(held.atMs - pausedAtMs) };
  return { downtimeMs: downtimeMs + (held?.forMs ?? 0) };
}

/** Only where the source let go: else nothing may go on at the target. */
function heldOf(outcome: RunOutcome): Pick<MoveLiveResult, 'held'> {
  const { place, memory } = outcome;
  const { atMs: _, ...held } = outcome.held ?? {};
  if (memory.arrivesPaused !== true || place !== LivePlace.movedAway) return {};
  return { held: { ...held, ...(memory.guestPaused === true ? { keepPaused: true } : {}) } };
}

/** Whether libvirt may be asked again as if nothing had been said: then the attempt fails, and the next one looks. */
export const isTrouble = (error: unknown): boolean =>
  !(error instanceof VmFerryError) ||
  ['libvirt-unreachable', 'libvirt-outcome-unknown', 'libvirt-access-denied'].includes(error.code);

/** Why the VM did not arrive, as far as the source can tell; undefined if libvirt did not call it off. */
function faultOf(outcome: RunOutcome): Fault | undefined {
  const { host, vm, memory, refusal } = outcome;
  const place = placeByUs(outcome.place, memory);
  const said = refusal instanceof VmFerryError ? refusal : undefined;
  if (place === LivePlace.movedAway || outcome.arrived)
    return said?.code === targetNotKept ? said.toFault() : undefined;
  const words = said === undefined ? 'why was not seen' : said.message;
  const lastAct = memory.steps.at(-1);
  if (place === LivePlace.postCopyFailed) {
    return needsOperator({
      code: 'live-post-copy-failed',
      message: `the post-copy of ${vm} away from ${host} was interrupted: each host holds a part of it (${words})`,
      remedy:
        'Keep both hosts running and mend the link between them. If the guest is lost, end it on both hosts, then start it again from its disks.',
      host,
    }).toFault();
  }
  if (place === LivePlace.switching || place === LivePlace.postCopy) {
    return outcomeUnknown({
      code: 'live-outcome-unknown',
      message: `the live migration of ${vm} away from ${host} ended at the switch (${words})`,
      remedy: 'The state of both hosts is read before anything else is done; nothing to do.',
      host,
    }).toFault();
  }
  if (lastAct?.act === ConvergenceAct.giveUp && memory.convergence?.stalled === true) {
    return transient({
      code: 'live-stalled',
      message: `the live migration of ${vm} away from ${host} was undone: ${lastAct.why}`,
      remedy:
        'The VM goes on at the source; it is tried again. If it stays so, look at the link between the hosts, or allow more patience (--patience).',
      host,
    }).toFault();
  }
  if (lastAct?.act === ConvergenceAct.giveUp) {
    return permanent({
      code: 'live-not-converging',
      message: `the live migration of ${vm} away from ${host} was given up: ${lastAct.why}`,
      remedy:
        'Allow more (--quickly-finish, --auto-converge, --post-copy, --pause), more bandwidth, or move it while it is quiet; it goes on at the source.',
      host,
    }).toFault();
  }
  if (place === LivePlace.off || place === LivePlace.gone) {
    return transient({
      code: 'live-guest-went-off',
      message: `${vm} went off on ${host} while it moved (${words})`,
      remedy: 'It is read anew how it is to be moved; nothing to do.',
      host,
    }).toFault();
  }
  return (
    said?.toFault() ??
    transient({
      code: 'live-interrupted',
      message: `the live migration of ${vm} away from ${host} ended; ${words}`,
      remedy: 'The VM goes on at the source; it is tried again.',
      host,
    }).toFault()
  );
}
