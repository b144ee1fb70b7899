import type { DiskProgress } from '../domain/move.ts';
import { copyDisk } from '../transfer/copy.ts';
import { Journal, journalPathFor } from '../transfer/journal.ts';
import type { Throttle } from '../transfer/throttle.ts';
import type { Attempt } from './boundary.ts';
import type { CopyDiskInput, CopyDiskResult } from './contract.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/** Most bytes that one record of the journal speaks of. */
const chunkBytes = 1024 * 1024;

/** Copies one disk from the source's export, going on where the journal says that an earlier attempt ended. */
export async function ensureCopied(
  parts: HostParts,
  input: CopyDiskInput,
  attempt: Attempt & { throttle: Throttle },
): Promise<CopyDiskResult> {
  const { disk, migrationId } = input;
  const operation = `copy ${disk.name}`;
  const { signal } = attempt;
  // Asked once: the copy takes long, writes only into volumes of this move, and clearing ends it first.
  await whileOurs(parts, { ref: input, states: ['incoming'], operation, signal }, () =>
    Promise.resolve(),
  );
  return parts.operations.exclusive({ migrationId, name: operation, signal }, (inner) =>
    copyNow(parts, input, { ...attempt, signal: inner }),
  );
}

async function copyNow(
  parts: HostParts,
  input: CopyDiskInput,
  at: Attempt & { throttle: Throttle },
): Promise<CopyDiskResult> {
  const { disk, migrationId } = input;
  const { signal } = at;
  const { dataPlane, name } = parts;
  const source = await dataPlane.openRemote(input.source.endpoint, { signal, host: name });
  await using closing = new AsyncDisposableStack();
  closing.defer(() => source.close());
  const { targetPath: path, targetFormat: format, capacityBytes: sizeBytes } = disk;
  const sink = await dataPlane.openSink({ path, format, sizeBytes, signal });
  closing.defer(() => sink.close());
  const { fingerprint } = input.source;
  const journal = await Journal.open({
    path: journalPathFor(path),
    header: { moveId: migrationId, diskName: disk.name, sizeBytes, fingerprint, chunkBytes },
    targetStartsZeroed: sink.startsZeroed,
  });
  closing.defer(() => journal.close());
  const earlier = await rememberRecopied(parts, input, journal);
  const result = await copyDisk({
    source,
    sink,
    journal,
    throttle: at.throttle,
    signal,
    onProgress: (progress) => at.report({ disks: [shown(disk, progress)] }),
  });
  return {
    bytesCopied: result.totalDataBytes + earlier,
    bytesRecopied: earlier,
    totalDataBytes: result.totalDataBytes,
    ...(journal.restartedBecause === undefined ? {} : { restarted: journal.restartedBecause }),
  };
}

/**
 * Adds what crosses twice because of the attempt before this one, and gives the sum over all attempts. A process that
 * is killed cannot tell what it had asked for; its journal does.
 */
async function rememberRecopied(
  parts: HostParts,
  input: CopyDiskInput,
  journal: Journal,
): Promise<number> {
  const folder = folderOf(parts, input);
  const file = `recopied-${input.disk.name}`;
  const before = Number((await folder.readFile(file)).toString());
  const sum = before + journal.startedNotDurable.bytes;
  if (sum !== before) await folder.writeFile(file, Buffer.from(String(sum)));
  return sum;
}

const shown = (
  disk: { name: string; capacityBytes: number },
  progress: Pick<DiskProgress, 'totalBytes' | 'doneBytes' | 'bytesPerSecond'>,
): DiskProgress => ({ name: disk.name, capacityBytes: disk.capacityBytes, ...progress });
