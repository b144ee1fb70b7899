import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ProcFile } from '../proc-file.ts';
import { argumentsOf, startTimeIn } from '../process.ts';

/** A guest that has arrived stands still for as long as nobody knows: this is a part of its pause. */
const lookEveryMs = 15;
/** Who slept for so long knows nothing of what others have done since. */
const mostLateMs = 5_000;

export interface QemuOfVm {
  uuid: string;
  name: string;
  /** Where the host's files are seen from here. */
  fileRoot: string;
}

/**
 * Resolves once the QEMU process that runs the VM now is gone: then nothing of it goes on here, whatever libvirt comes to
 * think, which says so half a second later and more. Rejects with the signal's reason, and where that process is not to
 * be found, or this one stood still itself.
 */
export async function untilQemuIsGone(vm: QemuOfVm, signal: AbortSignal): Promise<void> {
  const stat = await statOfQemu(vm);
  try {
    for (let before = performance.now(); ;) {
      if (startTimeIn(stat.read()) === undefined) return;
      await delay(lookEveryMs, undefined, { signal });
      const now = performance.now();
      if (now - before > mostLateMs) throw new Error(`nobody watched the QEMU of ${vm.name}`);
      before = now;
    }
  } finally {
    stat.close();
  }
}

/** By libvirt's own file, and by its argument. */
async function statOfQemu({ uuid, name, fileRoot }: QemuOfVm): Promise<ProcFile> {
  const text = await readFile(join(fileRoot, 'run/libvirt/qemu', `${name}.pid`), 'utf8');
  const pid = Number.parseInt(text, 10);
  const stat = new ProcFile(`/proc/${pid}/stat`);
  // Open before it is looked at: what is read later is of this process, whoever gets its PID.
  if ((await argumentsOf(pid)).includes(uuid) && startTimeIn(stat.read()) !== undefined)
    return stat;
  stat.close();
  throw new Error(`process ${pid} is not the QEMU of ${name}`);
}
