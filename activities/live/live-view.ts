import type { LiveHostView } from '../../domain/live-outcome.ts';
import { hostViewOf } from '../../platforms/libvirt/live/view.ts';
import type { MoveRef } from '../contract.ts';
import { folderOf } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { placeByUs, placeHeld } from './paused-by-us.ts';

/** Where the VM stands on this host now, by libvirt and by what the move did here; changes nothing, waits for nobody. */
export async function liveView(parts: HostParts, input: MoveRef): Promise<LiveHostView> {
  const folder = folderOf(parts, input);
  // The memories first: they tell of a pause, and of its end, before it is ordered.
  const memory = await folder.read('live');
  const admission = await folder.read('admission');
  const view = hostViewOf(await parts.hypervisor.live.viewOf(input.vm.uuid));
  const place = placeHeld(placeByUs(view.place, memory), admission);
  return { ...view, place, ...(memory?.guestPaused === true ? { keepPaused: true } : {}) };
}
