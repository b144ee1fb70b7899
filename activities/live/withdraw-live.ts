import { LiveJobKind } from '../../domain/live-outcome.ts';
import { transient } from '../../domain/errors.ts';
import type { LiveHostView } from '../../domain/live-outcome.ts';
import { hostViewOf } from '../../platforms/libvirt/live/view.ts';
import type { EpochRef } from '../contract.ts';
import { underLock } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { viewOnce } from './waits.ts';

/** libvirt needs a while to notice that the source is gone, and to end a QEMU that waits for it. */
const arrivalEndsMs = 60_000;

/** Takes the token back, waits until nothing arrives any more, and gives where the VM stands then. */
export async function withdrawLive(
  parts: HostParts,
  input: EpochRef,
  signal: AbortSignal,
): Promise<LiveHostView> {
  const { ledger, name } = parts;
  const { vm, migrationId, epoch } = input;
  await underLock(parts, { ref: input, operation: 'withdraw an admission', signal }, () =>
    ledger.withdraw(vm.uuid, { migrationId, epoch, signal }),
  );
  const isOver = ({ job }: { job: { kind: LiveJobKind } }): boolean =>
    job.kind !== LiveJobKind.incoming;
  const view = await viewOnce(parts, vm.uuid, isOver, { timeoutMs: arrivalEndsMs, signal });
  if (isOver(view)) return hostViewOf(view);
  throw transient({
    code: 'live-still-arriving',
    message: `a migration of ${vm.name} to ${name} has not ended in ${arrivalEndsMs / 1000} s`,
    remedy: `It is looked at again. If it stays so, see on ${name}: virsh list, virsh domjobinfo ${vm.name}.`,
    host: name,
  });
}
