import { LiveJobKind, LivePlace } from '../../domain/live-outcome.ts';
import { unsafe } from '../../domain/errors.ts';
import type { AdmitLiveInput, LiveAdmission } from '../contract.ts';
import { folderOf, whileOurs } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { targetMemory } from '../reserve-target.ts';

/**
 * The token for one run, given only while nothing of the VM is here. Asked again for the same run it is the same; a run
 * before the last one gets none. Throws `live-run-over`, `live-target-not-gone`, and what `Ledger.admit` throws.
 */
export async function admitLive(
  parts: HostParts,
  input: AdmitLiveInput,
  signal: AbortSignal,
): Promise<LiveAdmission> {
  const { ledger, hypervisor } = parts;
  const { vm, run, migrationId, epoch, mayHold } = input;
  const holds = mayHold === true ? ({ holds: true } as const) : {};
  const folder = folderOf(parts, input);
  const operation = 'admit a live migration';
  return whileOurs(parts, { ref: input, states: ['incoming'], operation, signal }, async () => {
    const last = (await folder.read('admission'))?.run ?? 0;
    if (run < last) throw runOver(parts.name, input, last);
    const { place, job } = await hypervisor.live.viewOf(vm.uuid);
    if (place !== LivePlace.gone || job.kind !== LiveJobKind.none)
      throw notGone(parts.name, input, place);
    // Before the token is out: the undo has to know that a definition of the VM may have come here.
    await folder.write('target', { ...(await targetMemory(folder)), defined: true });
    // A later run's first word only: that the VM runs at the source again was seen once, not each time this is asked.
    const again = run > last && run > 1;
    const token = await ledger.admit(vm.uuid, { migrationId, epoch, again, signal });
    await folder.write('admission', { run, ...holds });
    return { token, ...holds };
  });
}

const runOver = (host: string, { vm, run }: AdmitLiveInput, last: number) =>
  unsafe({
    code: 'live-run-over',
    message: `run ${run} of the live move of ${vm.name} to ${host} is over: run ${last} was let in after it`,
    remedy: 'Nothing was changed: it was the late work of an attempt that is over.',
    host,
  });

const notGone = (host: string, { vm }: AdmitLiveInput, place: LivePlace) =>
  unsafe({
    code: 'live-target-not-gone',
    message: `${host} lets no live migration of ${vm.name} in while the VM is there already (${place})`,
    remedy: `Find out on both hosts where ${vm.name} runs. If what ${host} has of it is a left-over, undefine it there; then start the move again.`,
    host,
  });
