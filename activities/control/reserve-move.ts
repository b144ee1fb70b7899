import { setTimeout as delay } from 'node:timers/promises';
import { Handling } from '../../domain/errors.ts';
import type { Fault } from '../../domain/errors.ts';
import { holdsSlot, slotAnswer } from '../../domain/hosts/slots.ts';
import type { SlotAnswer, SlotWish } from '../../domain/hosts/slots.ts';
import { newHost } from '../../domain/hosts/state.ts';
import type { HostSettings } from '../../domain/hosts/state.ts';
import type { ReleaseMoveInput, ReserveMoveAnswer, ReserveMoveInput } from './contract.ts';
import { reserveFirmly } from './fleet.ts';
import type { FleetAccess } from './fleet.ts';

/** Between two times that a busy host is asked, ms. */
const askAgainMs = 5_000;
/** Whether the moves that hold the places are over is asked each minute: many may wait for one host. */
const looksForOverEvery = 12;

/** Both places or none; asks again while the hosts are busy, as long as the caller waits. */
export async function reserveMove(
  fleet: FleetAccess,
  input: ReserveMoveInput,
  { signal, pauseMs = askAgainMs }: { signal?: AbortSignal; pauseMs?: number } = {},
): Promise<ReserveMoveAnswer> {
  const endMs = Date.now() + (input.waitMs ?? 0);
  for (let tries = 0; ; tries += 1) {
    const ask = tries % looksForOverEvery === 0 ? reserveFirmly : reserveOnce;
    const answer = await reserveBoth(fleet, input, ask);
    const isFinal = answer.granted || answer.fault.handling === Handling.permanent;
    if (isFinal || Date.now() + pauseMs > endMs) return answer;
    await delay(pauseMs, undefined, signal === undefined ? {} : { signal });
  }
}

type Ask = typeof reserveFirmly;

const reserveOnce: Ask = (fleet, host, wish) => fleet.reserve(host, wish);

interface Place {
  host: string;
  wish: SlotWish;
}

async function reserveBoth(
  fleet: FleetAccess,
  { move, source, target, vm, waits }: ReserveMoveInput,
  ask: Ask,
): Promise<ReserveMoveAnswer> {
  const wish = (direction: SlotWish['direction']): SlotWish => ({
    ...move,
    direction,
    vm,
    by: 'named',
  });
  const room = waits === undefined ? {} : { waits };
  const into: Place = { host: target, wish: { ...wish('in'), ...room } };
  if (source === undefined) {
    const answer = await ask(fleet, into.host, into.wish);
    if (!answer.granted) return refused(into, answer);
    return { granted: true, target: settingsOfTarget(answer.settings) };
  }
  const out: Place = { host: source, wish: wish('out') };
  const state = (await fleet.state(target)) ?? newHost;
  const foreseen = slotAnswer(target, state, into.wish);
  const isHeld = holdsSlot(state, into.wish);
  // What placement took for this move is not asked for again.
  const askFor = (place: Place): Promise<SlotAnswer> =>
    place === into && isHeld ? Promise.resolve(foreseen) : ask(fleet, place.host, place.wish);
  const giveBack = ({ host }: Place): Promise<void> =>
    fleet.release(host, { moveId: move.moveId, arrived: false });
  // A target that would refuse is asked alone: a place that is given back at once fills the history of its host.
  const ahead = foreseen.granted ? undefined : await askFor(into);
  if (ahead?.granted === false) return refused(into, ahead);
  const [outAnswer, intoAnswer] = await Promise.all([askFor(out), ahead ?? askFor(into)]);
  if (!intoAnswer.granted) {
    if (outAnswer.granted) await giveBack(out);
    return refused(into, intoAnswer);
  }
  if (!outAnswer.granted) {
    if (!isHeld) await giveBack(into);
    return refused(out, outAnswer);
  }
  return {
    granted: true,
    source: { limits: outAnswer.settings.limits },
    target: settingsOfTarget(intoAnswer.settings),
  };
}

const settingsOfTarget = ({
  limits,
  migrationAddress,
}: HostSettings): Pick<HostSettings, 'limits' | 'migrationAddress'> => ({
  limits,
  ...(migrationAddress === undefined ? {} : { migrationAddress }),
});

const refused = (
  { host, wish }: Place,
  answer: Extract<SlotAnswer, { granted: false }>,
): ReserveMoveAnswer => ({ granted: false, fault: refusedBy(host, answer, wish.vm.name) });

/** Gives back what the move has on each of the hosts. */
export async function releaseMove(
  fleet: FleetAccess,
  { moveId, hosts, arrivedOn, unstarted }: ReleaseMoveInput,
): Promise<void> {
  const only = unstarted === undefined ? {} : { unstarted };
  await Promise.all(
    hosts.map((host) => fleet.release(host, { moveId, arrived: host === arrivedOn, ...only })),
  );
}

function refusedBy(
  host: string,
  { refusals, final }: Extract<SlotAnswer, { granted: false }>,
  vm: string,
): Fault {
  const reasons = refusals.map(({ reason }) => reason).join('; ');
  return final
    ? {
        code: 'host-disabled',
        handling: Handling.permanent,
        message: `${vm} was not moved: ${reasons}`,
        remedy: `Choose another host, or let it take VMs again with \`vmferry hosts enable ${host}\`; a drain ends with \`vmferry undrain ${host}\`.`,
        host,
      }
    : {
        code: 'host-refused',
        handling: Handling.transient,
        message: `${vm} waits for a place: ${reasons}`,
        remedy: `It goes on by itself once there is one; \`vmferry hosts show ${host}\` tells who has them, \`vmferry hosts set ${host}\` changes the limits.`,
        host,
      };
}
