import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConversionJournal } from '../../../convert/journal.ts';
import { journalDisks } from '../../../convert/overlay.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conversion-journal-'));
  path = join(folder, 'journal.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

const disks = journalDisks('/work', [
  { key: '2000', path: '/pool/a.raw', format: 'raw' },
  { key: '../evil', path: '/pool/b.qcow2', format: 'qcow2' },
]);
const open = (id = 'move-1', of = disks) => ConversionJournal.open(path, { id, disks: of });

describe('the journal of a conversion', () => {
  it('remembers how far each disk came', async () => {
    const first = await open();
    await first.record('2000', 'overlay-made', 'file:1');
    await first.record('../evil', 'overlay-made', 'file:2');
    await first.record('2000', 'converted');
    await first.close();
    const again = await open();
    expect(again.disks.map(({ state, base }) => [state, base])).toEqual([
      ['converted', 'file:1'],
      ['overlay-made', 'file:2'],
    ]);
    expect(again.reached('overlay-made')).toBe(true);
    expect(again.reached('converted')).toBe(false);
    expect(again.commitBegun).toBe(false);
    await again.record('2000', 'committing');
    expect(again.commitBegun).toBe(true);
    await again.close();
  });

  it('drops a torn last line, at every byte of it', async () => {
    const first = await open();
    await first.record('2000', 'overlay-made');
    await first.close();
    const whole = await readFile(path);
    const line = '{"disk":"2000","state":"converted"}\n';
    for (let cut = 0; cut < line.length; cut += 1) {
      await writeFile(path, whole);
      await appendFile(path, line.slice(0, cut));
      const torn = await open();
      expect(torn.disks[0]?.state).toBe('overlay-made');
      await torn.record('2000', 'converted');
      await torn.close();
      const next = await open();
      expect(next.disks[0]?.state).toBe('converted');
      await next.close();
    }
  });

  it('begins anew where not even its header was written', async () => {
    await writeFile(path, '{"version":1,"id":');
    const journal = await open();
    expect(journal.reached('overlay-made')).toBe(false);
    await journal.close();
    expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(2);
  });

  it('is not taken for that of another conversion or of other disks', async () => {
    await (await open()).close();
    const foreign = { code: 'conversion-journal-foreign', handling: 'unsafe' };
    await expect(open('move-2')).rejects.toMatchObject(foreign);
    await expect(open('move-1', disks.slice(1))).rejects.toMatchObject(foreign);
  });

  it.each([
    'nonsense\n',
    '{"disk":"2000","state":"eaten"}\n',
    '{"disk":"vdz","state":"converted"}\n',
  ])('is damaged with the whole line %j', async (line) => {
    await (await open()).close();
    await appendFile(path, line);
    await expect(open()).rejects.toMatchObject({ code: 'conversion-journal-damaged' });
  });

  it('gives overlays names of its own', () => {
    expect(disks.map(({ overlay }) => overlay)).toEqual([
      '/work/disk-0.qcow2',
      '/work/disk-1.qcow2',
    ]);
  });
});
