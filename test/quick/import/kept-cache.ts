/** A cached VM whose import is over and asked for its cache to be compressed. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { cacheOf } from '../../../activities/import/cache-of.ts';
import type { CacheRecord } from '../../../activities/import/cache-record.ts';
import type { ImportCache } from '../../../activities/import/cache.ts';
import type { CacheResult, ImportRef } from '../../../activities/import/contract.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import { keepCache } from '../../../activities/import/keep-cache.ts';
import { packCaches } from '../../../activities/import/pack-caches.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { conversionHost, MiB, refOf } from './played-source.ts';
import type { PlayedSource } from './played-source.ts';

const never = new AbortController().signal;

/** Text between zeroes and numbers that do not repeat: a guest's disk in small. */
export function guestBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  bytes.fill('the quick brown fox ', MiB, 3 * MiB);
  for (let at = 3 * MiB; at + 4 <= 4 * MiB; at += 4) bytes.writeUInt32LE(at, at);
  bytes.fill('x', sizeBytes - 100);
  return bytes;
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export class KeptCache {
  readonly parts: ImportParts;
  readonly source: PlayedSource;
  readonly ref: ImportRef;
  /** What the upkeep said. */
  readonly said: string[] = [];

  private constructor(parts: ImportParts, source: PlayedSource, ref: ImportRef) {
    this.parts = parts;
    this.source = source;
    this.ref = ref;
  }

  static async in(
    dir: string,
    source: PlayedSource,
    of: Partial<ImportRef> = { compress: true },
  ): Promise<KeptCache> {
    return new KeptCache(await conversionHost(dir, source), source, { ...refOf('one'), ...of });
  }

  get cache(): ImportCache {
    return cacheOf(this.parts, this.ref);
  }

  async record(): Promise<CacheRecord> {
    const record = await this.cache.read();
    if (record === undefined) throw new Error('nothing is cached');
    return record;
  }

  /** What heartbeats of copies said, one after the other. */
  readonly beats: unknown[] = [];

  copy(migrationId: string, signal = never): Promise<CacheResult> {
    const disks = [...this.source.disks.keys()];
    return ensureCached(
      this.parts,
      {
        ...{ ...this.ref, migrationId, vm: this.source.vm, disks },
        ...{ bandwidthBytesPerSecond: 0, running: 'shutdown' },
      },
      {
        signal,
        report: (beat) => this.beats.push(beat),
        throttle: { take: () => Promise.resolve() },
      },
    );
  }

  keep = (migrationId: string) =>
    keepCache(this.parts, { ...this.ref, migrationId, seconds: 600 }, never);

  /** One look of the upkeep. */
  pack = (signal = never): Promise<void> =>
    packCaches(this.parts, {
      ...{ signal, log: (_level, _facts, message) => this.said.push(message) },
    });

  /** Of what lies in the folder, without the record: names and what they take up. */
  async files(): Promise<Record<string, number>> {
    const { folder } = this.cache;
    const names = (await readdir(folder)).filter((name) => /raw$|packed/.test(name));
    const taken = await Promise.all(
      names.toSorted().map(async (name) => [name, (await stat(join(folder, name))).blocks * 512]),
    );
    return Object.fromEntries(taken) as Record<string, number>;
  }

  /** Hashes of what the cache has, and of what the source has. */
  async hashes(): Promise<{ cached: string[]; source: string[] }> {
    const { disks } = await this.record();
    const images = await Promise.all(disks.map((disk) => readFile(this.cache.pathOf(disk))));
    const source = disks.map(({ key }) => this.source.disks.get(key)?.bytes ?? Buffer.alloc(0));
    return { cached: images.map(hashOf), source: source.map(hashOf) };
  }
}

/**
 * A folder for the front of PATH with a `qemu-img` that writes its PID into `started` and hangs while a file `hang` is
 * there, that knows no zstd while `old` is, and is the real one otherwise.
 */
export async function qemuImgStandIn(
  dir: string,
): Promise<{ path: string; hang: string; old: string; started: string }> {
  const bin = join(dir, 'bin');
  const files = { hang: join(dir, 'hang'), old: join(dir, 'old'), started: join(dir, 'started') };
  await mkdir(bin);
  const path = process.env['PATH'] ?? '';
  const script = `#!/bin/sh
if [ -e '${files.hang}' ] && [ "$1" = convert ]; then
  echo $$ >'${files.started}.new'
  mv '${files.started}.new' '${files.started}'
  exec sleep 600
fi
case "$*" in *zstd*) if [ -e '${files.old}' ]; then
  echo "qemu-img: Parameter 'compression-type' does not accept value 'zstd'" >&2
  exit 1
fi;; esac
PATH='${path}' exec qemu-img "$@"
`;
  await writeFile(join(bin, 'qemu-img'), script, { mode: 0o755 });
  return { path: [bin, path].join(delimiter), ...files };
}
