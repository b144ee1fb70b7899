import { sleep } from '@temporalio/workflow';
import type { EpochRef, SettleArrivalInput, SettleLiveInput } from '../activities/contract.ts';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import { liveOutcome, LiveOutcome } from '../domain/live-outcome.ts';
import type { LiveHostView } from '../domain/live-outcome.ts';
import type { Move } from './move.ts';
import { limits } from './on-host.ts';

const lookEveryMs = 1_000;
/** Halfway without a job is a moment of a healthy run, and of a libvirtd that comes up; longer than this it is neither. */
const halfwayMs = 10_000;
/** After this a person is asked. */
const patienceMs = 5 * 60_000;

/** `down`: nowhere; its guest or its QEMU came to an end at the source. */
export type Whereabouts = 'source' | 'target' | 'down';

/**
 * Where the VM is, once that is certain. What a broken migration left halfway is brought to its end: never by a guess,
 * only where one host says that it runs and the other that it does not.
 */
export async function whereItIs(move: Move, ref: EpochRef): Promise<Whereabouts> {
  let beganMs = Date.now();
  let halfwaySinceMs: number | undefined;
  for (;;) {
    const views = await look(move);
    const outcome = liveOutcome(views);
    const now = Date.now();
    const isHalf = outcome === LiveOutcome.arrivedInHalf || outcome === LiveOutcome.stuck;
    halfwaySinceMs = isHalf ? (halfwaySinceMs ?? now) : undefined;
    if (outcome === LiveOutcome.arrived) return 'target';
    if (outcome === LiveOutcome.arrivedHeld) {
      await letGoOn(move, ref, views.source);
      continue;
    }
    if (outcome === LiveOutcome.heldInVain) {
      await letNothingIn(move, ref);
      await settleArrival(move, ref, 'off');
      continue;
    }
    if (outcome === LiveOutcome.stayed) return 'source';
    if (outcome === LiveOutcome.down && now - beganMs >= lookEveryMs) return 'down';
    if (halfwaySinceMs !== undefined && now - halfwaySinceMs >= halfwayMs) {
      if (outcome === LiveOutcome.arrivedInHalf) await finish(move, ref, 'off');
      else await goOnAtSource(move, ref);
      halfwaySinceMs = undefined;
      continue;
    }
    const isHopeless = outcome === LiveOutcome.split || outcome === LiveOutcome.postCopyFailed;
    if (isHopeless || now - beganMs >= patienceMs) {
      await move.hosts.parked(
        `find out where ${move.input.vm.name} is`,
        unclear(move, outcome, views),
      );
      beganMs = Date.now();
    } else await sleep(lookEveryMs);
  }
}

/** The target first, then the source: a run that ends in between is seen as what it came to. */
async function look({
  hosts,
  ref,
  input,
}: Move): Promise<{ source: LiveHostView; target: LiveHostView }> {
  const view = (host: string): Promise<LiveHostView> =>
    hosts.do({
      host,
      what: `see where ${input.vm.name} is`,
      limit: limits.act,
      neverUndo: true,
      call: (at) => at.liveView(ref),
    });
  const target = await view(input.request.to);
  return { target, source: await view(input.request.from) };
}

/** The target admits no run any more. Gives what it sees of the VM after that. */
export const letNothingIn = ({ hosts, input }: Move, ref: EpochRef): Promise<LiveHostView> =>
  hosts.do({
    host: input.request.to,
    what: 'let nothing in any more',
    limit: limits.act,
    call: (at) => at.withdrawLive(ref),
  });

/** A guest that is held at the target goes on, unless somebody had paused it before; the source let go of it. */
export const letGoOn = (
  move: Move,
  ref: EpochRef,
  { keepPaused }: { keepPaused?: true },
): Promise<LiveHostView> => settleArrival(move, ref, keepPaused === true ? 'stay-paused' : 'go-on');

const settleArrival = (
  { hosts, input }: Move,
  ref: EpochRef,
  to: SettleArrivalInput['to'],
): Promise<LiveHostView> =>
  hosts.do({
    host: input.request.to,
    what: `${arrivals[to]} ${input.vm.name}`,
    limit: limits.act,
    neverUndo: true,
    call: (at) => at.settleArrival({ ...ref, to }),
  });

const arrivals: Record<SettleArrivalInput['to'], string> = {
  'go-on': 'let go of',
  'stay-paused': 'take over the paused',
  off: 'end what arrived in vain of',
};

/** Only once nothing can come up at the target any more does the guest go on where it was. */
async function goOnAtSource(move: Move, ref: EpochRef): Promise<void> {
  const there = await letNothingIn(move, ref);
  if (there.place === 'gone' || there.place === 'off') await finish(move, ref, 'resume');
}

async function finish(
  { hosts, input }: Move,
  ref: EpochRef,
  to: SettleLiveInput['to'],
): Promise<void> {
  const { name } = input.vm;
  await hosts.do({
    host: input.request.from,
    what: to === 'off' ? `end what is left of ${name}` : `let ${name} go on`,
    limit: limits.act,
    neverUndo: true,
    call: (at) => at.settleLive({ ...ref, to }),
  });
}

/** What only a person can decide. Thrown nowhere: the move waits with it. */
function unclear(
  { input }: Move,
  outcome: LiveOutcome,
  views: Record<string, LiveHostView>,
): Fault {
  const { from, to } = input.request;
  const { name } = input.vm;
  const seen = `${from} says ${views['source']?.place}, ${to} says ${views['target']?.place}`;
  const about = { handling: Handling.needsOperator, host: from };
  if (outcome === LiveOutcome.postCopyFailed) {
    return {
      ...about,
      code: 'live-post-copy-failed',
      message: `${name} is in the middle of post-copy, which was interrupted: each host holds a part of its memory (${seen})`,
      remedy: `End neither QEMU. Mend the link between the hosts: QEMU goes on by itself within some minutes (virsh domstate --reason ${name} on both), then \`vmferry retry\`. If it does not, on ${from}: virsh migrate --live --p2p --tls --postcopy --postcopy-resume ${name} qemu+tls://${to}/system. If the link cannot be mended, the guest is lost since the switch: virsh destroy ${name} on both, then \`vmferry retry\`; it is left off on ${from}.`,
    };
  }
  if (outcome === LiveOutcome.split) {
    return {
      ...about,
      code: 'live-split',
      message: `${name} is active on both hosts (${seen})`,
      remedy: `See virsh domstate --reason ${name} on both. If ${from} says "running (migration canceled)", its copy went on later, since the answer of ${to} was lost: end it at once (virsh destroy ${name} on ${from}), then \`vmferry retry\`. Else find out which of the two is meant, and end the other so.`,
    };
  }
  return {
    ...about,
    code: 'live-undecided',
    message: `it cannot be told where ${name} is: ${seen}`,
    remedy: `See \`virsh domstate --reason ${name}\` and \`virsh domjobinfo ${name}\` on both hosts, end the job that hangs, then \`vmferry retry\`.`,
  };
}
