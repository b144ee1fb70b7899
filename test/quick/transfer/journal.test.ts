import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal, journalPathFor, type JournalHeader } from '../../../transfer/journal.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'journal-'));
  path = journalPathFor(join(folder, 'web.raw'));
});
afterEach(() => rm(folder, { recursive: true }));

const header: JournalHeader = {
  moveId: 'move-1',
  diskName: 'vda',
  sizeBytes: 10_000,
  fingerprint: 'file:1:2:3',
  chunkBytes: 1024,
};
const open = (changes: Partial<JournalHeader> = {}, targetStartsZeroed = true) =>
  Journal.open({ path, header: { ...header, ...changes }, targetStartsZeroed });
const piece = (offset: number, length = 1000) => ({ offset, length });

/** A journal with [0, 3000) started and [0, 2000) durable. */
const begun = async (): Promise<void> => {
  const journal = await open();
  await journal.started([{ offset: 0, length: 3000 }]);
  await journal.durable([piece(0), piece(1000)]);
  await journal.close();
};

describe('the journal', () => {
  it('remembers what is durable and what was only started', async () => {
    await begun();
    const journal = await open({}, false);
    expect(journal.resumed).toBe(true);
    expect([...journal.safe]).toEqual([{ offset: 0, length: 2000 }]);
    expect([...journal.startedNotDurable]).toEqual([{ offset: 2000, length: 1000 }]);
    expect(journal.askedAgainBytes).toBe(0);
    // The target was zeroed when the copy began, whatever it looks like in the middle of it.
    expect(journal.targetStartsZeroed).toBe(true);
    await journal.started([{ offset: 2000, length: 1000 }]);
    await journal.close();
    const third = await open();
    expect(third.askedAgainBytes).toBe(1000);
    await third.close();
  });

  it.each([
    ['the move', { moveId: 'move-2' }, 'move-1'],
    ['the disk', { diskName: 'vdb' }, 'vda'],
    ['the size', { sizeBytes: 20_000 }, '10000 bytes'],
    ['the fingerprint', { fingerprint: 'file:1:2:4' }, 'source has changed'],
  ])('starts over and says so if %s is another', async (_what, changes, text) => {
    await begun();
    const journal = await open(changes);
    expect(journal.resumed).toBe(false);
    expect(journal.restartedBecause).toContain(text);
    expect(journal.safe.bytes).toBe(0);
    expect(journal.targetStartsZeroed).toBe(false);
    await journal.close();
    const again = await open(changes);
    expect(again).toMatchObject({ resumed: true, targetStartsZeroed: false });
    await again.close();
  });

  it('cuts off a torn tail and goes on behind it', async () => {
    await begun();
    const { size } = await stat(path);
    await truncate(path, size - 5);
    const torn = await open();
    expect([...torn.safe]).toEqual([{ offset: 0, length: 1000 }]);
    await torn.durable([piece(5000)]);
    await torn.close();
    const journal = await open();
    expect([...journal.safe]).toEqual([
      { offset: 0, length: 1000 },
      { offset: 5000, length: 1000 },
    ]);
    await journal.close();
  });

  it('believes nothing from the first damaged record on', async () => {
    await begun();
    const bytes = await readFile(path);
    const first = bytes.length - 2 * 56;
    for (const at of [0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 55].map((byte) => first + byte)) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 0x10;
      // The three reserved bytes of a record are covered as well.
      await writeFile(path, damaged);
      const journal = await open();
      expect(journal.safe.bytes).toBe(0);
      await journal.close();
    }
  });

  it('starts over if its header is damaged at any byte', async () => {
    await begun();
    const bytes = await readFile(path);
    const end = bytes.length - 2 * 56 - 24;
    for (let at = 0; at < end; at += 23) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 0x10;
      await writeFile(path, damaged);
      const journal = await open();
      expect(journal.restartedBecause).toMatch(/header is damaged|format version/);
      expect(journal.safe.bytes).toBe(0);
      await journal.close();
    }
  });

  it('does not take records of an older journal for its own', async () => {
    await begun();
    const records = (await readFile(path)).subarray(-2 * 56);
    await (await open({ fingerprint: 'other' })).close();
    await appendFile(path, records);
    const journal = await open({ fingerprint: 'other' });
    expect(journal.safe.bytes).toBe(0);
    await journal.close();
  });

  it('reads journals that are longer than its read buffer', async () => {
    const journal = await open({ sizeBytes: 2 ** 40 });
    const one = piece(0);
    const pieces = Array.from({ length: 25_000 }, (_, at) => ({ ...one, offset: at * 2000 }));
    // More than one megabyte of records.
    await journal.durable(pieces);
    await journal.close();
    const again = await open({ sizeBytes: 2 ** 40 });
    expect(again.safe.size).toBe(25_000);
    await again.close();
  });

  it('lets only one copy in', async () => {
    const first = await open();
    await expect(open()).rejects.toMatchObject({ code: 'journal-in-use', handling: 'transient' });
    await first.close();
    await (await open()).close();
  });

  it('is gone after remove, and a newcomer begins afresh', async () => {
    await begun();
    await (await open()).remove();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    const journal = await open();
    expect(journal).toMatchObject({ resumed: false });
    expect(journal.restartedBecause).toBeUndefined();
    await journal.close();
  });

  it('takes nothing once it is closed', async () => {
    const journal = await open();
    await journal.close();
    await journal.close();
    await expect(journal.durable([piece(0)])).rejects.toThrow('closed');
  });

  it('says where it cannot be written', async () => {
    const opening = Journal.open({ path: '/proc/self/none', header, targetStartsZeroed: true });
    await expect(opening).rejects.toThrow('/proc/self/none');
  });
});
