import { LiveJobKind, LivePlace } from '../../domain/live-outcome.ts';
import type { LiveHostView } from '../../domain/live-outcome.ts';
import { transient, unsafe } from '../../domain/errors.ts';
import { hostViewOf } from '../../platforms/libvirt/live/view.ts';
import type { LiveView } from '../../platforms/libvirt/live/view.ts';
import type { SettleArrivalInput } from '../contract.ts';
import { folderOf, whileOurs } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { viewOnce } from './waits.ts';

/** QEMU answers or ends at once; this is for a busy host. */
const settlesWithinMs = 30_000;

const off: readonly LivePlace[] = [LivePlace.off, LivePlace.movedAway, LivePlace.gone];

/**
 * Lets a guest go that is held here since it arrived, or ends it and takes its definition away. What runs or has not
 * arrived is left as it is, but for one that is to stay paused; what was let go is never ended. Throws
 * `live-arrival-not-settleable` where it is to be ended and runs.
 */
export async function settleArrival(
  parts: HostParts,
  input: SettleArrivalInput,
  signal: AbortSignal,
): Promise<LiveHostView> {
  const { live } = parts.hypervisor;
  const { vm, to } = input;
  const options = { ref: input, states: ['incoming'] as const, signal };
  return whileOurs(parts, { ...options, operation: `settle the arrival (${to})` }, async () => {
    const folder = folderOf(parts, input);
    const admission = await folder.read('admission');
    const view = await live.viewOf(vm.uuid);
    const isIdle = view.job.kind === LiveJobKind.none;
    const wasLetGo = admission?.letGo === true;
    const isHeld = isIdle && view.place === LivePlace.paused;
    if (to === 'off') {
      if (view.place === LivePlace.gone) return hostViewOf(view);
      const isOff = isIdle && off.includes(view.place);
      if (!(isHeld || isOff) || wasLetGo) throw notSettleable(parts.name, input, view);
      await parts.hypervisor.forceOff(vm.uuid);
      await settled(parts, input, { wanted: off, signal });
      // Else the next run would not be let in.
      await parts.hypervisor.undefine(vm.uuid, { state: 'remove' });
      return hostViewOf(await settled(parts, input, { wanted: [LivePlace.gone], signal }));
    }
    if (admission !== undefined && !wasLetGo)
      await folder.write('admission', { ...admission, letGo: true });
    if (to === 'stay-paused') {
      // Somebody paused it right before the run, and whoever waited for it here could not know.
      if (view.place === LivePlace.running) await live.pauseGuest(vm.uuid);
      return hostViewOf(await live.viewOf(vm.uuid));
    }
    // Also where it was let go before: a kill may have come between the note of that and the order.
    if (!isHeld) return hostViewOf(view);
    await goOn(parts, vm.uuid);
    return hostViewOf(await settled(parts, input, { wanted: [LivePlace.running], signal }));
  });
}

/** The source's worker may do the same at the same time, by libvirt alone. */
async function goOn({ hypervisor: { live } }: HostParts, uuid: string): Promise<void> {
  try {
    await live.resumeGuest(uuid);
  } catch (error) {
    if ((await live.viewOf(uuid)).place !== LivePlace.running) throw error;
  }
}

async function settled(
  parts: HostParts,
  input: SettleArrivalInput,
  { wanted, signal }: { wanted: readonly LivePlace[]; signal: AbortSignal },
): Promise<LiveView> {
  const isThere = ({ place }: LiveView): boolean => wanted.includes(place);
  const view = await viewOnce(parts, input.vm.uuid, isThere, {
    timeoutMs: settlesWithinMs,
    signal,
  });
  if (isThere(view)) return view;
  throw notSettled(parts.name, input, view.place);
}

const notSettleable = (host: string, { vm }: SettleArrivalInput, { place, job }: LiveView) =>
  unsafe({
    code: 'live-arrival-not-settleable',
    message: `${vm.name} on ${host} is ${place} (job: ${job.kind}), not held since its arrival: it is not ended`,
    remedy:
      'Nothing was changed. Find out on both hosts where the VM runs; at most one of them may go on.',
    host,
  });

const notSettled = (host: string, { vm, to }: SettleArrivalInput, place: LivePlace) =>
  transient({
    code: 'live-not-settled',
    message: `${vm.name} on ${host} is ${place} ${settlesWithinMs / 1000} s after it was told to ${to === 'off' ? 'end' : 'go on'}`,
    remedy: `It is tried again. If it stays so, see on ${host}: virsh domstate --reason ${vm.name}.`,
    host,
  });
