import { newPlaces } from '../ensure-defined.ts';
import { LivePlace } from '../../domain/live-outcome.ts';
import type { HeldGuest, MoveLiveInput } from '../contract.ts';
import type { HostParts, LiveHypervisor } from '../parts.ts';
import type { LiveMigrationOptions } from '../../platforms/libvirt/live/options.ts';
import { mebibytesOf } from './limits.ts';

/** What became of a guest that arrived paused. */
export interface LetGo extends HeldGuest {
  /** When it was known to go on, by `performance.now()`. */
  atMs?: number;
}

/** A call to libvirt that lasts as long as the migration. */
export interface BegunRun {
  /** Resolves with what libvirt said at its end, and what became of a guest that arrived paused; never rejects. */
  settled: Promise<{ refusal?: Error; held?: LetGo }>;
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
  const { signal } = leaving;
  const isHeld = options.arrivePaused === true && !keepPaused;
  // By the process, since libvirt tells of its end only once it has cleared up after it.
  const gone = isHeld ? live.untilQemuIsGone(options.uuid, signal) : undefined;
  const call = live.begin(options, { signal });
  const held = gone === undefined ? undefined : goOnThere(live, options, { gone, call });
  const settled = call.then(
    async () => (held === undefined ? {} : { held: await held }),
    (error: unknown) => {
      leaving.abort();
      return { refusal: error instanceof Error ? error : new Error(String(error)) };
    },
  );
  return { settled, leave: () => leaving.abort() };
}

/** Lets the guest go there as soon as it is certain that it is gone from here. */
async function goOnThere(
  live: LiveHypervisor,
  { uuid, targetAddress: address, targetPort: port }: LiveMigrationOptions,
  { gone, call }: { gone: Promise<void>; call: Promise<void> },
): Promise<LetGo> {
  let sinceMs = performance.now();
  try {
    await gone
      .catch(async () => {
        await call;
        const { place } = await live.viewOf(uuid);
        if (place !== LivePlace.movedAway) throw new Error(`the source is ${place}`);
      })
      .finally(() => (sinceMs = performance.now()));
    const target = { address, ...(port === undefined ? {} : { port }) };
    if (!(await live.letGo(uuid, target))) throw new Error('it is not held there');
    const atMs = performance.now();
    return { forMs: Math.round(atMs - sinceMs), atMs };
  } catch (error) {
    // The workflow has the target's worker do it; the report says why that was needed.
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
}

const copiedIn = ({ disks }: MoveLiveInput) => disks.filter(({ how }) => how === 'copy');

/** How many disks are copied along. */
export const copiesOf = (input: MoveLiveInput): number => copiedIn(input).length;

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
  const copyDisks = copiedIn(input).map(({ name }) => name);
  // libvirt gives each disk that is copied along all of it, at one time.
  const cap = Math.floor(bandwidthBytesPerSecond / Math.max(1, copyDisks.length));
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
      ? { bandwidthMiBPerSecond: mebibytesOf(Math.max(1, cap)) }
      : {}),
    maxDowntimeMs: Math.max(1, Math.round(wishes.maxDowntimeMs)),
    ...(parallelConnections === undefined ? {} : { parallelConnections }),
    ...(compression === undefined ? {} : { compression }),
    allowPostCopy: wishes.postCopy,
    ...(input.hold === true ? { arrivePaused: true } : {}),
    autoConverge: wishes.autoConverge,
  };
}
