/** Packs or unpacks a cached VM and ends as by a power cut at a step: DIR PROVIDER pack|unpack STEP. */
import { packCaches } from '../../../activities/import/pack-caches.ts';
import { takenBy } from '../../../activities/import/cache.ts';
import { unpackDisks } from '../../../activities/import/unpack-disks.ts';
import { KeptCache } from '../../quick/import/kept-cache.ts';
import { PlayedSource } from '../../quick/import/played-source.ts';

const [dir = '', provider = '', what = '', last = ''] = process.argv.slice(2);
const never = new AbortController().signal;
const kept = await KeptCache.in(dir, new PlayedSource(), { provider, compress: true });
const onStep = (step: string): void => {
  if (step === last) process.kill(process.pid, 'SIGKILL');
};
if (what === 'pack') {
  await packCaches(kept.parts, { signal: never, log: () => undefined, onStep });
} else {
  const { cache, ref, parts } = kept;
  await cache.alone('copy', never, async () => {
    const record = takenBy({ ...ref, migrationId: 'two' }, await cache.read(), parts.server());
    await cache.write(record);
    const keys = record.disks.map(({ key }) => key);
    await unpackDisks({ cache, record, keys, signal: never, onStep });
  });
}
