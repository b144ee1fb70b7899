/** The foreign disks into the cache of the conversion host: resumable, and only of one state of the source. */
import { unsafe, VmFerryError } from '../../domain/errors.ts';
import type { ForeignDisk, ForeignDiskHandle, ForeignSource } from '../../domain/foreign.ts';
import { modeOfImport } from '../../domain/import/mode.ts';
import type { DiskProgress } from '../../domain/move.ts';
import { isVmOff } from './off.ts';
import { copyDisk } from '../../transfer/copy.ts';
import { Journal, journalPathFor } from '../../transfer/journal.ts';
import { ReadHashes, readHashesPathFor } from '../../transfer/read-hashes.ts';
import type { Throttle } from '../../transfer/throttle.ts';
import type { Attempt } from '../boundary.ts';
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import { takenBy } from './cache.ts';
import type { CachedDiskRecord, CacheRecord } from './cache-record.ts';
import type { ImportCache } from './cache.ts';
import type { CachedDisk, CacheInput, CacheResult, ImportHeartbeat } from './contract.ts';
import type { ImportParts } from './parts.ts';
import { unpackDisks } from './unpack-disks.ts';

const chunkBytes = 2 * 1024 * 1024;

type CopyAttempt = Attempt & { throttle: Pick<Throttle, 'take'> };

/** Goes on where an earlier attempt or import ended, as long as the disks' fingerprints are the same. */
export async function ensureCached(
  parts: ImportParts,
  input: CacheInput,
  attempt: CopyAttempt,
): Promise<CacheResult> {
  const { migrationId } = input;
  const { operations } = parts.host;
  const { signal } = attempt;
  return operations.exclusive({ migrationId, name: 'cache', signal }, (inner) =>
    parts.turns.take(inner, () =>
      cacheOf(parts, input).alone('copy', inner, () =>
        copyAll(parts, input, { ...attempt, signal: inner }),
      ),
    ),
  );
}

async function copyAll(
  parts: ImportParts,
  input: CacheInput,
  attempt: CopyAttempt,
): Promise<CacheResult> {
  const { provider, migrationId, vm, running } = input;
  const { signal } = attempt;
  const cache = cacheOf(parts, input);
  const record = takenBy(input, await cache.read(), parts.server());
  await cache.write(record);
  // Before the source is opened: a guest that is paused for its copy does not stand still for it.
  const beganMs = performance.now();
  const anew = await unpackDisks({
    ...{ cache, record, keys: input.disks, signal },
    onPercent: (key, percent) => {
      const stage = `Unpacking ${key}, which was kept compressed`;
      const elapsedMs = Math.round(performance.now() - beganMs);
      attempt.report({ conversion: { stage, percent, elapsedMs } } satisfies ImportHeartbeat);
    },
  });
  const pause = running === 'pause';
  const done: CachedDisk[] = [];
  await atProvider(
    parts,
    provider,
    { label: migrationId, pause, reads: true, signal },
    async (source) => {
      if (record.reading) await source.sweep?.();
      await refuseIfAwake(source, input, { cache, record });
      record.reading = true;
      await cache.write(record);
      if (pause && !isVmOff(await source.state(vm.id)) && record.source?.paused !== true) {
        // Before it is paused: a worker that dies here must know that it may have been.
        const before = record.source ?? { wasRunning: true, stopped: false };
        record.source = { ...before, paused: true };
        await cache.write(record);
      }
      const progress = new Map<string, DiskProgress>();
      for (const disk of chosen(input)) {
        const report = (one: DiskProgress): void => {
          progress.set(one.name, one);
          attempt.report({ disks: [...progress.values()] });
        };
        const lost = anew.get(disk.key);
        const options = { parts, cache, record, disk, report, ...(lost && { lost }) };
        done.push(await copyOne(source, input, options, attempt));
      }
      await vouch(source, input, { cache, record, signal });
    },
  );
  // All is closed there; after a failure too, but then nobody is sure of it.
  record.reading = false;
  for (const disk of record.disks) if (input.disks.includes(disk.key)) disk.whole = true;
  // What was promised and turned out to be zeros is free for others; room for a conversion still is not.
  if (record.promise !== undefined)
    record.promise.neededBytes = (await cache.takenBytes()) + record.promise.besideBytes;
  await cache.write(record);
  if (record.promise?.besideBytes === 0) await cache.writesNoMore(migrationId);
  return { disks: done };
}

/** A source that is to stay off and that somebody started will not become again what was copied of it. */
async function refuseIfAwake(
  source: ForeignSource,
  { vm, running }: CacheInput,
  { cache, record }: { cache: ImportCache; record: CacheRecord },
): Promise<void> {
  if (modeOfImport(vm, { running }) === 'clone') return;
  const state = await source.state(vm.id);
  if (isVmOff(state)) return;
  await cache.dropDisks(record);
  throw unsafe({
    code: 'source-changed',
    message: `${vm.name} was to be off while it is copied, and it is ${state}`,
    remedy: 'The copy is not used. See who started it and that it stays off, then import it again.',
  });
}

/** What may be of two states of the source serves nobody. */
async function vouch(
  source: ForeignSource,
  { vm }: CacheInput,
  { cache, record, signal }: { cache: ImportCache; record: CacheRecord; signal: AbortSignal },
): Promise<void> {
  try {
    await source.verifyUnchanged(vm, signal);
  } catch (error) {
    const isChanged = error instanceof VmFerryError && error.code === 'source-changed';
    if (isChanged) await cache.dropDisks(record);
    throw error;
  }
}

/** In the request's order; a disk that is named and gone was taken out of the VM since. */
const chosen = ({ vm, disks }: CacheInput): ForeignDisk[] =>
  disks.map((key) => {
    const disk = vm.disks.find((one) => one.key === key);
    if (disk !== undefined) return disk;
    throw unsafe({
      code: 'source-changed',
      message: `${vm.name} has no disk ${key} any more`,
      remedy: 'Start the import anew: it sees the disks as they are now.',
    });
  });

interface CopyOne {
  parts: ImportParts;
  cache: ImportCache;
  record: CacheRecord;
  disk: ForeignDisk;
  report: (progress: DiskProgress) => void;
  /** Why what was kept of it is not there any more. */
  lost?: string;
}

async function copyOne(
  source: ForeignSource,
  { vm }: CacheInput,
  { parts, cache, record, disk, report, lost }: CopyOne,
  { signal, throttle }: CopyAttempt,
): Promise<CachedDisk> {
  const handle = await source.openDisk(vm, disk.key, signal);
  await using closing = new AsyncDisposableStack();
  closing.defer(() => handle.source.close());
  const { own, restarted } = await placeFor(cache, record, { disk, handle });
  const path = cache.pathOf(own);
  const sizeBytes = handle.source.sizeBytes;
  const { dataPlane } = parts.host;
  const sink = await dataPlane.openSink({ path, format: 'raw', sizeBytes, signal });
  closing.defer(() => sink.close());
  const { fingerprint } = handle;
  const journal = await Journal.open({
    path: journalPathFor(path),
    // Named by the cache, not by the import: the next import of this VM goes on with it.
    header: { moveId: cache.key, diskName: own.file, sizeBytes, fingerprint, chunkBytes },
    targetStartsZeroed: sink.startsZeroed,
  });
  closing.defer(() => journal.close());
  // It may never be read again as it is now: what was read is all that the copy can be compared with.
  const hashes = await ReadHashes.open(readHashesPathFor(path), { goesOn: journal.resumed });
  closing.defer(() => hashes.close());
  if (own.found === undefined) {
    own.found = await foundIn(handle, journal, signal);
    await cache.write(record);
  }
  const { capacityBytes } = disk;
  const result = await copyDisk({
    source: hashes.of(handle.source),
    sink,
    journal,
    throttle,
    signal,
    onProgress: (progress) => report({ name: disk.key, capacityBytes, ...progress }),
  });
  const twice = journal.askedAgainBytes + result.bytesRecopied - own.found.twiceBytes;
  const why = lost ?? restarted ?? journal.restartedBecause;
  return {
    key: disk.key,
    bytesCopied: result.totalDataBytes - own.found.bytes + twice,
    bytesRecopied: twice,
    bytesFromCache: own.found.bytes,
    ...(why === undefined ? {} : { restarted: why }),
    ...(handle.way === undefined ? {} : { way: handle.way }),
  };
}

/** The disk's image in the cache; what is there of another state of the disk goes, and what was made of it. */
async function placeFor(
  cache: ImportCache,
  record: CacheRecord,
  { disk, handle }: { disk: ForeignDisk; handle: ForeignDiskHandle },
): Promise<{ own: CachedDiskRecord; restarted?: string }> {
  const { fingerprint, source } = handle;
  const known = record.disks.find(({ key }) => key === disk.key);
  const capacityBytes = source.sizeBytes;
  if (known?.fingerprint === fingerprint && known.capacityBytes === capacityBytes)
    return { own: known };
  await cache.dropConversion();
  if (known !== undefined) await cache.dropDisk(known);
  const numbers = record.disks.map(({ file }) => Number(/\d+/.exec(file)?.[0] ?? 0));
  const own: CachedDiskRecord = {
    key: disk.key,
    file: known?.file ?? `disk-${Math.max(-1, ...numbers) + 1}.raw`,
    capacityBytes,
    fingerprint,
    whole: false,
  };
  record.disks = [...record.disks.filter((one) => one !== known), own];
  await cache.write(record);
  return known === undefined
    ? { own }
    : { own, restarted: 'the source is in another state than the one that was copied before' };
}

/** What of the source's data is there already. */
async function foundIn(
  { source }: ForeignDiskHandle,
  journal: Journal,
  signal: AbortSignal,
): Promise<{ bytes: number; twiceBytes: number }> {
  let bytes = 0;
  if (journal.resumed)
    for await (const { offset, length, zero } of source.extents(0, source.sizeBytes, signal))
      if (!zero) bytes += journal.safe.overlap(offset, length);
  return { bytes, twiceBytes: journal.askedAgainBytes };
}
