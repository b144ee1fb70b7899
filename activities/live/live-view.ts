import type { LiveHostView } from '../../domain/live-outcome.ts';
import { hostViewOf } from '../../platforms/libvirt/live/view.ts';
import type { MoveRef } from '../contract.ts';
import { folderOf } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { placeByUs } from './paused-by-us.ts';

/** Where the VM stands on this host now, by libvirt and by what the move did here; changes nothing, waits for nobody. */
export async function liveView(parts: HostParts, input: MoveRef): Promise<LiveHostView> {
  // The memory first: it tells of a pause before the pause is ordered.
  const memory = await folderOf(parts, input).read('live');
  const view = hostViewOf(await parts.hypervisor.live.viewOf(input.vm.uuid));
  return { ...view, place: placeByUs(view.place, memory) };
}
