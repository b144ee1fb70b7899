import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Interpreters } from './hook-run.ts';
import { interpreters, isHere, runHook, writeHook } from './hook-run.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const iqn = 'iqn.2026-11.example:disk';
const xmlWith = (source: string, uuid: string = randomUUID()): string =>
  `<domain type='qemu'><name>x</name><uuid>${uuid}</uuid><devices>
  <disk type='network' device='disk'><driver name='qemu' type='raw'/>${source}<target dev='vda'/></disk></devices></domain>`;

/** A host whose ledger says that a VM with that disk was moved away. */
const hookFor = async (path: string, use?: Interpreters): Promise<string> => {
  const ledger = ledgerIn(stateFolder());
  const disks = [{ path, identity: '' }];
  await ledger.transition(randomUUID(), to('released', { note: 'moved to beta', disks }));
  return writeHook(ledger.stateDir, use === undefined ? {} : { use });
};

describe.each(interpreters.filter(([, use]) => isHere(use)))('network disks, %s', (_, use) => {
  it.each([
    ['rbd:vms/web', `<source protocol='rbd' name='vms/web'><host name='m'/></source>`],
    ['rbd:vms/web', `<source name="vms/web" index='1' protocol="rbd"/>`],
    ['rbd:vms/web', `<source\n  protocol = "rbd"\n  name='vms&#x2f;web'></source>`],
    ['rbd:vms/a&b', `<source protocol='rbd' name='vms/a&amp;b'/>`],
    ["rbd:vms/it's 50%", `<source protocol='rbd' name="vms/it's 50%"/>`],
    ['rbd:vms/ns/web', `<source protocol='rbd' name='vms/ns/web'/>`],
    [`iscsi:${iqn}/2`, `<source protocol='iscsi' name='${iqn}/2'><host name='s'/></source>`],
    [`iscsi:${iqn}/2`, `<source protocol='iscsi' name='${iqn}/02'/>`],
    [`iscsi:${iqn}/0`, `<source protocol='iscsi' name='${iqn}'/>`],
    [`iscsi:${iqn}/0`, `<source protocol='iscsi' name='${iqn}/'/>`],
    ['nfs:/export/web.raw', `<source protocol='nfs' name='/export/web.raw'/>`],
  ])('keeps another VM off %s, named as %s', async (path, source) => {
    const verdict = runHook(await hookFor(path, use), xmlWith(source));
    expect(verdict).toMatchObject({ status: 1, stdout: '' });
    expect(verdict.stderr).toContain(`its disk ${path} belongs to VM web`);
  });

  it.each([
    ['rbd:vms/web', `<source protocol='rbd' name='vms/web2'/>`],
    ['rbd:vms/web', `<source protocol='rbd' name='other/web'/>`],
    ['rbd:vms/web', `<source protocol='nbd' name='vms/web'/>`],
    ['rbd:vms/web', `<source protocol='rbd'/>`],
    [`iscsi:${iqn}/2`, `<source protocol='iscsi' name='${iqn}/22'/>`],
    [`iscsi:${iqn}/2`, `<source protocol='iscsi' name='${iqn}'/>`],
  ])('lets a VM start whose disk only looks like %s: %s', async (path, source) => {
    const verdict = runHook(await hookFor(path, use), xmlWith(source));
    expect(verdict).toMatchObject({ status: 0, stderr: '', stdout: '' });
  });
});

it('spends on a network disk among many a small part of what it spends anyhow', async () => {
  const hook = await hookFor('rbd:vms/web');
  const many = domainWith(40);
  const one = domainWith(1);
  const rounds = Array.from({ length: 7 }, () => ({
    many: runHook(hook, many).ms,
    one: runHook(hook, one).ms,
  }));
  // The best of some, for the machine may be busy. A process for each disk would more than double it.
  const best = (name: 'many' | 'one') => Math.min(...rounds.map((round) => round[name]));
  expect(best('many')).toBeLessThan(2 * best('one'));
});

function domainWith(disks: number): string {
  const sources = Array.from(
    { length: disks },
    (_, at) => `<source protocol='rbd' name='vms/${at}'/>`,
  );
  const elements = sources.map((source) => `<disk type='network'>${source}</disk>`).join('');
  return `<domain><name>x</name><uuid>${randomUUID()}</uuid><devices>${elements}</devices></domain>`;
}
