/** A live migration between two real hosts, as the guard of the target sees it. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderHook } from '../../../guard/install.ts';
import { Ledger } from '../../../guard/ledger.ts';
import type { LabHost } from '../../../lab/host.ts';
import { Lab } from '../../../lab/lab.ts';
import { defineTiny, must, virsh, withXml } from '../refusals/tiny-vm.ts';
import type { TinyVm } from '../refusals/tiny-vm.ts';

const move = { migrationId: 'move-1', epoch: 2 };

let dir: string;
let lab: Lab;
let alpha: LabHost;
let beta: LabHost;
let ship: TinyVm;
let ledger: Ledger;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'admitted-'));
  lab = await Lab.up({ name: 'admitted', dir: join(dir, 'lab'), discard: dir, shared: true });
  alpha = lab.host('alpha');
  beta = lab.host('beta');
  const hooks = beta.rootOf(join(beta.hooksDir, 'qemu.d'));
  await mkdir(hooks, { recursive: true });
  await writeFile(join(hooks, '50-vmferry'), await renderHook(beta.stateDir), { mode: 0o755 });
  await beta.libvirtd.reload();

  const path = join(alpha.sharedPoolPath, 'ship.raw');
  await alpha.exec(['qemu-img', 'create', '-q', '-f', 'raw', path, '4M'], { timeoutMs: 30_000 });
  ship = await defineTiny(alpha, { name: 'ship', disk: { path } });
  await must(alpha, 'start', 'ship');
  ledger = new Ledger({ stateDir: beta.rootOf(beta.stateDir), host: 'beta' });
  await ledger.transition(ship.uuid, {
    ...{ to: 'incoming', name: 'ship', note: 'from alpha' },
    ...move,
  });
});
afterAll(async () => {
  await lab.down();
  await rm(dir, { recursive: true, force: true });
});

/** The destination's definition, with that token in vmferry's note; the persistent one has none. */
async function migrate(token?: string): Promise<{ ok: boolean; words: string }> {
  const xml = await must(alpha, 'dumpxml', '--migratable', 'ship');
  const admit = token === undefined ? '' : `<vmferry:admit>${token}</vmferry:admit>`;
  const noted = xml.replace(
    '</uuid>',
    `</uuid><metadata><vmferry:vm xmlns:vmferry="urn:vmferry:domain:1"><vmferry:owner>beta</vmferry:owner>${admit}</vmferry:vm></metadata>`,
  );
  // The disk is on storage that both hosts see, which libvirt cannot know.
  const flags = ['--live', '--p2p', '--persistent', '--unsafe', '--tls'];
  return withXml(alpha, noted, (live) =>
    withXml(alpha, ship.xml, (persistent) =>
      virsh(
        alpha,
        ...['migrate', ...flags, 'ship', 'qemu+tls://beta/system'],
        ...['--xml', live, '--persistent-xml', persistent],
      ),
    ),
  );
}

/** The guest runs on where it was, as the process it was, and the target holds nothing of it. */
async function expectStayed(said: { ok: boolean; words: string }, id: string, why: string) {
  expect(said.ok, said.words).toBe(false);
  expect(said.words).toContain('vmferry: VM ship may not start on this host');
  expect(said.words).toContain(why);
  expect(await must(alpha, 'domstate', 'ship')).toBe('running');
  expect(await must(alpha, 'domid', 'ship')).toBe(id);
  expect(await must(beta, 'list', '--all', '--name')).toBe('');
}

it('a migration that is not admitted is refused, and the guest runs on where it was', async () => {
  const id = await must(alpha, 'domid', 'ship');
  await expectStayed(await migrate(), id, 'no live migration is admitted yet');
  await ledger.admit(ship.uuid, move);
  await expectStayed(await migrate(), id, 'carries no admission');
  await expectStayed(await migrate('f'.repeat(32)), id, 'carries another admission');
  expect(await ledger.runCount(ship.uuid)).toBe(0);
});

it('an admitted one arrives, and its token stays out of the definition on disk', async () => {
  const token = await ledger.admit(ship.uuid, move);
  expect(await migrate(token)).toMatchObject({ ok: true });
  expect(await must(beta, 'domstate', 'ship')).toBe('running');
  expect(await must(alpha, 'domstate', 'ship')).toBe('shut off');
  expect(await must(beta, 'dumpxml', '--inactive', 'ship')).not.toContain(token);
  expect(await ledger.runCount(ship.uuid)).toBe(1);
  expect(await ledger.admission(ship.uuid, move)).toBe('used');
});

it('the same token lets it in no second time, and a restart of libvirtd leaves it running', async () => {
  const token = /<vmferry:admit>(\w+)</.exec(await must(beta, 'dumpxml', 'ship'))?.[1];
  const onBeta = await must(beta, 'domid', 'ship');
  await beta.libvirtd.kill9();
  await beta.libvirtd.start();
  // Needs QEMU's monitor, so libvirtd has taken the guest up again, hook and all, once it is done.
  await must(beta, 'suspend', 'ship');
  expect(await must(beta, 'domid', 'ship')).toBe(onBeta);
  await must(beta, 'destroy', 'ship');
  // Its definition on disk has no token, and none that was used would help it.
  expect((await virsh(beta, 'start', 'ship')).words).toContain('carries no admission');
  await must(beta, 'undefine', 'ship');

  await must(alpha, 'start', 'ship');
  const id = await must(alpha, 'domid', 'ship');
  await expectStayed(await migrate(token), id, 'used before');
  const next = await ledger.admit(ship.uuid, { ...move, again: true });
  expect(await ledger.withdraw(ship.uuid, move)).toBe('withdrawn');
  await expectStayed(await migrate(next), id, 'was withdrawn');
  expect(await ledger.runCount(ship.uuid)).toBe(1);
});
