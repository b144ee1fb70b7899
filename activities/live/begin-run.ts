import { newPlaces } from '../ensure-defined.ts';
import type { MoveLiveInput } from '../contract.ts';
import type { HostParts } from '../parts.ts';
import type { LiveMigrationOptions } from '../../platforms/libvirt/live/options.ts';
import { mebibytesOf } from './limits.ts';

/** A call to libvirt that lasts as long as the migration. */
export interface BegunRun {
  /** Resolves with what libvirt said at its end; never rejects. */
  settled: Promise<{ refusal?: Error }>;
  /** Waits no longer; the migration goes on. */
  leave(): void;
}

/** Has libvirt begin. Not awaited: see `settled`. */
export function beginRun({ hypervisor }: HostParts, options: LiveMigrationOptions): BegunRun {
  const leaving = new AbortController();
  const settled = hypervisor.live.begin(options, { signal: leaving.signal }).then(
    () => ({}),
    (error: unknown) => ({ refusal: error instanceof Error ? error : new Error(String(error)) }),
  );
  return { settled, leave: () => leaving.abort() };
}

/** What libvirt is asked for: the definition that runs, and the one that is kept, both for the target. */
export async function runOptionsOf(
  { hypervisor }: HostParts,
  input: MoveLiveInput,
  bandwidthBytesPerSecond: number,
): Promise<LiveMigrationOptions> {
  const { vm, target, targetAddress, disks, wishes, epoch, migrationId } = input;
  const { parallelConnections, compression } = wishes;
  const owner = { host: target, epoch: epoch + 1, moveId: migrationId };
  const changes = { disks: newPlaces(disks), owner };
  const running = await hypervisor.live.definition(vm.uuid);
  const kept = await hypervisor.definition(vm.uuid);
  const copyDisks = disks.filter(({ how }) => how === 'copy').map(({ name }) => name);
  return {
    uuid: vm.uuid,
    targetAddress,
    migrationAddress: targetAddress,
    disksAddress: targetAddress,
    targetXml: hypervisor.mend(running, { ...changes, arriving: { token: input.token } }),
    persistentXml: hypervisor.mend(kept, changes),
    ...(disks.some(({ how }) => how === 'shared') ? { storageIsProved: true } : {}),
    copyDisks,
    ...(bandwidthBytesPerSecond > 0
      ? { bandwidthMiBPerSecond: mebibytesOf(bandwidthBytesPerSecond) }
      : {}),
    maxDowntimeMs: Math.max(1, Math.round(wishes.maxDowntimeMs)),
    ...(parallelConnections === undefined ? {} : { parallelConnections }),
    ...(compression === undefined ? {} : { compression }),
    allowPostCopy: wishes.postCopy,
    autoConverge: wishes.autoConverge,
  };
}
