import { LiveJobKind, LivePlace } from '../../domain/live-outcome.ts';
import { needsOperator, transient, VmFerryError } from '../../domain/errors.ts';
import type { LiveView } from '../../platforms/libvirt/live/view.ts';
import type { EpochRef } from '../contract.ts';
import { whileOurs } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { viewOnce } from './waits.ts';

/** Undoing copied disks takes QEMU a while; post-copy takes as long as memory has to follow, and is asked for again. */
const endsWithinMs = 120_000;

/** No migration away from here any more. A late attempt begins none: its run is written down, or its token withdrawn. */
export async function endLive(
  parts: HostParts,
  input: EpochRef,
  signal: AbortSignal,
): Promise<void> {
  const { live } = parts.hypervisor;
  const { uuid } = input.vm;
  // An attempt that still watches would take this abort for libvirt's own.
  await parts.operations.endAll(input.migrationId);
  const options = { ref: input, states: ['migrating-out', 'released'] as const, signal };
  await whileOurs(parts, { ...options, operation: 'end the live migration' }, async () => {
    await live.abort(uuid).catch((error: unknown) => {
      // It comes to its own end, or is gone with the VM.
      const codes = ['live-in-post-copy', 'vm-not-found'];
      if (!(error instanceof VmFerryError) || !codes.includes(error.code)) throw error;
    });
  });
  const isEnd = ({ job, place }: LiveView): boolean =>
    job.kind !== LiveJobKind.outgoing || place === LivePlace.postCopyFailed;
  const view = await viewOnce(parts, uuid, isEnd, { timeoutMs: endsWithinMs, signal });
  if (view.job.kind !== LiveJobKind.outgoing) return;
  throw view.place === LivePlace.postCopyFailed
    ? postCopyFailed(parts.name, input)
    : stillLeaving(parts.name, input);
}

const postCopyFailed = (host: string, { vm }: EpochRef) =>
  needsOperator({
    code: 'live-post-copy-failed',
    message: `the post-copy of ${vm.name} away from ${host} was interrupted: each host holds a part of it`,
    remedy:
      'Keep both hosts running and mend the link between them. If the guest is lost, end it on both hosts, then start it again from its disks.',
    host,
  });

const stillLeaving = (host: string, { vm }: EpochRef) =>
  transient({
    code: 'live-still-leaving',
    message: `the live migration of ${vm.name} away from ${host} has not ended in ${endsWithinMs / 1000} s`,
    remedy: `It is looked at again. If it stays so, see on ${host}: virsh domjobinfo ${vm.name}.`,
    host,
  });
