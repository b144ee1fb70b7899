/** What a conversion host remembers of a cached VM, and of what its import did to the source. */
import { z } from 'zod';

const diskSchema = z.object({
  key: z.string().max(256),
  /** Its image in the folder. Names are ours: keys come from a foreign platform. */
  file: z.string().regex(/^disk-\d{1,4}\.raw$/),
  capacityBytes: z.int().min(0),
  fingerprint: z.string().max(4096),
  /** All of it is there, and `verifyUnchanged` vouched for it. */
  whole: z.boolean(),
  /** It was read back and is what was read of the source. */
  compared: z.boolean().optional(),
  /** The copy is the packed one, and there is no image: whichever of the two this does not name is a leftover. */
  packed: z.boolean().optional(),
  /** Packing it was tried, and is of no use. */
  staysRaw: z.boolean().optional(),
  /** What the journal told when the import of `usedBy` first opened it: absent before that. */
  found: z
    .object({
      /** Data that was there. */
      bytes: z.int().min(0),
      /** What had been asked for more than once. */
      twiceBytes: z.int().min(0),
    })
    .optional(),
});

/** What stands in a cache's `record.json`. */
export const recordSchema = z.object({
  /** 2 while a disk is packed: a worker that does not know of that must not take the image for there. */
  version: z.union([z.literal(1), z.literal(2)]),
  provider: z.string(),
  vm: z.object({ id: z.string(), name: z.string() }),
  disks: z.array(diskSchema).max(256),
  /** The import that uses it, or used it last. */
  usedBy: z.object({
    moveId: z.string(),
    migrationId: z.string(),
    server: z.object({ clusterId: z.string(), namespaceId: z.string() }),
  }),
  /** What that import did to the source. */
  source: z
    .object({
      wasRunning: z.boolean(),
      /** It was asked to go down, or was about to be. */
      stopped: z.boolean(),
      /** Its guest did not follow in time: its power was cut, or was about to be. */
      forced: z.boolean().optional(),
      /** It was paused, or was about to be. */
      paused: z.boolean(),
      /** Wall clock of this host, ms, when it was seen to be off. */
      offAtMs: z.number().optional(),
      /** Whether one that ran is started again where the import does not come to its end. */
      restart: z.boolean().optional(),
      /** The target may own the VM from now on: nobody but the import itself, or a person, may start the source. */
      handedOver: z.boolean().optional(),
      /** It was given back. */
      settled: z.boolean().optional(),
    })
    .optional(),
  /** Disks are open at the source, or were when a worker was killed: then something of it may be left there. */
  reading: z.boolean().default(false),
  /** Room that is promised to that import; what it has written already is part of it. Absent: it writes no more. */
  promise: z.object({ neededBytes: z.int().min(0), besideBytes: z.int().min(0) }).optional(),
  /** For how long it is kept once that import is over. */
  keepSeconds: z.int().min(0),
  /** What is kept is compressed once that import is over. */
  compress: z.boolean().optional(),
  /** ISO 8601, UTC: nobody uses it, and from then on it may go. Absent while it is in use. */
  until: z.string().optional(),
});

export type CacheRecord = z.infer<typeof recordSchema>;
export type CachedDiskRecord = CacheRecord['disks'][number];

/** The disk, if all of its image is there as it came: a packed one has to be unpacked first. */
export const wholeImage = (
  record: CacheRecord | undefined,
  key: string,
): CachedDiskRecord | undefined =>
  record?.disks.find((one) => one.key === key && one.whole && one.packed !== true);

/** For so long after the import was seen to be over a stopped source is started: later on a person has seen to it, ms. */
const startsWithinMs = 30 * 60_000;

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
