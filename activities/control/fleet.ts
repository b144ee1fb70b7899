import type { HostOrder } from '../../domain/hosts/settings.ts';
import type { SlotAnswer, SlotRelease, SlotWish } from '../../domain/hosts/slots.ts';
import type { HostState, SlotHolder } from '../../domain/hosts/state.ts';

/** The hosts of a cluster as the control activities ask them; workers/ gives it, tests may fake it. */
export interface FleetAccess {
  /** What is remembered of every host; may be a second old. */
  hosts(): Promise<{ name: string; state?: HostState }[]>;
  /** What is remembered of one, as of now. Throws a permanent `host-unknown`. */
  state(host: string): Promise<HostState | undefined>;
  /** Whether a worker serves it now. */
  online(host: string): Promise<boolean>;
  /** Throws `host-unknown`. */
  reserve(host: string, wish: SlotWish): Promise<SlotAnswer>;
  /** Of a host that nobody knows nothing is released. */
  release(host: string, release: SlotRelease): Promise<void>;
  /** Throws `host-unknown`, `host-change-refused`. */
  set(host: string, order: HostOrder): Promise<HostState>;
  /** Whether Temporal says that the holder's workflow is over; false if it does not say so. */
  isOver(holder: SlotHolder): Promise<boolean>;
}

/** Reserves, once more if moves that are over held what it lacks: a lost release must not last. */
export async function reserveFirmly(
  fleet: FleetAccess,
  host: string,
  wish: SlotWish,
): Promise<SlotAnswer> {
  const answer = await fleet.reserve(host, wish);
  if (answer.granted || answer.final) return answer;
  const dropped = await dropOver(fleet, [{ host, holders: answer.holders }]);
  return dropped === 0 ? answer : fleet.reserve(host, wish);
}

/** Takes the places of moves that are over away. Gives how many there were. */
export async function dropOver(
  fleet: FleetAccess,
  held: readonly { host: string; holders: readonly SlotHolder[] }[],
): Promise<number> {
  let dropped = 0;
  for (const { host, holders } of held) {
    for (const holder of holders) {
      if (!(await fleet.isOver(holder))) continue;
      await fleet.release(host, { moveId: holder.moveId, arrived: false });
      dropped += 1;
    }
  }
  return dropped;
}
