import { lowestCap } from '../../domain/bandwidth.ts';
import { LiveJobKind } from '../../domain/live-outcome.ts';
import { LiveOrder } from '../../platforms/libvirt/live/live-migration.ts';
import type { TuneLiveInput } from '../contract.ts';
import { folderOf, underLock } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { mebibytesOf } from './limits.ts';

/** Changes the limits of this move's run; false if none of it runs. */
export async function tuneLive(
  parts: HostParts,
  input: TuneLiveInput,
  at: { signal: AbortSignal; hostBytesPerSecond: number },
): Promise<boolean> {
  const { live } = parts.hypervisor;
  const { vm, bandwidthBytesPerSecond, maxDowntimeMs } = input;
  const folder = folderOf(parts, input);
  const options = { ref: input, operation: 'change limits', signal: at.signal };
  return underLock(parts, options, async () => {
    const memory = await folder.read('live');
    if (memory === undefined || memory.result !== undefined) return false;
    if ((await live.viewOf(vm.uuid)).job.kind !== LiveJobKind.outgoing) return false;
    const told: LiveOrder[] = [];
    if (bandwidthBytesPerSecond !== undefined) {
      const cap = mebibytesOf(lowestCap(bandwidthBytesPerSecond, at.hostBytesPerSecond));
      told.push(await live.setBandwidth(vm.uuid, cap));
    }
    if (maxDowntimeMs !== undefined)
      told.push(await live.setMaxDowntimeMs(vm.uuid, Math.max(1, Math.round(maxDowntimeMs))));
    if (told.includes(LiveOrder.noJob)) return false;
    const before = (await folder.read('tuned')) ?? {};
    await folder.write('tuned', {
      ...before,
      ...(bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond }),
      ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
    });
    return true;
  });
}
