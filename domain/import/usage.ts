/** How full the disks of a conversion host were: finely for the last hours, coarsely for a year, in bounded room. */

/** Bytes of a file system. */
export interface DiskUse {
  usedBytes: number;
  freeBytes: number;
}

/** Of a moment, or the fullest of a span that begins then. */
export interface UsageSample {
  /** Seconds since 1970. */
  at: number;
  /** What cached VMs take up. */
  cacheBytes: number;
  /** By mount point. */
  disks: Record<string, DiskUse>;
}

/** One list a tier of `usageTiers`, the newest last. */
export type UsageRing = UsageSample[][];

export interface UsageOverTime {
  /** Mount point of the file system that has the cache. */
  cacheDisk: string;
  /** The oldest first; each is the fullest of the time until the next. Empty where nothing was looked at yet. */
  samples: UsageSample[];
}

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** Every so many seconds one sample, so many of them: 2 hours, 2 days, 1 month, 1 year. */
export const usageTiers = [
  { everySeconds: minute, most: 120 },
  { everySeconds: 15 * minute, most: 192 },
  { everySeconds: 3 * hour, most: 248 },
  { everySeconds: day, most: 366 },
] as const;

/** What may be asked for, in seconds. */
export const usageSpans = {
  '15m': 15 * minute,
  '1h': hour,
  '6h': 6 * hour,
  '1d': day,
  '7d': 7 * day,
  '30d': 30 * day,
  '1y': 365 * day,
} as const;
export type UsageSpan = keyof typeof usageSpans;
/** Disks that are looked at; a host with more keeps the first. */
export const mostDisks = 16;

/** The ring with one more look at the disks; what is older than its tier keeps is left out. */
export const withSample = (ring: UsageRing, sample: UsageSample): UsageRing =>
  usageTiers.map(({ everySeconds, most }, tier) => {
    const at = Math.floor(sample.at / everySeconds) * everySeconds;
    const known = ring[tier] ?? [];
    const last = known.at(-1);
    const next = { ...sample, at };
    // A clock that was set back goes into the span that is open.
    const kept =
      last !== undefined && last.at >= at
        ? [...known.slice(0, -1), fullest(last, next)]
        : [...known, next];
    return kept.slice(-most);
  });

/** The samples of the last `span`, by the finest tier that reaches so far back, `most` of them at most. */
export function usageOver(
  ring: UsageRing,
  { span, nowSeconds, most }: { span: UsageSpan; nowSeconds: number; most: number },
): UsageSample[] {
  const seconds = usageSpans[span];
  const reaching = usageTiers.findIndex((tier) => tier.everySeconds * tier.most >= seconds);
  const tier = reaching === -1 ? usageTiers.length - 1 : reaching;
  // The span of a sample that has begun before is not over yet.
  const since = nowSeconds - seconds - (usageTiers[tier]?.everySeconds ?? 0);
  const samples = (ring[tier] ?? []).filter(({ at }) => at > since);
  const each = Math.max(1, Math.ceil(samples.length / most));
  const parts: UsageSample[] = [];
  for (let at = 0; at < samples.length; at += each)
    parts.push(samples.slice(at, at + each).reduce(fullest));
  return parts;
}

/** Of two spans that follow each other: what was used most, disk by disk. */
function fullest(one: UsageSample, other: UsageSample): UsageSample {
  const disks = { ...one.disks };
  for (const [disk, use] of Object.entries(other.disks)) {
    const known = disks[disk];
    if (known === undefined || use.usedBytes >= known.usedBytes) disks[disk] = use;
  }
  return { at: one.at, cacheBytes: Math.max(one.cacheBytes, other.cacheBytes), disks };
}
