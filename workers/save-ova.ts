/**
 * Puts an OVA that comes as a stream into the folder of a provider. Disks are read by position, and again when an import
 * resumes: a stream offers neither, so it becomes a file first, which nobody sees under its name before it is whole.
 */
import { randomUUID } from 'node:crypto';
import { link, open, opendir, rm, stat, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Handling, needsOperator, permanent, transient, VmFerryError } from '../domain/errors.ts';
import type { ForeignVmSummary } from '../domain/foreign.ts';
import { openOva } from '../platforms/ova/source.ts';
import type { OvaSource } from '../platforms/ova/source.ts';
import { checkTarStart, tarStartBytes } from '../platforms/ova/tar-start.ts';

export interface SaveOva {
  /** The provider's. */
  folder: string;
  /** What it is to be called there: no path, and it ends with `.ova`. */
  file: string;
  from: Readable;
  signal?: AbortSignal;
  onProgress?: (doneBytes: number) => void;
  /** Room that is left to others on the folder's file system, bytes; 1 GiB if absent. */
  leaveBytes?: number;
  /** A stream that brings nothing for so long has ended without saying so; 10 minutes if absent. */
  idleMs?: number;
}

export interface SavedOva {
  path: string;
  sizeBytes: number;
  machines: Pick<ForeignVmSummary, 'id' | 'name' | 'memoryBytes' | 'cpus' | 'diskBytes'>[];
}

const gibibyte = 1024 ** 3;
const defaultIdleMs = 600_000;
/** How often the room is looked at: between two looks far less than the reserve is written. */
const lookEveryBytes = 64 * 1024 * 1024;
const maxNameBytes = 200;
/** A stream in which nothing moves ends long before: what is older was left by a process that was killed. */
const partsKeptMs = 24 * 3600 * 1000;
const partForm = /^\.vmferry-[0-9a-f-]{36}\.part$/;

/**
 * Throws `ova-name`, `ova-exists`, `ova-no-room`, `ova-folder-unwritable`, `ova-stalled`, and what a reader throws of an
 * OVA that is none, cut off or meant to do harm; rejects with the signal's reason. Whatever it throws, nothing is left.
 */
export async function saveOva(request: SaveOva): Promise<SavedOva> {
  const { folder, file, signal } = request;
  checkName(file);
  const path = join(folder, file);
  if (await isThere(path)) throw exists(path);
  const part = join(folder, `.vmferry-${randomUUID()}.part`);
  try {
    await dropLeftParts(folder);
    const sizeBytes = await receive(part, request);
    const machines = await machinesOf(part, { path, ...(signal && { signal }) });
    signal?.throwIfAborted();
    // Never over another file, also not over one that came meanwhile.
    await link(part, path);
    await syncFolder(folder);
    return { path, sizeBytes, machines };
  } catch (error) {
    signal?.throwIfAborted();
    throw systemFault(error, { folder, path });
  } finally {
    await rm(part, { force: true });
  }
}

async function receive(part: string, request: SaveOva): Promise<number> {
  const { folder, file, from, onProgress } = request;
  const { leaveBytes = gibibyte, idleMs = defaultIdleMs } = request;
  const idle = new AbortController();
  const timer = setTimeout(() => idle.abort(stalled(file, idleMs)), idleMs);
  const own = request.signal === undefined ? [] : [request.signal];
  const signal = AbortSignal.any([idle.signal, ...own]);
  // Whoever reads an OVA reads the disk of somebody's machine.
  const to = await open(part, 'wx', 0o600);
  try {
    let done = 0;
    let lookedAt = -lookEveryBytes;
    let start = Buffer.alloc(0);
    await pipeline(
      from,
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          timer.refresh();
          if (start.length < tarStartBytes) {
            start = Buffer.concat([start, chunk]).subarray(0, tarStartBytes);
            if (start.length === tarStartBytes) checkTarStart(start, file);
          }
          if (done - lookedAt >= lookEveryBytes) {
            await checkRoom(folder, leaveBytes);
            lookedAt = done;
          }
          await writeAll(to, chunk);
          done += chunk.length;
          timer.refresh();
          onProgress?.(done);
        }
      },
      { signal },
    );
    await to.sync();
    return done;
  } catch (error) {
    // Of an abort the pipeline tells only that it was one.
    throw idle.signal.aborted ? idle.signal.reason : error;
  } finally {
    clearTimeout(timer);
    await to.close();
  }
}

async function writeAll(to: FileHandle, chunk: Buffer): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await to.write(chunk, at)).bytesWritten;
}

/** Opened as an import opens it: a stream that broke off ends like one that is whole. */
async function machinesOf(
  part: string,
  { path, signal }: { path: string; signal?: AbortSignal },
): Promise<SavedOva['machines']> {
  try {
    await using ova = await openOva({ path: part }, signal);
    const machines = [];
    for await (const machine of ova.list(signal)) {
      const { id, name, memoryBytes, cpus, diskBytes } = machine;
      await refuseTorn(ova, id, signal);
      machines.push({ id, name, memoryBytes, cpus, diskBytes });
    }
    return machines;
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    // The part is gone by the time that somebody reads this.
    const message = error.message.replaceAll(part, `what came for ${path}`);
    throw new VmFerryError(error.handling, {
      ...{ code: error.code, message, cause: error },
      remedy: `${error.remedy} A stream that broke off looks the same: see that whatever wrote it ended well.`,
    });
  }
}

/** A disk of which a part is missing is a matter of the stream; one that nobody here can read is told by `inspect`. */
async function refuseTorn(ova: OvaSource, id: string, signal?: AbortSignal): Promise<void> {
  const concerns = await ova.concerns(await ova.inspect(id, signal), signal);
  const torn = concerns.find(
    ({ code, level }) => level === 'critical' && code !== 'ova-unsupported',
  );
  if (torn !== undefined) throw permanent(torn);
}

function checkName(file: string): void {
  const isPlain = /^[^./\p{Cc}][^/\p{Cc}]*\.ova$/iu.test(file);
  if (isPlain && Buffer.byteLength(file) <= maxNameBytes) return;
  throw permanent({
    code: 'ova-name',
    message: `${JSON.stringify(file.slice(0, 120))} cannot be the name of an OVA in a provider's folder`,
    remedy: `Give a name without a folder, of ${maxNameBytes} bytes at most, that begins with no dot and ends with .ova.`,
  });
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function checkRoom(folder: string, leaveBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < leaveBytes + lookEveryBytes) throw noRoom(folder);
}

async function dropLeftParts(folder: string): Promise<void> {
  for await (const { name } of await opendir(folder)) {
    if (!partForm.test(name)) continue;
    const path = join(folder, name);
    const look = await stat(path).catch(() => undefined);
    if (look !== undefined && Date.now() - look.mtimeMs > partsKeptMs)
      await rm(path, { force: true });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const exists = (path: string, cause?: unknown) =>
  permanent({
    code: 'ova-exists',
    message: `there is a ${path} already`,
    remedy: 'Give another name, or delete that file first if no import reads it.',
    ...(cause === undefined ? {} : { cause }),
  });

const noRoom = (folder: string, cause?: unknown) =>
  needsOperator({
    code: 'ova-no-room',
    message: `no room is left in ${folder} for the OVA`,
    remedy: 'Make room there, or name a provider whose folder has more; then send it again.',
    ...(cause === undefined ? {} : { cause }),
  });

const stalled = (file: string, idleMs: number) =>
  transient({
    code: 'ova-stalled',
    message: `nothing of ${file} came for ${Math.round(idleMs / 1000)} s`,
    remedy: 'See what writes into the pipe; then send it again.',
  });

/** What the folder refuses, in words; other errors pass unchanged. */
function systemFault(error: unknown, { folder, path }: { folder: string; path: string }): unknown {
  if (error instanceof VmFerryError || !(error instanceof Error) || !('code' in error))
    return error;
  switch (error.code) {
    case 'EEXIST':
      return exists(path, error);
    case 'ENOSPC':
    case 'EDQUOT':
      return noRoom(folder, error);
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'EOPNOTSUPP':
      return new VmFerryError(Handling.needsOperator, {
        code: 'ova-folder-unwritable',
        message: `${folder} takes no file: ${error.message}`,
        remedy:
          'See that the folder is there, that you may write to it, and that its file system knows hard links.',
        cause: error,
      });
    default:
      return error;
  }
}
