import { access, appendFile, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';
import { commitOverlays } from '../../../convert/commit.ts';
import { makeOverlays } from '../../../convert/overlay.ts';
import {
  contentOf,
  convertedDisks,
  copiedDisks,
  killedQemuImg,
  openJournal,
} from './small-disks.ts';
import type { ConversionDisk } from '../../../convert/overlay.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});
const made = async (id: string) => {
  const parts = await convertedDisks(id);
  folders.push(parts.folder);
  return parts;
};
const program = join(import.meta.dirname, 'commit-process.ts');
const commitIn = (
  parts: { folder: string; disks: ConversionDisk[] },
  options: { id: string; kill?: [step: string, occurrence: number]; path?: string },
) => {
  const { id, kill = [], path = '' } = options;
  const args = [program, parts.folder, id, JSON.stringify(parts.disks), ...kill.map(String)];
  const env = { PATH: `${path}:${process.env['PATH'] ?? ''}` };
  return execa(process.execPath, args, { env, reject: false, timeout: 50_000 });
};
const contents = (disks: readonly ConversionDisk[]) =>
  Promise.all(disks.map(({ path, format }) => contentOf(path, format)));
const commit = async (parts: { folder: string; disks: ConversionDisk[] }, id: string) => {
  const journal = await openJournal(parts.folder, id, parts.disks);
  await commitOverlays(journal, { id });
  expect(journal.reached('committed')).toBe(true);
  await journal.close();
};

describe('the commit of a conversion', () => {
  it('leaves the disks as the overlays showed them, and no overlay', async () => {
    const parts = await made('commit-plain');
    expect(await contents(parts.disks)).not.toEqual(parts.wanted);
    await commit(parts, 'commit-plain');
    expect(await contents(parts.disks)).toEqual(parts.wanted);
    await expect(access(join(parts.folder, 'disk-0.qcow2'))).rejects.toThrow('ENOENT');
    await commit(parts, 'commit-plain');
    expect(await contents(parts.disks)).toEqual(parts.wanted);
  });

  const steps = ['committing', 'written', 'committed'].flatMap((step) =>
    [1, 2].map((occurrence) => [step, occurrence] as [string, number]),
  );
  it.concurrent.each(steps)('goes on after a kill at "%s", disk %i', async (step, occurrence) => {
    const id = `commit-${step}-${occurrence}`;
    const parts = await convertedDisks(id);
    try {
      const killed = await commitIn(parts, { id, kill: [step, occurrence] });
      expect(killed.signal).toBe('SIGKILL');
      await commit(parts, id);
      expect(await contents(parts.disks)).toEqual(parts.wanted);
    } finally {
      await rm(parts.folder, { recursive: true });
    }
  });

  it('goes on after qemu-img was killed while it wrote, again and again', async () => {
    const id = 'commit-torn';
    const parts = await made(id);
    for (const seconds of [0.005, 0.02, 0.04]) {
      const path = await killedQemuImg(parts.folder, seconds);
      await commitIn(parts, { id, path });
    }
    await commit(parts, id);
    expect(await contents(parts.disks)).toEqual(parts.wanted);
  });

  it('writes nothing if any base has changed since', async () => {
    const id = 'commit-changed';
    const parts = await made(id);
    const before = await contents(parts.disks);
    const second = parts.disks[1]!.path;
    await utimes(second, new Date(0), new Date(0));
    const journal = await openJournal(parts.folder, id, parts.disks);
    await expect(commitOverlays(journal, { id })).rejects.toMatchObject({
      code: 'conversion-base-changed',
      handling: 'unsafe',
    });
    expect(journal.commitBegun).toBe(false);
    await journal.close();
    expect(await contents(parts.disks)).toEqual(before);
  });

  it('refuses overlays that are not converted, or lie on something else', async () => {
    const id = 'commit-early';
    const parts = { ...(await copiedDisks()) };
    folders.push(parts.folder);
    const journal = await openJournal(parts.folder, id, parts.disks);
    await makeOverlays(journal, { id });
    await expect(commitOverlays(journal, { id })).rejects.toMatchObject({
      code: 'conversion-not-done',
    });
    for (const { disk } of journal.disks) await journal.record(disk.key, 'converted');
    const other = join(parts.folder, 'other.raw');
    await execa('qemu-img', ['create', '-q', '-f', 'raw', other, '16M']);
    const overlay = journal.disks[0]!.disk.overlay;
    await execa('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-b', other, '-F', 'raw', overlay]);
    await expect(commitOverlays(journal, { id })).rejects.toMatchObject({
      code: 'overlay-foreign',
    });
    expect(journal.commitBegun).toBe(false);
    await journal.close();
  });

  it('once begun never lets the conversion start over', async () => {
    const id = 'commit-begun';
    const parts = await made(id);
    await commitIn(parts, { id, kill: ['written', 1] });
    const journal = await openJournal(parts.folder, id, parts.disks);
    await expect(makeOverlays(journal, { id })).rejects.toMatchObject({
      code: 'conversion-commit-begun',
    });
    await journal.close();
    await commit(parts, id);
    expect(await contents(parts.disks)).toEqual(parts.wanted);
  });

  it('makes fresh overlays as long as nothing was committed', async () => {
    const id = 'commit-anew';
    const parts = await made(id);
    const before = await contents(parts.disks);
    await appendFile(join(parts.folder, 'disk-0.qcow2'), 'rubbish');
    const journal = await openJournal(parts.folder, id, parts.disks);
    await makeOverlays(journal, { id });
    expect(journal.reached('converted')).toBe(false);
    expect(await contentOf(journal.disks[0]!.disk.overlay, 'qcow2')).toBe(before[0]);
    await journal.close();
  });
});
