/** What a rehearsal leaves, whatever step of it fails or is the last one of its worker: nothing, at the latest with the next word. */
import { randomUUID } from 'node:crypto';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheOf } from '../../../activities/import/cache-of.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import { expireCaches, keepCache } from '../../../activities/import/keep-cache.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import type { RehearsalHost } from '../../../activities/import/rehearse-parts.ts';
import { rehearse } from '../../../activities/import/rehearse.ts';
import { foreignVm, planFor } from './fake-import.ts';
import { conversionHost, MiB, PlayedSource, refOf } from './played-source.ts';

/** A libvirt in memory. */
class PlayedLibvirt implements RehearsalHost {
  readonly log: string[] = [];
  isThere = false;
  /** Fails at that word, once. */
  failsAt = '';
  /** From that word on nothing of the worker is heard any more. */
  diesAt = '';
  isDead = false;

  consolePath = () => '/console';
  emulator = () => this.#say('emulator', () => ({ uid: 0, gid: 0 }));
  begin = () => this.#say('begin', () => void (this.isThere = true));
  run = () => this.#say('run', () => undefined);
  state = () => this.#say('state', () => (this.isThere ? ('running' as const) : undefined));
  agentAnswers = () => this.#say('agentAnswers', () => true);
  console = () => this.#say('console', () => ({ text: 'up', next: 1 }));
  end = () => this.#say('end', () => void (this.isThere = false));

  #say<T>(word: string, act: () => T): Promise<T> {
    this.log.push(word);
    if (word === this.diesAt) this.isDead = true;
    if (this.isDead) return Promise.reject(new Error('the worker is dead'));
    const isFailing = word === this.failsAt;
    if (isFailing) this.failsAt = '';
    // What fails may have acted.
    const result = act();
    return isFailing ? Promise.reject(new Error(`failed at ${word}`)) : Promise.resolve(result);
  }
}

let dir: string;
let parts: ImportParts;
let libvirt: PlayedLibvirt;
// Of no other test: processes of a cached VM are ended wherever they are.
const ref = { ...refOf('one'), provider: `rehearsals-${randomUUID()}` };
const never = new AbortController().signal;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rehearsal-stage-'));
  const source = new PlayedSource();
  source.disks.set('2000', { bytes: Buffer.alloc(MiB, 'guest'), fingerprint: 'a' });
  libvirt = new PlayedLibvirt();
  const host = await conversionHost(dir, source);
  parts = { ...host, rehearsals: { host: libvirt, checks: {} } };
  await ensureCached(
    parts,
    {
      ...ref,
      ...{ vm: source.vm, disks: ['2000'], bandwidthBytesPerSecond: 0, running: 'shutdown' },
    },
    { signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
  );
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const play = () => {
  const plan = planFor(foreignVm.uuid, false);
  return rehearse(
    parts,
    {
      ...{ ...ref, vm: foreignVm },
      wish: { check: { kind: 'agent' }, only: false },
      plan: { ...plan, converted: false, disks: plan.disks.slice(0, 1), memoryBytes: MiB },
    },
    never,
  );
};
const stageFolder = (): string => join(cacheOf(parts, ref).folder, 'rehearsal');
const isOpen = (): Promise<boolean> =>
  access(stageFolder()).then(
    () => true,
    () => false,
  );
const expectNothing = async (): Promise<void> => {
  expect(libvirt.isThere, libvirt.log.join()).toBe(false);
  expect(await isOpen(), libvirt.log.join()).toBe(false);
};
const words = ['emulator', 'begin', 'run', 'console', 'state', 'agentAnswers'] as const;
/** A worker that came back is a new one. */
const comesBack = (): void => {
  libvirt.isDead = false;
  libvirt.diesAt = '';
};

// Real qemu-img makes the images; each of its starts takes its time on a busy machine.
describe('a rehearsal', { timeout: 60_000 }, () => {
  it('ends what is there of an older one, then begins, and ends what it began', async () => {
    expect(await play()).toMatchObject({ outcome: 'proved', saw: 'its guest agent answers' });
    expect(libvirt.log[0]).toBe('end');
    expect(libvirt.log.at(-1)).toBe('end');
    await expectNothing();
  });

  it.each(words)('leaves nothing where %s fails', async (word) => {
    libvirt.failsAt = word;
    await expect(play()).rejects.toThrow(`failed at ${word}`);
    await expectNothing();
  });

  it.each(words)('whose worker dies at %s is cleared by the next attempt', async (word) => {
    libvirt.diesAt = word;
    await expect(play()).rejects.toThrow('dead');
    expect(await isOpen()).toBe(true);
    comesBack();
    expect(await play()).toMatchObject({ outcome: 'proved' });
    await expectNothing();
  });

  it('is cleared with the end of its import, which keeps what was copied', async () => {
    libvirt.diesAt = 'state';
    await expect(play()).rejects.toThrow('dead');
    comesBack();
    await keepCache(parts, { ...ref, seconds: 60 }, never);
    await expectNothing();
    expect(await readdir(cacheOf(parts, ref).folder)).toContain('disk-0.raw');
  });

  it('is cleared where its import was terminated, and let alone while nobody knows', async () => {
    libvirt.diesAt = 'state';
    await expect(play()).rejects.toThrow('dead');
    comesBack();
    const look = (state: 'closed' | 'open') =>
      expireCaches(parts, {
        fateOf: () => Promise.resolve({ state } as never),
        log: () => undefined,
        signal: never,
      });
    await look('open');
    expect(await isOpen()).toBe(true);
    await look('closed');
    await expectNothing();
  });
});
