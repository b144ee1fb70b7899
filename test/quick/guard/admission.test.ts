import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OwnerState } from '../../../domain/ownership.ts';
import { claim } from '../../../guard/claim.ts';
import { cksum } from '../../../guard/cksum.ts';
import type { Ledger } from '../../../guard/ledger.ts';
import { formatLedgerFile, parseLedgerFile } from '../../../guard/ledger-file.ts';
import type { LedgerRecord } from '../../../guard/ledger-file.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const move = { migrationId: 'move-1', epoch: 1 };
const record: LedgerRecord = {
  uuid: '0b0f6f0e-5d5f-4a41-9a3b-6f3a2f6a9c11',
  name: 'web',
  epoch: 1,
  state: 'incoming',
  migrationId: 'move-1',
  note: '',
  disks: [],
};
const token = '0123456789abcdef0123456789abcdef';

/** A whole file with this line in it. */
function fileWith(line: string, state: OwnerState = 'incoming'): Buffer {
  const text = formatLedgerFile({ ...record, state }, []).toString('latin1');
  const body = Buffer.from(`${text.slice(0, text.lastIndexOf('end '))}${line}\n`, 'latin1');
  return Buffer.concat([body, Buffer.from(`end ${cksum(body)} ${body.length}\n`)]);
}

/** A VM that the ledger awaits. */
async function awaited(rest: Parameters<typeof to>[1] = {}): Promise<[Ledger, string]> {
  const ledger = ledgerIn(stateFolder());
  const uuid = randomUUID();
  await ledger.transition(uuid, to('incoming', rest));
  return [ledger, uuid];
}
/** As the hook does. */
const count = (ledger: Ledger, uuid: string): void =>
  writeFileSync(join(ledger.folder, `${uuid}.runs`), '.', { flag: 'a' });
const lineOf = (ledger: Ledger, uuid: string): string | undefined =>
  /^admit .*$/m.exec(readFileSync(join(ledger.folder, uuid), 'utf8'))?.[0];

describe('the line of an admission', () => {
  it('comes back as it was written, and only from an incoming VM', () => {
    const tokens = fc.oneof(fc.constant(''), fc.stringMatching(/^[0-9a-f]{32}$/));
    const admission = fc.record({ token: tokens, runs: fc.nat(999_999_999) });
    fc.assert(
      fc.property(admission, fc.constantFrom(...Object.values(OwnerState)), (given, state) => {
        const data = formatLedgerFile({ ...record, state, admission: given }, []);
        const expected = { ...record, state };
        expect(parseLedgerFile(record.uuid, data)).toEqual(
          state === 'incoming' ? { ...expected, admission: given } : expected,
        );
      }),
      { numRuns: 200 },
    );
  });

  it('may be missing, as from before there were any', () => {
    const data = Buffer.from(
      `vmferry-ledger 1\nuuid ${record.uuid}\nname web\nepoch 1\nstate incoming\nmigration move-1\nnote -\n`,
    );
    const file = Buffer.concat([data, Buffer.from(`end ${cksum(data)} ${data.length}\n`)]);
    expect(file).toEqual(formatLedgerFile(record, []));
    expect(parseLedgerFile(record.uuid, file)).toEqual(record);
  });

  it.each([
    '',
    token,
    `${token} `,
    `${token} -1`,
    `${token} 01`,
    `${token} 1 `,
    `${token} 1 2`,
    `${token} 1e3`,
    `${token} 9999999999999999`,
    `${token.toUpperCase()} 0`,
    `${token.slice(1)} 0`,
    `${token}0 0`,
    `${'%'.repeat(32)} 0`,
    `$(reboot) 0`,
    `-- 0`,
    `  0`,
  ])('is refused with its file if it says "%s"', (value) => {
    expect(() => parseLedgerFile(record.uuid, fileWith(`admit ${value}`))).toThrow(/admit/);
  });

  it('is refused twice in a file, and in any state but incoming', () => {
    const line = `admit ${token} 0`;
    expect(parseLedgerFile(record.uuid, fileWith(line)).admission).toEqual({ token, runs: 0 });
    expect(() => parseLedgerFile(record.uuid, fileWith(`${line}\n${line}`))).toThrow(/two lines/);
    for (const state of Object.values(OwnerState).filter((one) => one !== 'incoming')) {
      expect(() => parseLedgerFile(record.uuid, fileWith(line, state)), state).toThrow(/admit/);
    }
  });
});

describe('Ledger.admit', () => {
  it('gives a token of 128 bits at the count of starts so far, and the same one when asked again', async () => {
    const [ledger, uuid] = await awaited();
    count(ledger, uuid);
    expect(await ledger.admission(uuid, move)).toBe('none');
    const given = await ledger.admit(uuid, move);
    expect(given).toMatch(/^[0-9a-f]{32}$/);
    expect(lineOf(ledger, uuid)).toBe(`admit ${given} 1`);
    expect(await ledger.admit(uuid.toUpperCase(), move)).toBe(given);
    expect(await ledgerIn(ledger.stateDir).admit(uuid, { ...move, again: true })).toBe(given);
    expect(await ledger.admission(uuid, move)).toBe('open');
    const [other, second] = await awaited();
    expect(await other.admit(second, move)).not.toBe(given);
  });

  it('does not show the token where entries are read, listed or changed', async () => {
    const [ledger, uuid] = await awaited();
    const given = await ledger.admit(uuid, move);
    const seen = [
      await ledger.read(uuid),
      await ledger.list(),
      await ledger.transition(uuid, to('incoming', { note: 'again' })),
    ];
    expect(JSON.stringify(seen)).not.toContain(given);
    expect(seen[0]).not.toHaveProperty('admission');
  });

  it('refuses a used token, and replaces it only by word', async () => {
    const [ledger, uuid] = await awaited();
    const used = await ledger.admit(uuid, move);
    count(ledger, uuid);
    expect(await ledger.admission(uuid, move)).toBe('used');
    await expect(ledger.admit(uuid, move)).rejects.toMatchObject({
      code: 'admission-used',
      handling: 'unsafe',
      host: 'alpha',
    });
    expect(lineOf(ledger, uuid)).toBe(`admit ${used} 0`);
    const next = await ledger.admit(uuid, { ...move, again: true });
    expect(next).not.toBe(used);
    expect(lineOf(ledger, uuid)).toBe(`admit ${next} 1`);
  });

  it.each([
    ['of another move', to('incoming'), { migrationId: 'move-2' }, 'ownership-conflict'],
    ['of an epoch that is over', to('incoming', { epoch: 2 }), {}, 'stale-epoch'],
    ['of an epoch to come', to('incoming'), { epoch: 2 }, 'ownership-conflict'],
    ['by the owner', to('owner'), {}, 'ownership-conflict'],
    ['for a VM that left', to('released'), {}, 'ownership-conflict'],
    ['for a VM that is leaving', to('migrating-out'), {}, 'ownership-conflict'],
    ['for a VM that is set aside', to('quarantined'), {}, 'ownership-conflict'],
  ])('admits nothing %s, and leaves the file as it was', async (_, entry, rest, code) => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await ledger.transition(uuid, entry);
    const before = readFileSync(join(ledger.folder, uuid));
    const request = { ...move, ...rest };
    await expect(ledger.admit(uuid, request)).rejects.toMatchObject({ code, handling: 'unsafe' });
    await expect(ledger.admit(uuid, { ...request, again: true })).rejects.toMatchObject({ code });
    expect(await ledger.withdraw(uuid, request)).toBe('none');
    expect(await ledger.admission(uuid, request)).toBe('none');
    expect(readFileSync(join(ledger.folder, uuid))).toEqual(before);
  });

  it('admits nothing to a host that does not know the VM', async () => {
    const ledger = ledgerIn(stateFolder());
    const uuid = randomUUID();
    await expect(ledger.admit(uuid, move)).rejects.toMatchObject({ code: 'ownership-conflict' });
    expect(await ledger.withdraw(uuid, move)).toBe('none');
    expect(await ledger.read(uuid)).toBeUndefined();
  });
});

describe('Ledger.withdraw', () => {
  it('takes the token back and says whether it was used, at every call', async () => {
    const [ledger, uuid] = await awaited();
    await ledger.admit(uuid, move);
    for (const _ of [1, 2]) expect(await ledger.withdraw(uuid, move)).toBe('withdrawn');
    expect(lineOf(ledger, uuid)).toBe('admit - 0');
    const [other, second] = await awaited();
    await other.admit(second, move);
    count(other, second);
    for (const _ of [1, 2]) expect(await other.withdraw(second, move)).toBe('used');
    expect(await other.admission(second, move)).toBe('used');
  });

  it('keeps a late attempt from getting one, also where none was given before', async () => {
    const [ledger, uuid] = await awaited();
    expect(await ledger.withdraw(uuid, move)).toBe('withdrawn');
    await expect(ledger.admit(uuid, move)).rejects.toMatchObject({ code: 'admission-withdrawn' });
    const again = await ledger.admit(uuid, { ...move, again: true });
    expect(lineOf(ledger, uuid)).toBe(`admit ${again} 0`);
  });
});

describe('an admission', () => {
  it('stays when the same step of its move is done again', async () => {
    const [ledger, uuid] = await awaited();
    const given = await ledger.admit(uuid, move);
    await ledger.transition(uuid, to('incoming', { name: 'new name', note: 'again' }));
    expect(await ledger.admit(uuid, move)).toBe(given);
  });

  it.each([
    ['the owner', to('owner', { epoch: 2 })],
    ['released', to('released')],
    ['quarantined', to('quarantined')],
    ['incoming at a higher epoch', to('incoming', { epoch: 2 })],
  ])('is dropped when the VM becomes %s', async (_, next) => {
    const [ledger, uuid] = await awaited();
    await ledger.admit(uuid, move);
    await ledger.transition(uuid, next);
    expect(lineOf(ledger, uuid)).toBeUndefined();
  });

  it('given to a move set by hand is dropped when a real one takes its place', async () => {
    const [ledger, uuid] = await awaited({ migrationId: '' });
    await ledger.admit(uuid, { ...move, migrationId: '' });
    await ledger.transition(uuid, to('incoming'));
    expect(lineOf(ledger, uuid)).toBeUndefined();
  });

  it('is dropped by a claim, and goes with its entry', async () => {
    const [ledger, uuid] = await awaited();
    await ledger.admit(uuid, move);
    const owner = await claim({ ledger, uuid, operator: 'ada', reason: 'beta burnt down' });
    expect(lineOf(ledger, uuid)).toBeUndefined();
    writeFileSync(join(ledger.folder, `${uuid}.arriving`), `${token}\n`);
    await ledger.remove(uuid, owner);
    expect(readdirSync(ledger.folder)).toEqual([]);
  });
});
