import { LiveJobKind, LivePlace } from '../../domain/live-outcome.ts';
import { transient, unsafe } from '../../domain/errors.ts';
import type { LiveView } from '../../platforms/libvirt/live/view.ts';
import type { SettleLiveInput } from '../contract.ts';
import type { LiveMemory } from '../move-folder.ts';
import { folderOf, whileOurs } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { placeByUs, unpaused } from './paused-by-us.ts';
import { viewOnce } from './waits.ts';

/** QEMU answers or ends at once; this is for a busy host. */
const settlesWithinMs = 30_000;

const off: readonly LivePlace[] = [LivePlace.off, LivePlace.movedAway, LivePlace.gone];

/**
 * Ends what a broken migration left paused here, or has it go on. Only that: a guest that runs, or that somebody else
 * paused, is not touched. Throws `live-not-settleable`.
 */
export async function settleLive(
  parts: HostParts,
  input: SettleLiveInput,
  signal: AbortSignal,
): Promise<void> {
  const { hypervisor } = parts;
  const { vm, to } = input;
  const options = { ref: input, states: ['migrating-out'] as const, signal };
  await whileOurs(parts, { ...options, operation: `settle (${to})` }, async () => {
    const wanted = to === 'off' ? off : [LivePlace.running];
    const view = await hypervisor.live.viewOf(vm.uuid);
    if (view.job.kind === LiveJobKind.none && wanted.includes(view.place)) return;
    const folder = folderOf(parts, input);
    const memory = await folder.read('live');
    if (!isLeftPaused(view, memory)) throw notSettleable(parts.name, input, view);
    if (to === 'off') await hypervisor.forceOff(vm.uuid);
    else await hypervisor.live.resumeGuest(vm.uuid);
    const isThere = ({ place }: LiveView): boolean => wanted.includes(place);
    const wait = { timeoutMs: settlesWithinMs, signal };
    const now = await viewOnce(parts, vm.uuid, isThere, wait);
    if (!isThere(now)) throw notSettled(parts.name, input, now.place);
    if (memory?.paused === true) await folder.write('live', unpaused(memory));
  });
}

const isLeftPaused = ({ place, job }: LiveView, memory: LiveMemory | undefined): boolean =>
  job.kind === LiveJobKind.none && placeByUs(place, memory) === LivePlace.switching;

const notSettleable = (host: string, { vm, to }: SettleLiveInput, { place, job }: LiveView) =>
  unsafe({
    code: 'live-not-settleable',
    message: `${vm.name} on ${host} is ${place} (job: ${job.kind}), not left paused by a migration: it is not ${to === 'off' ? 'ended' : 'resumed'}`,
    remedy:
      'Nothing was changed. Find out on both hosts where the VM runs; at most one of them may go on.',
    host,
  });

const notSettled = (host: string, { vm, to }: SettleLiveInput, place: LivePlace) =>
  transient({
    code: 'live-not-settled',
    message: `${vm.name} on ${host} is ${place} ${settlesWithinMs / 1000} s after it was told to ${to === 'off' ? 'end' : 'go on'}`,
    remedy: `It is tried again. If it stays so, see on ${host}: virsh domstate --reason ${vm.name}.`,
    host,
  });
