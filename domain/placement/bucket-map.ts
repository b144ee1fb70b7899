/**
 * A map that is never changed: what is set gives a new one, which shares all but one bucket with the old one. A plain map
 * would be copied whole for each of ten thousand moves.
 */
export type BucketMap<Value> = readonly ReadonlyMap<string, Value>[];

const bucketCount = 512;

export const emptyBucketMap = <Value>(): BucketMap<Value> =>
  Array.from({ length: bucketCount }, () => new Map<string, Value>());

/** Spreads keys evenly that differ in a few characters only; nothing else is asked of it. */
function bucketOf(key: string): number {
  let hash = 0;
  for (let at = 0; at < key.length; at += 1) hash = (hash * 31 + key.charCodeAt(at)) | 0;
  return (hash >>> 0) % bucketCount;
}

export const lookUp = <Value>(map: BucketMap<Value>, key: string): Value | undefined =>
  map[bucketOf(key)]?.get(key);

/** The map with `value` under `key` or, where that is undefined, without the key. */
export function withEntry<Value>(
  map: BucketMap<Value>,
  key: string,
  value: Value | undefined,
): BucketMap<Value> {
  const at = bucketOf(key);
  const bucket = new Map(map[at]);
  if (value === undefined) bucket.delete(key);
  else bucket.set(key, value);
  const changed = [...map];
  changed[at] = bucket;
  return changed;
}
