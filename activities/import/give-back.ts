/** The source as it was before the import: by the import's word, or where it ended without its undo. */
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import type { CacheRecord, ImportCache } from './cache.ts';
import type { RestartForeignInput, RestartForeignResult } from './contract.ts';
import { isVmOff } from './off.ts';
import type { ImportParts } from './parts.ts';

/** For so long after the import was seen to be over a stopped source is started: later on a person has seen to it, ms. */
const startsWithinMs = 30 * 60_000;

interface GiveBack {
  cache: ImportCache;
  record: CacheRecord;
  signal: AbortSignal;
}

/**
 * What this import did to the source, taken back: what a killed worker left there is ended, one that it paused goes on,
 * one that it stopped starts again if `restart` says so and the platform can do it.
 */
export async function restartForeign(
  parts: ImportParts,
  input: RestartForeignInput,
  signal: AbortSignal,
): Promise<RestartForeignResult> {
  const { migrationId, restart } = input;
  const cache = cacheOf(parts, input);
  await parts.host.operations.endAll(migrationId);
  return cache.alone('give the source back', signal, async () => {
    const record = await cache.read();
    if (record?.usedBy.migrationId !== migrationId) return untouched;
    if (record.source === undefined && !record.reading) return untouched;
    const running = await giveBack(parts, { cache, record, signal }, restart);
    return { running, wasStopped: record.source?.stopped ?? false };
  });
}

const untouched: RestartForeignResult = { running: false, wasStopped: false };

/** Under the cache's lock. Gives whether it runs then. */
async function giveBack(
  { providers }: Pick<ImportParts, 'providers'>,
  { cache, record, signal }: GiveBack,
  restart: boolean,
): Promise<boolean> {
  const { provider, usedBy, vm, source: memory, reading } = record;
  const options = { label: usedBy.migrationId, pause: false, reads: false, signal };
  return atProvider({ providers }, provider, options, async (source) => {
    if (reading) await source.sweep?.();
    const { wasRunning = false, stopped = false, paused = false } = memory ?? {};
    if (paused) await source.resume?.(vm.id);
    const starts = restart && stopped && wasRunning;
    // A guest that was asked to go down and still runs may do so yet: the upkeep of the cache looks again.
    const settled = !starts || isVmOff(await source.state(vm.id));
    if (starts) await source.start?.(vm.id);
    record.reading = false;
    if (memory !== undefined) record.source = { ...memory, paused: false, settled, restart };
    await cache.write(record);
    return !isVmOff(await source.state(vm.id));
  });
}

/** Whether an import that is over has not given its source back. */
export function owesSource({ source, reading, until, keepSeconds }: CacheRecord): boolean {
  if (reading) return true;
  if (source === undefined || source.settled === true) return false;
  if (source.paused) return true;
  const { stopped, wasRunning, restart = false, handedOver = false } = source;
  if (!stopped || !wasRunning || !restart || handedOver) return false;
  const seenOverMs = until === undefined ? Date.now() : Date.parse(until) - keepSeconds * 1000;
  return Date.now() - seenOverMs < startsWithinMs;
}

/**
 * After an import that Temporal says is over, under the cache's lock: a paused source goes on, and one that was stopped
 * starts if the import asked for that, and only while nothing can have taken the VM over.
 */
export async function settleSource(
  parts: Pick<ImportParts, 'providers'>,
  { cache, record, signal }: GiveBack,
): Promise<{ running: boolean }> {
  const { stopped = false, restart = false, handedOver = false } = record.source ?? {};
  const mayStart = stopped && restart && !handedOver && owesSource({ ...record, reading: false });
  const running = await giveBack(parts, { cache, record, signal }, mayStart);
  return { running };
}
