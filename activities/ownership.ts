import { LiveJobKind, LivePlace } from '../domain/live-outcome.ts';
import { needsOperator, unsafe } from '../domain/errors.ts';
import { identitiesOf } from './identities.ts';
import type { DiskPlan, EpochRef, ReleaseSourceInput, RevokeTargetInput } from './contract.ts';
import { sourceFingerprint } from './ensure-export.ts';
import { underLock, whileOurs } from './ours.ts';
import { reasonsNotStopped } from './read-back.ts';
import type { HostParts } from './parts.ts';

const offMs = 30_000;

/** The source gives the VM up: only if it is still stopped and no disk has changed since it was copied. */
export async function releaseSource(
  parts: HostParts,
  input: ReleaseSourceInput,
  signal: AbortSignal,
): Promise<void> {
  const { ledger, hypervisor, name } = parts;
  const { vm, epoch, migrationId, target } = input;
  const options = {
    ref: input,
    states: ['migrating-out', 'released'] as const,
    operation: 'release',
    signal,
  };
  await whileOurs(parts, options, async () => {
    // What is on shared storage is written by the target's QEMU now, so only the VM itself is looked at.
    const reasons =
      input.live === true
        ? await reasonsNotMovedAway(parts, vm.uuid)
        : await hypervisor.reasonsNotStopped(vm.uuid);
    if (reasons.length > 0)
      throw sourceChanged(name, `${vm.name} is not stopped any more: ${reasons.join('; ')}`);
    for (const disk of input.disks) {
      const expected = input.fingerprints[disk.name];
      if (expected === undefined) continue;
      const now = await sourceFingerprint(parts, vm.uuid, disk);
      if (now !== expected)
        throw sourceChanged(
          name,
          `${disk.sourcePath} has changed since it was copied (${expected} -> ${now})`,
        );
    }
    await ledger.transition(vm.uuid, {
      to: 'released',
      epoch,
      migrationId,
      name: vm.name,
      note: `moved to ${target}`,
      signal,
    });
  });
}

async function reasonsNotMovedAway({ hypervisor }: HostParts, uuid: string): Promise<string[]> {
  const { place, job } = await hypervisor.live.viewOf(uuid);
  if (job.kind !== LiveJobKind.none) return ['libvirt has a job on it'];
  const isOff =
    place === LivePlace.off || place === LivePlace.movedAway || place === LivePlace.gone;
  return isOff ? [] : [`libvirt says it is ${place}`];
}

const sourceChanged = (host: string, what: string) =>
  unsafe({
    code: 'source-changed',
    message: what,
    remedy: 'The copy is not used. Find out what wrote to the source, then start the move again.',
    host,
  });

/** The target becomes the owner; from here on, and not before, libvirt lets the VM start here. */
export async function takeOwnership(
  parts: HostParts,
  input: EpochRef & { source: string; disks: DiskPlan[] },
  signal: AbortSignal,
): Promise<void> {
  const { ledger } = parts;
  const { vm, epoch, migrationId, source } = input;
  const disks = await identitiesOf(input.disks, 'target');
  await ledger.transition(vm.uuid, {
    to: 'owner',
    epoch,
    migrationId,
    name: vm.name,
    note: `moved here from ${source}`,
    disks,
    signal,
  });
}

/** Takes the VM away from the target again: first no start any more, then what runs is ended and read back. */
export async function revokeTarget(
  parts: HostParts,
  input: RevokeTargetInput,
  signal: AbortSignal,
): Promise<void> {
  const { ledger, hypervisor, name } = parts;
  const { vm, epoch, migrationId, source } = input;
  await underLock(parts, { ref: input, operation: 'revoke', signal }, async () => {
    await ledger.transition(vm.uuid, {
      to: 'released',
      epoch,
      migrationId,
      name: vm.name,
      note: `given back to ${source}`,
    });
    const state = await hypervisor.state(vm.uuid);
    if (state === undefined || state === 'shut-off') return;
    if (!input.discardWrites) {
      throw needsOperator({
        code: 'target-runs',
        message: `${vm.name} runs on ${name}; ending it loses what it wrote there`,
        remedy: 'Roll back with --discard-target-writes if that is meant.',
        host: name,
      });
    }
    await hypervisor.forceOff(vm.uuid);
    await hypervisor.waitUntilOff(vm.uuid, { timeoutMs: offMs, signal });
    const reasons = await reasonsNotStopped(parts, vm.uuid, signal);
    if (reasons.length > 0) {
      throw needsOperator({
        code: 'not-stopped',
        message: `${vm.name} still runs on ${name}: ${reasons.join('; ')}`,
        remedy: `End it on ${name}, then \`vmferry retry\`. The source is not started before.`,
        host: name,
      });
    }
  });
}
