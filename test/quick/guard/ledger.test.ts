import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LedgerEntry } from '../../../domain/ownership.ts';
import { cksum } from '../../../guard/cksum.ts';
import { realIo } from '../../../guard/durable.ts';
import type { DurableIo } from '../../../guard/durable.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { formatLedgerFile, parseLedgerFile } from '../../../guard/ledger-file.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const text = fc.string({ unit: 'binary', maxLength: 60 });
const disk = fc.record({
  path: text.map((tail) => `/${tail}`),
  identity: fc.constantFrom('', '64769:12:1700000000', 'block:253:5'),
  resolvedPath: text,
});

describe('a ledger file', () => {
  it('gives back every entry, whatever characters its values hold, as plain ASCII lines', () => {
    fc.assert(
      fc.property(text, text, text, fc.array(disk, { maxLength: 4 }), (name, note, move, disks) => {
        const entry: LedgerEntry = {
          uuid: '0b0f6f0e-5d5f-4a41-9a3b-6f3a2f6a9c11',
          epoch: 7,
          state: 'released',
          name,
          note,
          migrationId: move,
          disks: disks.map(({ path, identity }) => ({ path, identity })),
        };
        const data = formatLedgerFile(entry, disks);
        expect(data.toString('latin1')).toMatch(/^(?:[a-z][ -~]* [!-~]+\n)+$/);
        expect(parseLedgerFile(entry.uuid, data)).toEqual(entry);
      }),
      { numRuns: 200 },
    );
  });

  it('is refused when cut off anywhere, or when one byte differs', () => {
    const uuid = randomUUID();
    const whole = formatLedgerFile(
      { uuid, name: 'web', epoch: 3, state: 'owner', migrationId: 'm', note: 'n', disks: [] },
      [{ path: '/a b', identity: '1:2:3', resolvedPath: '' }],
    );
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseLedgerFile(uuid, whole.subarray(0, length))).toThrow();
      const bent = Buffer.from(whole);
      bent[length] = bent[length]! ^ 1;
      expect(() => parseLedgerFile(uuid, bent)).toThrow();
    }
  });

  it('ends in what cksum prints for the lines before', () => {
    for (const size of [0, 1, 255, 256, 70_000]) {
      const data = Buffer.alloc(size, 'vmferry');
      const printed = execFileSync('cksum', { input: data, encoding: 'utf8' }).trim();
      expect(`${cksum(data)} ${size}`).toBe(printed);
    }
  });
});

describe('Ledger', () => {
  it('knows nothing of a VM it never saw', async () => {
    const ledger = ledgerIn(stateFolder());
    expect(await ledger.read(randomUUID())).toBeUndefined();
    expect(await ledger.list()).toEqual({ entries: [], corrupt: [] });
    expect(await ledger.runCount(randomUUID())).toBe(0);
  });

  it('keeps the disks on file when a transition names none', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    const disks = [{ path: '/images/web.raw', identity: '1:2:3' }];
    await ledger.transition(uuid, to('owner', { disks }));
    await ledger.transition(uuid.toUpperCase(), to('migrating-out'));
    expect(await ledgerIn(ledger.stateDir).read(uuid)).toMatchObject({
      state: 'migrating-out',
      disks,
    });
  });

  it('writes the path behind symbolic links beside the path as given', async () => {
    const stateDir = stateFolder();
    const ledger = ledgerIn(stateDir);
    mkdirSync(join(stateDir, 'real'));
    symlinkSync('real', join(stateDir, 'link'));
    const uuid = randomUUID();
    const path = join(stateDir, 'link', 'not-yet.raw');
    await ledger.transition(uuid, to('incoming', { disks: [{ path, identity: '' }] }));
    const file = readFileSync(join(ledger.folder, uuid), 'utf8');
    expect(file).toContain(`disk - ${path} ${join(stateDir, 'real', 'not-yet.raw')}\n`);
  });

  it('refuses a late step of an older epoch and leaves the file as it was', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('owner', { epoch: 5 }));
    const before = readFileSync(join(ledger.folder, uuid));
    await expect(ledger.transition(uuid, to('released', { epoch: 4 }))).rejects.toMatchObject({
      code: 'stale-epoch',
      handling: 'unsafe',
    });
    expect(readFileSync(join(ledger.folder, uuid))).toEqual(before);
  });

  it('refuses a second move of a VM that is already moving', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, to('migrating-out'));
    await expect(
      ledger.transition(uuid, to('migrating-out', { migrationId: 'move-2' })),
    ).rejects.toMatchObject({ code: 'ownership-conflict' });
  });

  it('names the file of a corrupt entry, and still lists the others', async () => {
    const ledger = ledgerIn(stateFolder());
    const [good, bad] = [randomUUID(), randomUUID()];
    await ledger.transition(good, to('owner'));
    await ledger.transition(bad, to('owner'));
    const file = join(ledger.folder, bad);
    writeFileSync(file, readFileSync(file).subarray(0, 40));
    const expected = { code: 'ledger-corrupt', handling: 'needs-operator' };
    await expect(ledger.read(bad)).rejects.toMatchObject(expected);
    await expect(ledger.read(bad)).rejects.toThrow(file);
    await expect(ledger.transition(bad, to('owner', { epoch: 9 }))).rejects.toMatchObject(expected);
    const listing = await ledger.list();
    expect(listing.entries.map((entry) => entry.uuid)).toEqual([good]);
    expect(listing.corrupt).toMatchObject([{ uuid: bad, file }]);
  });

  it('removes an entry only if it is the expected one', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    const entry = await ledger.transition(uuid, to('quarantined'));
    await expect(ledger.remove(uuid, { ...entry, epoch: 2 })).rejects.toMatchObject({
      code: 'ownership-conflict',
    });
    expect(await ledger.read(uuid)).toEqual(entry);
    await ledger.remove(uuid, entry);
    await ledger.remove(uuid, entry);
    expect(readdirSync(ledger.folder)).toEqual([]);
  });

  it.each(['../x', '', 'x'.repeat(36), `${randomUUID()}/..`])(
    'refuses the UUID "%s"',
    async (bad) => {
      const ledger = ledgerIn(stateFolder());
      await expect(ledger.transition(bad, to('owner'))).rejects.toMatchObject({
        code: 'uuid-invalid',
      });
      await expect(ledger.read(bad)).rejects.toMatchObject({ code: 'uuid-invalid' });
    },
  );

  it('refuses paths and identities that it could not stand for', async () => {
    const ledger = ledgerIn(stateFolder());
    for (const wrong of [
      { path: 'relative.raw', identity: '' },
      { path: '/a\0b', identity: '' },
      { path: '/a', identity: '1:2 /etc/passwd' },
    ]) {
      await expect(
        ledger.transition(randomUUID(), to('owner', { disks: [wrong] })),
      ).rejects.toMatchObject({ code: 'ledger-entry-invalid' });
    }
  });

  it('cuts a note that is too long instead of losing the state', async () => {
    const entry = await ledgerIn(stateFolder()).transition(
      randomUUID(),
      to('released', { note: 'ü'.repeat(5000) }),
    );
    expect(Buffer.byteLength(entry.note)).toBeLessThanOrEqual(1024);
    expect(entry.note).toMatch(/^ü+…$/);
  });
});

describe('a power cut while the ledger is written', () => {
  const steps = ['writeAndSync', 'rename', 'syncFolder'] as const;

  /** Fails at one step; a cut write leaves half of its bytes behind. */
  const cutAt = (step: (typeof steps)[number], seen: string[] = []): DurableIo => ({
    async writeAndSync(path, data, mode) {
      seen.push('writeAndSync');
      if (step === 'writeAndSync') {
        await realIo.writeAndSync(path, data.subarray(0, data.length / 2), mode);
        throw new Error('power cut');
      }
      await realIo.writeAndSync(path, data, mode);
    },
    async rename(from, target) {
      seen.push('rename');
      if (step === 'rename') throw new Error('power cut');
      await realIo.rename(from, target);
    },
    async syncFolder(path) {
      seen.push('syncFolder');
      if (step === 'syncFolder') throw new Error('power cut');
      await realIo.syncFolder(path);
    },
  });

  it.each(steps)(
    'at %s leaves the old entry or the new one, and the step can be done again',
    async (step) => {
      const stateDir = stateFolder();
      const uuid = randomUUID();
      const old = await ledgerIn(stateDir).transition(uuid, to('owner'));
      const broken = new Ledger({ stateDir, host: 'alpha', io: cutAt(step) });
      const next = to('released', { epoch: 2 });
      await expect(broken.transition(uuid, next)).rejects.toMatchObject({
        code: 'ledger-unwritable',
        handling: 'needs-operator',
      });
      const between = await ledgerIn(stateDir).read(uuid);
      expect([old.state, 'released']).toContain(between?.state);
      expect((await ledgerIn(stateDir).transition(uuid, next)).state).toBe('released');
      expect((await ledgerIn(stateDir).list()).entries).toHaveLength(1);
    },
  );

  it('cannot have lost a state that was reported: bytes, name and folder are synced in this order', async () => {
    const stateDir = stateFolder();
    const uuid = randomUUID();
    const seen: string[] = [];
    const io = cutAt('syncFolder', seen);
    const ledger = new Ledger({ stateDir, host: 'alpha', io });
    await expect(ledger.transition(uuid, to('owner'))).rejects.toThrow();
    expect(seen).toEqual([...steps]);
    // The name may be on disk or not: the second attempt finds equal bytes and still has to sync the folder.
    seen.length = 0;
    await expect(ledger.transition(uuid, to('owner'))).rejects.toThrow();
    expect(seen).toEqual(['syncFolder']);
  });
});
