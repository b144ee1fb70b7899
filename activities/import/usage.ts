/** Looks at the disks of this conversion host, and remembers what it saw. */
import { readFile, realpath, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { mostDisks, usageOver, withSample } from '../../domain/import/usage.ts';
import type { DiskUse, UsageOverTime, UsageRing, UsageSpan } from '../../domain/import/usage.ts';
import { replaceDurably } from '../../guard/durable.ts';
import { cachedBytes } from './cache-room.ts';
import type { ImportParts } from './parts.ts';

type Place = Pick<ImportParts, 'host' | 'conversion'>;

const bytes = z.number().min(0);
const ringSchema = z.array(
  z.array(
    z.object({
      at: z.number(),
      cacheBytes: bytes,
      disks: z.record(z.string(), z.object({ usedBytes: bytes, freeBytes: bytes })),
    }),
  ),
);
/** Rows of a table; whoever wants more asks for a shorter span. */
const mostShown = 24;

const fileOf = ({ host }: Place): string => join(host.stateDir, 'conversion-usage.json');

/** One more sample. */
export async function lookAtDisks(parts: Place, nowMs = Date.now()): Promise<void> {
  const [ring, disks, cacheBytes] = await Promise.all([
    readRing(parts),
    disksOf(parts),
    cachedBytes(parts),
  ]);
  const at = Math.floor(nowMs / 1000);
  const next = withSample(ring, { at, cacheBytes, disks: disks.uses });
  const path = fileOf(parts);
  await replaceDurably({ path, temporary: `${path}.new` }, Buffer.from(JSON.stringify(next)));
}

/** What was seen over the last `span`. */
export async function conversionUsage(
  parts: Place,
  { span }: { span: UsageSpan },
  nowMs = Date.now(),
): Promise<UsageOverTime> {
  const [ring, { cacheDisk }] = await Promise.all([readRing(parts), disksOf(parts)]);
  const nowSeconds = Math.floor(nowMs / 1000);
  return { cacheDisk, samples: usageOver(ring, { span, nowSeconds, most: mostShown }) };
}

/** It is for people only: one that is missing or damaged begins anew. */
async function readRing(parts: Place): Promise<UsageRing> {
  const text = await readFile(fileOf(parts), 'utf8').catch(() => '[]');
  try {
    return ringSchema.safeParse(JSON.parse(text)).data ?? [];
  } catch {
    return [];
  }
}

/** File systems over a network or of several disks, whose source is no device. */
const withoutDevice = ['nfs', 'nfs4', 'ceph', 'zfs', 'overlay'];

interface Mount {
  source: string;
  at: string;
  type: string;
}

/** Each file system once, by the place where it is mounted first; that of the cache in any case. */
async function disksOf({
  conversion: { cacheDir },
}: Place): Promise<{ cacheDisk: string; uses: Record<string, DiskUse> }> {
  const [table, folder] = await Promise.all([
    readFile('/proc/self/mounts', 'utf8').catch(() => ''),
    realpath(cacheDir).catch(() => cacheDir),
  ]);
  const mounts = table.split('\n').flatMap(mountOf);
  const ofCache = mounts
    .filter(({ at }) => folder === at || folder.startsWith(at === '/' ? at : `${at}/`))
    .reduce<Mount | undefined>(
      // The later of two at one place lies above the other.
      (best, mount) => (best === undefined || mount.at.length >= best.at.length ? mount : best),
      undefined,
    );
  const first = new Map<string, Mount>();
  if (ofCache !== undefined) first.set(ofCache.source, ofCache);
  for (const mount of mounts) {
    const { source, type } = mount;
    const isDisk = source.startsWith('/dev/') && !source.startsWith('/dev/loop');
    if ((isDisk || withoutDevice.includes(type)) && !first.has(source)) first.set(source, mount);
  }
  const uses: Record<string, DiskUse> = {};
  for (const { at } of [...first.values()].slice(0, mostDisks)) {
    const room = await statfs(at).catch(() => undefined);
    if (room === undefined || room.blocks === 0) continue;
    const { blocks, bfree, bavail, bsize } = room;
    uses[at] = { usedBytes: (blocks - bfree) * bsize, freeBytes: bavail * bsize };
  }
  return { cacheDisk: ofCache?.at ?? '/', uses };
}

/** `device place type options 0 0`; blanks in names are written as `\040`. */
function mountOf(line: string): Mount[] {
  const [source, at, type] = line
    .split(' ')
    .map((word) =>
      word.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    );
  return source === undefined || at === undefined || type === undefined
    ? []
    : [{ source, at, type }];
}
