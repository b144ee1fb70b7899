import type { LiveHostView } from '../../domain/live-outcome.ts';
import { hostViewOf } from '../../platforms/libvirt/live/view.ts';
import type { MoveRef } from '../contract.ts';
import type { HostParts } from '../parts.ts';

/** Where the VM stands on this host now; changes nothing and waits for nobody. */
export async function liveView({ hypervisor }: HostParts, { vm }: MoveRef): Promise<LiveHostView> {
  return hostViewOf(await hypervisor.live.viewOf(vm.uuid));
}
