import { newPlaces } from '../ensure-defined.ts';
import { LivePlace } from '../../domain/live-outcome.ts';
import type { HeldGuest, MoveLiveInput } from '../contract.ts';
import type { HostParts, LiveHypervisor } from '../parts.ts';
import type { LiveMigrationOptions } from '../../platforms/libvirt/live/options.ts';
import { mebibytesOf } from './limits.ts';

/** A call to libvirt that lasts as long as the migration. */
export interface BegunRun {
  /** Resolves with what libvirt said at its end, and what became of a guest that arrived paused; never rejects. */
  settled: Promise<{ refusal?: Error; held?: HeldGuest }>;
  /** Waits no longer; the migration goes on. */
  leave(): void;
}

/**
 * Has libvirt begin. Not awaited: see `settled`. A guest that arrives paused is let go from here at once where the
 * source let go of it, since each moment counts for it; `keepPaused` leaves it as it is.
 */
export function beginRun(
  { hypervisor: { live } }: HostParts,
  options: LiveMigrationOptions,
  { keepPaused }: { keepPaused: boolean },
): BegunRun {
  const leaving = new AbortController();
  const settled = live.begin(options, { signal: leaving.signal }).then(
    async () =>
      options.arrivePaused === true && !keepPaused ? { held: await goOnThere(live, options) } : {},
    (error: unknown) => ({ refusal: error instanceof Error ? error : new Error(String(error)) }),
  );
  return { settled, leave: () => leaving.abort() };
}

async function goOnThere(
  live: LiveHypervisor,
  { uuid, targetAddress: address, targetPort: port }: LiveMigrationOptions,
): Promise<HeldGuest> {
  const beganMs = performance.now();
  try {
    const { place } = await live.viewOf(uuid);
    if (place !== LivePlace.movedAway) return { trouble: `the source is ${place}` };
    await live.letGo(uuid, { address, ...(port === undefined ? {} : { port }) });
    return { forMs: Math.round(performance.now() - beganMs) };
  } catch (error) {
    // The workflow has the target's worker do it; the report says why that was needed.
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
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
    ...(input.hold === true ? { arrivePaused: true } : {}),
    autoConverge: wishes.autoConverge,
  };
}
