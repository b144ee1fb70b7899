import { reloadLibvirtd } from '../guard/install.ts';
import type { LibvirtHypervisor } from './hypervisor.ts';

/** Where libvirtd and virtqemud write their process ID. */
const pidFiles = ['/run/libvirtd.pid', '/run/virtqemud.pid', '/run/libvirt/virtqemud.pid'];

/**
 * libvirt sees a new hook only when it is told to look (SIGHUP; guests go on). A worker starts in any case: a guard
 * that is not live is a critical concern of each move, and `vmferry doctor` shows it.
 */
export async function ensureHookSeen(
  hypervisor: LibvirtHypervisor,
): Promise<{ live: boolean; detail: string }> {
  const first = await probe(hypervisor);
  if (first.live) return first;
  for (const pidFile of pidFiles) {
    try {
      await reloadLibvirtd({ pidFile });
      break;
    } catch {
      // The daemon has another of these files, or is started by its socket and reads its hooks then.
    }
  }
  return probe(hypervisor);
}

async function probe(hypervisor: LibvirtHypervisor): Promise<{ live: boolean; detail: string }> {
  try {
    return await hypervisor.probeGuard();
  } catch (error) {
    return { live: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
