/** The source as it was before the import: by the import's word, or where it ended without its undo. */
import type { ServerIdentity } from '../../domain/orphans.ts';
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import type { CacheRecord } from './cache-record.ts';
import type { ImportCache } from './cache.ts';
import type { ImportRef, RestartForeignInput, RestartForeignResult } from './contract.ts';
import { isVmOff } from './off.ts';
import { owesSource } from './cache-record.ts';
import type { ImportParts } from './parts.ts';

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

/**
 * What an import before this one still owes to the source, before this one looks at it: the upkeep of the cache would
 * find no word of it once the cache is this one's. That the other is over is sure, since Temporal has one import under
 * an ID at a time.
 */
export async function settleFormer(
  parts: ImportParts,
  ref: ImportRef,
  signal: AbortSignal,
): Promise<void> {
  const cache = cacheOf(parts, ref);
  const owing = async (): Promise<CacheRecord | undefined> => {
    const record = await cache.read();
    return record !== undefined && isFormer(record, ref, parts.server()) && owesSource(record)
      ? record
      : undefined;
  };
  const seen = await owing();
  if (seen === undefined) return;
  await parts.host.operations.endAll(seen.usedBy.migrationId);
  await cache.alone('give the source back', signal, async () => {
    const record = await owing();
    if (record !== undefined) await settleSource(parts, { cache, record, signal });
  });
}

const isFormer = (
  { usedBy }: CacheRecord,
  { moveId, migrationId }: ImportRef,
  { clusterId, namespaceId }: ServerIdentity,
): boolean =>
  usedBy.moveId === moveId &&
  usedBy.migrationId !== migrationId &&
  usedBy.server.clusterId === clusterId &&
  usedBy.server.namespaceId === namespaceId;
