import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskIdentity } from '../../../guard/identity.ts';
import type { Ledger } from '../../../guard/ledger.ts';
import { domainXml, interpreters, isHere, runHook, writeHook } from '../../quick/guard/hook-run.ts';
import type { Interpreters } from '../../quick/guard/hook-run.ts';
import { ledgerIn, stateFolder, to } from '../../quick/guard/state-folder.ts';

const allowed = { status: 0, stderr: '', stdout: '' };
const move = { migrationId: 'move-1', epoch: 1 };
const wrong = 'f'.repeat(32);

const note = (inside: string): string =>
  `<vmferry:vm xmlns:vmferry="urn:vmferry:domain:1"><vmferry:owner>beta</vmferry:owner>${inside}</vmferry:vm>`;
const admit = (token: string): string => `<vmferry:admit>${token}</vmferry:admit>`;
const withMetadata = (xml: string, metadata: string): string =>
  xml.replace('</uuid>', `</uuid><metadata>${metadata}</metadata>`);

/** A host that awaits a VM and has admitted it. */
async function admitting(use?: Interpreters) {
  const ledger = ledgerIn(stateFolder());
  const uuid = randomUUID();
  await ledger.transition(uuid, to('incoming', { note: 'from alpha' }));
  const token = await ledger.admit(uuid, move);
  const hook = await writeHook(ledger.stateDir, use === undefined ? {} : { use });
  const carrying = (metadata: string): string => withMetadata(domainXml(uuid), metadata);
  return { ledger, uuid, token, hook, carrying, xml: carrying(note(admit(token))) };
}

/** What libvirt asks of an incoming migration; gives the answer to "prepare". */
function migrateIn(hook: string, xml: string) {
  expect(runHook(hook, xml, 'migrate')).toMatchObject(allowed);
  return runHook(hook, xml);
}

const expectRefused = (verdict: { status: number | null; stderr: string }, why: string): void => {
  expect(verdict.status, verdict.stderr).toBe(1);
  expect(verdict.stderr).toContain('is being moved to this host');
  expect(verdict.stderr).toContain(why);
};
const rewrite = (ledger: Ledger, uuid: string, token: string): void => {
  const file = join(ledger.folder, uuid);
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^admit \S+/m, `admit ${token}`));
};

describe('a VM that is admitted', () => {
  it('comes in once, and the start is counted', async () => {
    const { ledger, uuid, hook, xml } = await admitting();
    expect(migrateIn(hook, xml)).toMatchObject(allowed);
    expect(await ledger.runCount(uuid)).toBe(1);
    expect(await ledger.admission(uuid, move)).toBe('used');
    expectRefused(migrateIn(hook, xml), 'used before');
    expectRefused(runHook(hook, xml), 'used before');
    expect(await ledger.runCount(uuid)).toBe(1);
  });

  it('comes in again only with a new token, after a word', async () => {
    const { ledger, uuid, hook, xml, carrying } = await admitting();
    expect(migrateIn(hook, xml)).toMatchObject(allowed);
    const second = await ledger.admit(uuid, { ...move, again: true });
    expectRefused(migrateIn(hook, xml), 'carries another admission');
    expect(migrateIn(hook, carrying(note(admit(second))))).toMatchObject(allowed);
    expect(await ledger.runCount(uuid)).toBe(2);
  });

  it('does not come in without its token, nor with another one', async () => {
    const { ledger, uuid, hook, carrying } = await admitting();
    expectRefused(migrateIn(hook, domainXml(uuid)), 'carries no admission');
    expectRefused(migrateIn(hook, carrying(note(''))), 'carries no admission');
    expectRefused(migrateIn(hook, carrying(note(admit(wrong)))), 'carries another admission');
    expect(await ledger.runCount(uuid)).toBe(0);
    expect(await ledger.admission(uuid, move)).toBe('open');
  });

  it('does not start with its token in any way but a migration', async () => {
    const { ledger, uuid, hook, xml } = await admitting();
    expectRefused(runHook(hook, xml), 'no incoming migration');
    for (const operation of ['restore', 'start', 'reconnect']) runHook(hook, xml, operation);
    expectRefused(runHook(hook, xml), 'no incoming migration');
    expect(await ledger.runCount(uuid)).toBe(0);
    expect(migrateIn(hook, xml)).toMatchObject(allowed);
  });

  it('does not start long after a migration that came to nothing, nor by one of the future or another boot', async () => {
    const { ledger, uuid, token, hook, xml } = await admitting();
    const mark = join(ledger.folder, `${uuid}.arriving`);
    expect(runHook(hook, xml, 'migrate')).toMatchObject(allowed);
    const [, boot, seconds] = readFileSync(mark, 'utf8').trim().split(' ');
    const up = Number(seconds);
    expect(up).toBeLessThanOrEqual(Number(readFileSync('/proc/uptime', 'ascii').split(' ')[0]));
    const others = [
      `${token} ${boot} ${up - 60}`,
      `${token} ${boot} ${up + 60}`,
      `${token} ${randomUUID()} ${up}`,
      `${wrong} ${boot} ${up}`,
      `${token} ${boot} 1$(reboot)`,
      `${token} ${boot} -1`,
      `${token} ${boot}`,
      '',
    ];
    for (const text of others) {
      writeFileSync(mark, `${text}\n`);
      expectRefused(runHook(hook, xml), 'no incoming migration');
    }
    writeFileSync(mark, `${token} ${boot} ${up}\n`);
    expect(runHook(hook, xml)).toMatchObject(allowed);
    expect(existsSync(mark)).toBe(false);
  });

  it('does not come in once the admission is withdrawn, the VM claimed, or the entry damaged', async () => {
    const withdrawn = await admitting();
    expect(runHook(withdrawn.hook, withdrawn.xml, 'migrate')).toMatchObject(allowed);
    expect(await withdrawn.ledger.withdraw(withdrawn.uuid, move)).toBe('withdrawn');
    expectRefused(runHook(withdrawn.hook, withdrawn.xml), 'was withdrawn');
    expectRefused(migrateIn(withdrawn.hook, withdrawn.carrying(note(admit('-')))), 'was withdrawn');

    const away = await admitting();
    for (const state of ['released', 'incoming', 'quarantined'] as const) {
      await away.ledger.transition(away.uuid, to(state));
      const verdict = migrateIn(away.hook, away.xml);
      expect(verdict.status, state).toBe(1);
      expect(verdict.stderr).toContain(state === 'incoming' ? 'no live migration' : state);
    }

    const damaged = await admitting();
    rewrite(damaged.ledger, damaged.uuid, wrong);
    const verdict = migrateIn(damaged.hook, damaged.carrying(note(admit(wrong))));
    expect(verdict.status).toBe(1);
    expect(verdict.stderr).toContain('is damaged');
    expect(await damaged.ledger.runCount(damaged.uuid)).toBe(0);
  });

  it('does not come in when its starts cannot be told', async () => {
    const { ledger, uuid, hook, xml } = await admitting();
    rmSync(join(ledger.folder, `${uuid}.runs`));
    expectRefused(migrateIn(hook, xml), 'used before');
  });

  it('does not come in when the admission is withdrawn while the hook counts', async () => {
    const { ledger, uuid, xml } = await admitting();
    const file = join(ledger.folder, uuid);
    const given = readFileSync(file);
    await ledger.withdraw(uuid, move);
    const after = join(ledger.stateDir, 'after');
    writeFileSync(after, readFileSync(file));
    writeFileSync(file, given);
    const hook = await writeHook(ledger.stateDir, {
      standIns: { sync: `cp '${after}' '${file}'` },
    });
    const verdict = migrateIn(hook, xml);
    expect(verdict.status).toBe(1);
    expect(verdict.stderr).toContain('used or withdrawn just now');
    expect(await ledger.withdraw(uuid, move)).toBe('used');
  });

  it('does not come in when another start is counted between', async () => {
    const { ledger, uuid, xml } = await admitting();
    const runs = join(ledger.folder, `${uuid}.runs`);
    const hook = await writeHook(ledger.stateDir, { standIns: { sync: `printf . >>'${runs}'` } });
    expect(migrateIn(hook, xml).stderr).toContain('used or withdrawn just now');
  });

  it('comes in only if its disks may be used here, as any VM', async () => {
    const { ledger, uuid, token, hook } = await admitting();
    const path = join(ledger.stateDir, 'web.raw');
    writeFileSync(path, '');
    const disks = [{ path, identity: await diskIdentity(path) }];
    const other = randomUUID();
    await ledger.transition(other, to('released', { disks, name: 'other' }));
    const xml = withMetadata(domainXml(uuid, path), note(admit(token)));
    const verdict = migrateIn(hook, xml);
    expect(verdict.status).toBe(1);
    expect(verdict.stderr).toContain(`VM other (${other})`);
    expect(await ledger.runCount(uuid)).toBe(0);
    await ledger.transition(other, to('owner', { epoch: 2 }));
    expect(migrateIn(hook, xml)).toMatchObject(allowed);
    expect(await ledger.runCount(other)).toBe(1);
  });

  it('lends its token to no other VM that has one of its disks', async () => {
    const { ledger, uuid, token, hook } = await admitting();
    const disks = [{ path: '/images/web.raw', identity: '' }];
    await ledger.transition(uuid, to('incoming', { disks }));
    const other = randomUUID();
    const xml = withMetadata(domainXml(other, '/images/web.raw'), note(admit(token)));
    expectRefused(migrateIn(hook, xml), `VM web (${uuid})`);
  });

  it('leaves no trace of a migration that the ledger does not await', async () => {
    const { ledger, uuid, hook, carrying } = await admitting();
    const other = randomUUID();
    await ledger.transition(other, to('owner'));
    const strange = [
      carrying(note(admit(wrong))),
      carrying(''),
      withMetadata(domainXml(randomUUID()), note(admit(wrong))),
      withMetadata(domainXml(other), note(admit(wrong))),
      'no definition',
    ];
    for (const xml of strange) expect(runHook(hook, xml, 'migrate')).toMatchObject(allowed);
    for (const name of [uuid, other]) {
      expect(existsSync(join(ledger.folder, `${name}.arriving`))).toBe(false);
    }
    rmSync(ledger.folder, { recursive: true });
    expect(runHook(hook, carrying(''), 'migrate')).toMatchObject(allowed);
  });

  it('hangs no migration for long where the ledger hangs, and says nothing of it', async () => {
    const { ledger, xml } = await admitting();
    const hook = await writeHook(ledger.stateDir, { standIns: { cksum: 'sleep 20' }, limitS: 1 });
    const verdict = runHook(hook, xml, 'migrate');
    expect(verdict).toMatchObject(allowed);
    expect(verdict.ms).toBeLessThan(8_000);
  });
});

describe.each(interpreters.filter(([, use]) => isHere(use)))('a token, %s', (_, use) => {
  it('is found as libvirt and vmferry write it, whatever stands beside it', async () => {
    const begun = await admitting(use);
    const { hook, carrying, ledger, uuid } = begun;
    let { token } = begun;
    const ways: ((text: string) => string)[] = [
      (text) => note(admit(text)),
      (text) => note(admit(`\n   ${text}\t`)),
      (text) => `<vm xmlns='urn:vmferry:domain:1'><move/><admit>${text}</admit></vm>`,
      (text) => `<a:vm b="1" xmlns:a='urn:vmferry:domain:1' ><a:admit >${text}</a:admit ></a:vm >`,
      (text) =>
        note(
          `<vmferry:admit>&#x${text.charCodeAt(0).toString(16)};${text.slice(1)}</vmferry:admit>`,
        ),
      (text) =>
        `<!-- ${note(admit(wrong))} --><x:y xmlns:x='u'><x:admit>${wrong}</x:admit></x:y>${note(admit(text))}<z xmlns='v'/>`,
    ];
    for (const way of ways) {
      expect(migrateIn(hook, carrying(way(token))), way(token)).toMatchObject(allowed);
      token = await ledger.admit(uuid, { ...move, again: true });
    }
  });

  it('is not found where it does not stand for itself', async () => {
    const { hook, carrying, token, ledger, uuid } = await admitting(use);
    const hostile = [
      admit(token),
      note(admit(token.toUpperCase())),
      note(admit(`${token}0`)),
      note(admit(`${token} ${wrong}`)),
      note(admit('*')),
      note(admit('?'.repeat(32))),
      note(admit('')),
      note(admit(token) + admit(token)),
      note(admit(token)) + note(admit(token)),
      note(`<x>${admit(token)}</x>`),
      note(`<admit>${token}</admit>`),
      note(`<vmferry:admits>${token}</vmferry:admits>`),
      note(`<vmferry:admit token='${token}'/>`),
      note(admit(token)).replaceAll('urn:vmferry:domain:1', 'urn:vmferry:domain:10'),
      note(admit(token)).replace('xmlns:vmferry', 'xmlns:other'),
      note(admit(token)).replace(
        'xmlns:vmferry="urn',
        `a='urn:vmferry:domain:1' xmlns:vmferry="Urn`,
      ),
      `<x:y xmlns:x='u'>${note(admit(token))}</x:y>`,
      `<!-- ${note(admit(token))} -->`,
      `<![CDATA[${note(admit(token))}]]>`,
    ];
    for (const metadata of hostile) {
      const verdict = runHook(hook, carrying(metadata));
      expect(verdict.status, metadata).toBe(1);
      // With a token that is found it would say that this is no incoming migration.
      expect(verdict.stderr, metadata).toMatch(/carries (?:no|another) admission/);
    }
    const outside = domainXml(uuid).replace('</uuid>', `</uuid>${note(admit(token))}`);
    expectRefused(migrateIn(hook, outside), 'carries no admission');
    expect(await ledger.runCount(uuid)).toBe(0);
  });
});
