import { chmod, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GuardProof } from '../../../workers/guard-proof.ts';

let folder: string;
let hook: string;
let connection: object;
let nowMs: number;
let probes: number;
let live: boolean;
let proof: GuardProof;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmferry-proof-'));
  hook = join(folder, 'hook');
  await writeFile(hook, '#!/bin/sh\n', { mode: 0o755 });
  await untilLater(hook);
  connection = {};
  nowMs = 0;
  probes = 0;
  live = true;
  proof = new GuardProof({
    paths: [hook, folder],
    connection: () => Promise.resolve(connection),
    probe: () => {
      probes += 1;
      return Promise.resolve({ live, detail: `probe ${probes}` });
    },
    now: () => nowMs,
  });
});
afterEach(() => rm(folder, { recursive: true }));

it('stands for a minute, and for those who ask at once', async () => {
  await Promise.all([proof.take(), proof.take(), proof.take()]);
  nowMs = 60_000;
  expect(await proof.take()).toEqual({ live: true, detail: 'probe 1' });
  nowMs = 60_001;
  expect(await proof.take()).toEqual({ live: true, detail: 'probe 2' });
});

it('does not stand for another connection', async () => {
  await proof.take();
  connection = {};
  live = false;
  expect(await proof.take()).toEqual({ live: false, detail: 'probe 2' });
});

it.each<[string, () => Promise<void>]>([
  ['was taken away', () => rm(hook)],
  [
    'was not executable for a moment',
    async () => {
      await chmod(hook, 0o644);
      await chmod(hook, 0o755);
    },
  ],
  [
    'was another for a moment',
    async () => {
      await rename(hook, `${hook}.away`);
      await rename(`${hook}.away`, hook);
    },
  ],
])('does not stand once the hook %s', async (_, touch) => {
  await proof.take();
  await touch();
  await proof.take();
  expect(probes).toBe(2);
});

it('is not made by a guard that is dead, nor by a probe that failed', async () => {
  live = false;
  await proof.take();
  await proof.take();
  expect(probes).toBe(2);
  const broken = new GuardProof({
    paths: [hook],
    connection: () => Promise.resolve(connection),
    probe: () => Promise.reject(new Error(`probe ${(probes += 1)}`)),
  });
  await expect(broken.take()).rejects.toThrow('probe 3');
  await expect(broken.take()).rejects.toThrow('probe 4');
});

/** What is changed from here on has a later ctime: the kernel's clock for that has steps of some milliseconds. */
async function untilLater(than: string): Promise<void> {
  const { ctimeNs } = await stat(than, { bigint: true });
  const other = `${than}.other`;
  do await writeFile(other, '');
  while ((await stat(other, { bigint: true })).ctimeNs <= ctimeNs);
  await rm(other);
}
