import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reserveCache } from '../../../activities/import/cache-room.ts';
import { checkForeign } from '../../../activities/import/look.ts';
import { cacheOf } from '../../../activities/import/cache-of.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import { dropCache, expireCaches, keepCache } from '../../../activities/import/keep-cache.ts';
import type { CacheUpkeep } from '../../../activities/import/keep-cache.ts';
import { conversionFacts } from '../../../activities/import/conversion-facts.ts';
import { restartForeign } from '../../../activities/import/give-back.ts';
import { stopForeign } from '../../../activities/import/stop-foreign.ts';
import { verifyCached } from '../../../activities/import/verify-cached.ts';
import { verifyForeign } from '../../../activities/import/verify-foreign.ts';
import type { CacheInput, StopForeignInput } from '../../../activities/import/contract.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { endLabelled, labelledProcesses, runLabelled } from '../../../convert/labelled-process.ts';
import { permanent } from '../../../domain/errors.ts';
import type { MoveFate } from '../../../domain/orphans.ts';
import { conversionHost, MiB, PlayedSource, refOf } from './played-source.ts';

const keys = ['2000', '2001'];
let dir: string;
let source: PlayedSource;
let parts: ImportParts;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-cache-'));
  source = new PlayedSource();
  for (const key of keys) source.disks.set(key, { bytes: randomBytes(6 * MiB), fingerprint: 'a' });
  parts = await conversionHost(dir, source);
});
afterEach(async () => {
  // Nothing may stay open at a source, whatever came of it.
  expect(source.opened).toBe(0);
  await rm(dir, { recursive: true, force: true });
});

const never = new AbortController().signal;
const inputOf = (migrationId: string): CacheInput => ({
  ...refOf(migrationId),
  ...{ vm: source.vm, disks: keys, bandwidthBytesPerSecond: 0, running: 'shutdown' },
});
const copy = (migrationId: string, signal = never) =>
  ensureCached(parts, inputOf(migrationId), {
    ...{ signal, report: () => undefined, throttle: { take: () => Promise.resolve() } },
  });
/** SHA-256 of each: megabytes are compared by them at once. */
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const images = async (): Promise<string[]> => {
  const cache = cacheOf(parts, refOf('one'));
  const disks = (await cache.read())?.disks ?? [];
  return Promise.all(disks.map(async (disk) => hashOf(await readFile(cache.pathOf(disk)))));
};
const content = (): string[] => [...source.disks.values()].map(({ bytes }) => hashOf(bytes));

describe('the cache of a conversion host', () => {
  it('holds the bytes of each disk, and serves the next import of the VM without a copy', async () => {
    const first = await copy('one');
    expect(first.disks).toMatchObject(
      keys.map((key) => ({ key, bytesCopied: 6 * MiB, bytesRecopied: 0, bytesFromCache: 0 })),
    );
    expect(await images()).toEqual(content());
    const second = await copy('two');
    expect(second.disks).toMatchObject(
      keys.map((key) => ({ key, bytesCopied: 0, bytesRecopied: 0, bytesFromCache: 6 * MiB })),
    );
    expect(source.readBytes).toBe(12 * MiB);
  });

  it('is compared with what was read, once, and a copy that is another is made anew', async () => {
    await copy('one');
    const compare = () => verifyCached(parts, inputOf('one'), { signal: never });
    await compare();
    const cache = cacheOf(parts, refOf('one'));
    const disks = (await cache.read())!.disks;
    expect(disks.map(({ compared }) => compared)).toEqual([true, true]);
    await copy('two');
    await cache.write({
      ...(await cache.read())!,
      disks: disks.map(({ compared: _, ...disk }) => disk),
    });
    const rotten = await open(cache.pathOf(disks[1]!), 'r+');
    await rotten.write(Buffer.from([1, 2, 3, 4]), 0, 4, 5 * MiB);
    await rotten.close();
    await expect(compare()).rejects.toMatchObject({ code: 'copy-differs', handling: 'transient' });
    expect((await copy('one')).disks).toMatchObject([
      { bytesCopied: 0, bytesFromCache: 6 * MiB },
      { bytesCopied: 6 * MiB, bytesFromCache: 0 },
    ]);
    await compare();
    expect(await images()).toEqual(content());
  });

  it('goes on where an attempt was ended', async () => {
    const stop = new AbortController();
    source.onRead = () => {
      if (source.readBytes >= 8 * MiB) stop.abort(new Error('ended'));
    };
    await expect(copy('one', stop.signal)).rejects.toThrow();
    source.onRead = () => undefined;
    const { disks } = await copy('one');
    // What the ended attempt may have left at the source goes first.
    expect(source.asked).toEqual(['sweep']);
    // The first disk was whole; of the second only what had not become durable crosses again.
    expect(disks[0]).toMatchObject({ bytesCopied: 6 * MiB, bytesRecopied: 0 });
    expect(source.readBytes).toBeLessThanOrEqual(12 * MiB + 2 * MiB);
    expect(await images()).toEqual(content());
  });

  it('copies a disk anew that is in another state, and says why', async () => {
    await copy('one');
    source.disks.set('2001', { bytes: randomBytes(6 * MiB), fingerprint: 'b' });
    const { disks } = await copy('two');
    expect(disks[0]).toMatchObject({ bytesCopied: 0 });
    expect(disks[1]).toMatchObject({ bytesCopied: 6 * MiB });
    expect(disks[1]?.restarted).toContain('another state');
    expect(await images()).toEqual(content());
  });

  it('drops what was read of two states of the source', async () => {
    source.isChanged = true;
    await expect(copy('one')).rejects.toMatchObject({ code: 'source-changed' });
    expect(await images()).toEqual([]);
  });

  it('is not filled from a source that somebody started', async () => {
    const input = inputOf('one');
    source.state_ = 'running';
    const filled = ensureCached(parts, input, {
      ...{ signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
    });
    await expect(filled).rejects.toMatchObject({ code: 'source-changed', handling: 'unsafe' });
    expect(source.readBytes).toBe(0);
  });

  it('finds out by reading back that a stopped source runs again, or was written', async () => {
    await copy('one');
    await verifyForeign(parts, inputOf('one'), never);
    source.state_ = 'running';
    await expect(verifyForeign(parts, inputOf('one'), never)).rejects.toMatchObject({
      code: 'source-changed',
    });
    expect(await images()).toEqual([]);
    source.state_ = 'shut-off';
    await copy('one');
    source.disks.set('2000', { bytes: randomBytes(6 * MiB), fingerprint: 'b' });
    await expect(verifyForeign(parts, inputOf('one'), never)).rejects.toMatchObject({
      code: 'source-changed',
    });
  });

  it('tells what running imports have still to write', async () => {
    const need = { neededBytes: 12 * MiB, besideBytes: 5 * MiB };
    await reserveCache(parts, { ...refOf('one'), ...need }, { signal: never });
    await copy('one');
    expect(await conversionFacts(parts, never)).toMatchObject({
      ...{ running: 1, promisedBytes: 5 * MiB },
    });
    await keepCache(parts, { ...refOf('one'), seconds: 60 }, never);
    expect(await conversionFacts(parts, never)).toMatchObject({ running: 0, promisedBytes: 0 });
  }, 20_000);

  it('works on an import no longer than until it is copied, if nothing is converted', async () => {
    const need = { neededBytes: 12 * MiB, besideBytes: 0 };
    await reserveCache(parts, { ...refOf('one'), ...need }, { signal: never });
    expect((await conversionFacts(parts, never)).running).toBe(1);
    await copy('one');
    expect((await conversionFacts(parts, never)).running).toBe(0);
  }, 20_000);
});

const upkeep = (state: MoveFate['state'], log: CacheUpkeep['log'] = () => undefined) => ({
  fateOf: () =>
    Promise.resolve({ state, how: 'terminated', why: 'unclear', detail: '' } as MoveFate),
  ...{ log, signal: never },
});

describe('what is left of an import', () => {
  const folders = () => readdir(join(dir, 'cache'));

  it('is kept for a while, and goes once its time is up', async () => {
    await copy('one');
    const { until } = await keepCache(parts, { ...refOf('one'), seconds: 60 }, never);
    expect(Date.parse(until ?? '') - Date.now()).toBeGreaterThan(50_000);
    await expireCaches(parts, upkeep('closed'));
    expect(await folders()).toHaveLength(1);
    const cache = cacheOf(parts, refOf('one'));
    const record = await cache.read();
    await cache.write({ ...record!, until: new Date(Date.now() - 1).toISOString() });
    await expireCaches(parts, upkeep('unknown'));
    expect(await folders()).toEqual([]);
  });

  it('gets its time from the upkeep where the import ended without a last word', async () => {
    await copy('one');
    for (const state of ['open', 'unknown'] as const) {
      await expireCaches(parts, upkeep(state));
      expect((await cacheOf(parts, refOf('one')).read())?.until).toBeUndefined();
    }
    await expireCaches(parts, upkeep('closed'));
    expect((await cacheOf(parts, refOf('one')).read())?.until).toBeDefined();
  });

  it('is let alone by an import that is over, once another one uses it', async () => {
    await copy('one');
    await copy('two');
    expect(await keepCache(parts, { ...refOf('one'), seconds: 0 }, never)).toEqual({});
    expect(await images()).toEqual(content());
  });

  it('ends what works on it, and nothing of a host that works on the same VM elsewhere', async () => {
    const other = await conversionHost(join(dir, 'other'), source);
    const beginAt = async (host: ImportParts) => {
      const id = cacheOf(host, refOf('one')).label;
      const program = { program: 'sleep', args: ['30'], env: {}, cwd: '/', limitMs: 60_000 };
      const ended = runLabelled({ id, ...program });
      await expect.poll(() => labelledProcesses(id)).toHaveLength(1);
      return { ended, left: () => labelledProcesses(id) };
    };
    const [here, elsewhere] = [await beginAt(parts), await beginAt(other)];
    await copy('one');
    await keepCache(parts, { ...refOf('one'), seconds: 0 }, never);
    expect(await here.left()).toEqual([]);
    expect(await elsewhere.left()).toHaveLength(1);
    await endLabelled(cacheOf(other, refOf('one')).label);
    await Promise.all([here.ended, elsewhere.ended]);
  });

  it('is dropped by a person, but not while it is in use', async () => {
    await copy('one');
    const { provider, foreign } = refOf('one');
    await expect(dropCache(parts, { provider, foreign }, never)).rejects.toMatchObject({
      code: 'cache-in-use',
    });
    await keepCache(parts, { ...refOf('one'), seconds: 60 }, never);
    await dropCache(parts, { provider, foreign }, never);
    expect(await folders()).toEqual([]);
  });
});

describe('a source that runs', () => {
  beforeEach(() => {
    source.state_ = 'running';
  });
  const stop = (
    running: StopForeignInput['running'],
    shutdownTimeoutMs: number,
    askAgainMs = shutdownTimeoutMs,
  ) => {
    const input = { ...refOf('one'), running, shutdownTimeoutMs, restart: true };
    return stopForeign(parts, input, never, { askAgainMs });
  };
  const deaf = () => {
    const message = 'its tools do not run';
    throw permanent({ code: 'shutdown-unsupported', message, remedy: 'none' });
  };

  it('is powered off if that was asked, and started again with the word to do so', async () => {
    expect(await stop('force-off', 1_000)).toMatchObject({ wasRunning: true });
    expect(source.state_).toBe('shut-off');
    // A later attempt finds it off, and still knows that it ran.
    expect(await stop('force-off', 1_000)).toMatchObject({ wasRunning: true });
    const left = await restartForeign(parts, { ...refOf('one'), restart: false }, never);
    expect(left).toEqual({ running: false, wasStopped: true });
    const back = await restartForeign(parts, { ...refOf('one'), restart: true }, never);
    expect(back).toEqual({ running: true, wasStopped: true });
  });

  it('is asked to shut down again and again: a guest that starts hears nothing yet', async () => {
    source.onShutdown = () => {
      if (source.asked.length < 3) deaf();
      source.state_ = 'shut-off';
    };
    const stopped = await stop('shutdown', 60_000, 10);
    expect(stopped).toEqual({ wasRunning: true, downForMs: expect.any(Number) as number });
    expect(source.asked).toEqual(['shutdown', 'shutdown', 'shutdown']);
  });

  it('is left running where it does not follow in time, and why is told', async () => {
    await expect(stop('shutdown', 30, 20)).rejects.toMatchObject({ code: 'shutdown-timed-out' });
    expect(source.asked).toEqual(['shutdown', 'shutdown']);
    source.onShutdown = deaf;
    await expect(stop('shutdown', 30)).rejects.toMatchObject({
      code: 'shutdown-timed-out',
      message: expect.stringContaining('its tools do not run') as string,
    });
    expect(source.state_).toBe('running');
  });

  it('is powered off where it does not follow in time, if that was asked, which every attempt tells', async () => {
    source.onShutdown = deaf;
    for (const attempt of [1, 2])
      expect(await stop('shutdown-or-force-off', 30), String(attempt)).toMatchObject({
        ...{ wasRunning: true, forced: true },
      });
    expect(source.asked).toEqual(['shutdown', 'force-off']);
    const back = await restartForeign(parts, { ...refOf('one'), restart: true }, never);
    expect(back).toEqual({ running: true, wasStopped: true });
  });

  it('is not powered off where it follows in time', async () => {
    source.onShutdown = () => {
      source.state_ = 'shut-off';
    };
    expect(await stop('shutdown-or-force-off', 30)).not.toHaveProperty('forced');
    expect(source.asked).toEqual(['shutdown']);
  });

  it('is not started by the undo of an import that did not stop it', async () => {
    source.state_ = 'shut-off';
    await stop('shutdown', 50);
    await restartForeign(parts, { ...refOf('one'), restart: true }, never);
    expect(source.asked).toEqual([]);
  });

  it('is rid of what a killed worker left, where the import ends after that', async () => {
    const stopped = new AbortController();
    source.onRead = () => stopped.abort(new Error('killed'));
    await expect(
      ensureCached(
        parts,
        { ...inputOf('one'), running: 'leave' },
        {
          ...{ signal: stopped.signal, report: () => undefined },
          throttle: { take: () => Promise.resolve() },
        },
      ),
    ).rejects.toThrow();
    for (let twice = 0; twice < 2; twice += 1)
      await restartForeign(parts, { ...refOf('one'), restart: true }, never);
    expect(source.asked).toEqual(['sweep']);
  });

  it('goes on after a pause', async () => {
    await ensureCached(
      parts,
      { ...inputOf('one'), running: 'pause' },
      { signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
    );
    await restartForeign(parts, { ...refOf('one'), restart: false }, never);
    expect(source.asked).toEqual(['resume']);
  });
});

describe('a source whose import ended without its undo', () => {
  const stop = (restart = true) => {
    const asked = { running: 'force-off', shutdownTimeoutMs: 1_000, restart } as const;
    return stopForeign(parts, { ...refOf('one'), ...asked }, never);
  };
  const pausedCopy = () =>
    ensureCached(
      parts,
      { ...inputOf('one'), running: 'pause' },
      { signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
    );
  beforeEach(() => {
    source.state_ = 'running';
  });

  it('goes on if it was paused, once, and only if Temporal surely says that the import is over', async () => {
    await pausedCopy();
    for (const state of ['open', 'unknown'] as const) await expireCaches(parts, upkeep(state));
    expect(source.asked).toEqual([]);
    for (let twice = 0; twice < 2; twice += 1) await expireCaches(parts, upkeep('closed'));
    expect(source.asked).toEqual(['resume']);
    // What was copied is kept for its time.
    expect((await cacheOf(parts, refOf('one')).read())?.until).toBeDefined();
  });

  it('is started again if it was stopped and the request said so', async () => {
    await stop();
    await expireCaches(parts, upkeep('closed'));
    expect(source.state_).toBe('running');
  });

  it('stays off if the request said so', async () => {
    await stop(false);
    await expireCaches(parts, upkeep('closed'));
    expect(source.asked).toEqual(['force-off']);
  });

  it('stays off where the target may have taken the VM over', async () => {
    await stop();
    await copy('one');
    await verifyForeign(parts, { ...inputOf('one'), handsOver: true }, never);
    await expireCaches(parts, upkeep('closed'));
    expect(source.state_).toBe('shut-off');
    // The import itself knows better.
    await restartForeign(parts, { ...refOf('one'), restart: true }, never);
    expect(source.state_).toBe('running');
  });

  it('is tried again where its platform did not answer, for as long as no person will have seen to it', async () => {
    await stop();
    const { providers } = parts;
    parts.providers = { ...providers, open: () => Promise.reject(new Error('nobody answers')) };
    const said: string[] = [];
    const heard = upkeep('closed', (_level, _facts, message) => said.push(message));
    await expireCaches(parts, heard);
    expect(said).toContain('could not give a source back whose import had not');
    parts.providers = providers;
    const cache = cacheOf(parts, refOf('one'));
    const record = (await cache.read())!;
    await cache.write({ ...record, keepSeconds: record.keepSeconds + 30 * 60 });
    await expireCaches(parts, heard);
    expect(source.state_).toBe('shut-off');
    await cache.write({ ...record });
    await expireCaches(parts, heard);
    expect(source.state_).toBe('running');
  });

  it('is started once its guest has gone down, where it was slow to', async () => {
    const slow = { ...refOf('one'), running: 'shutdown', shutdownTimeoutMs: 50 } as const;
    await expect(stopForeign(parts, { ...slow, restart: true }, never)).rejects.toThrow();
    await restartForeign(parts, { ...refOf('one'), restart: true }, never);
    expect(await keepCache(parts, { ...refOf('one'), seconds: 60 }, never)).toEqual({});
    source.state_ = 'shut-off';
    await expireCaches(parts, upkeep('closed'));
    expect(source.state_).toBe('running');
  });

  it('is given back before the next import of the VM looks at it', async () => {
    await stop();
    const forecast = { ...refOf('look'), moveId: 'import/default/vc/vm-42/forecast' };
    expect((await checkForeign(parts, forecast, never)).vm.state).toBe('shut-off');
    for (let twice = 0; twice < 2; twice += 1)
      expect((await checkForeign(parts, refOf('two'), never)).vm.state).toBe('running');
    expect(source.asked).toEqual(['force-off', 'start']);
  });

  it('goes on before the next import of the VM looks at it, without what was left of its copy', async () => {
    await pausedCopy();
    const cache = cacheOf(parts, refOf('one'));
    await cache.write({ ...(await cache.read())!, reading: true });
    await checkForeign(parts, refOf('two'), never);
    expect(source.asked).toEqual(['sweep', 'resume']);
  });

  it('is known to have run by the next import, where its guest was slow to go down', async () => {
    const slow = { running: 'shutdown', shutdownTimeoutMs: 50, restart: true } as const;
    await expect(stopForeign(parts, { ...refOf('one'), ...slow }, never)).rejects.toThrow();
    await checkForeign(parts, refOf('two'), never);
    const room = { ...refOf('two'), neededBytes: 0, besideBytes: 0 };
    await reserveCache(parts, room, { signal: never });
    source.state_ = 'shut-off';
    const stopped = await stopForeign(parts, { ...refOf('two'), ...slow }, never);
    expect(stopped.wasRunning).toBe(true);
  });

  it('that was given back as asked is let alone', async () => {
    await stop();
    await restartForeign(parts, { ...refOf('one'), restart: false }, never);
    await expireCaches(parts, upkeep('closed'));
    expect(source.state_).toBe('shut-off');
  });
});
