/** What libvirt itself lets happen to a VM on the host that it has left, and on the one that it came to. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Ledger } from '../../../guard/ledger.ts';
import type { LabHost } from '../../../lab/host.ts';
import { defineTiny, must, tinyVm, virsh, withXml } from '../refusals/tiny-vm.ts';
import type { TinyVm } from '../refusals/tiny-vm.ts';
import { ended, openStage, reached } from '../stage.ts';
import type { Stage } from '../stage.ts';

const mebibyte = 1024 * 1024;
const patience = { timeout: 30_000 };
/** A memory image of the guest, taken before it moved. */
const savedMemory = '/var/lib/vmferry/ship.saved';

let stage: Stage;
let alpha: LabHost;
let beta: LabHost;
let ship: TinyVm;

beforeAll(async () => {
  stage = await openStage({ name: 'released', poolBytes: 256 * mebibyte });
  alpha = stage.lab.host('alpha');
  beta = stage.lab.host('beta');
  ship = await defineTiny(alpha, { name: 'ship', disk: 'raw', mac: '52:54:00:bb:00:01' });
  await must(alpha, 'start', 'ship');
  await must(alpha, 'save', 'ship', savedMemory);
  await must(alpha, 'start', 'ship');
});
afterAll(async () => stage.close());

/** There is no guest system that would listen to the power button. */
const move = () =>
  stage.ferry.migrate({ vm: 'ship', from: 'alpha', to: 'beta', shutdown: 'force' });

const ledgerOf = (host: LabHost): Ledger =>
  new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name });

/** libvirt refused, and in the words that tell a person where the VM is. */
const expectRefused = (said: { ok: boolean; words: string }, note: string): void => {
  expect(said.ok, said.words).toBe(false);
  expect(said.words).toMatch(/vmferry: VM .* may not start on this host/);
  expect(said.words).toContain(ship.uuid);
  expect(said.words).toContain(note);
};

/** Ends libvirtd as a crash would, and lets it start its autostart VMs again as after a boot. */
async function restartLibvirtd(host: LabHost): Promise<void> {
  await host.libvirtd.kill9();
  await rm(host.rootOf('/run/libvirt/qemu/autostarted'), { force: true });
  await host.libvirtd.start();
}

it('a VM that waits for its commit starts nowhere but on its new host', async () => {
  const report = await reached(await move(), 'awaiting-commit');
  expect(report).toMatchObject({ phase: 'awaiting-commit', vmOn: 'beta', oneRunning: 'enforced' });
  expect(await must(beta, 'domstate', 'ship')).toBe('running');

  expectRefused(await virsh(alpha, 'start', 'ship'), 'moved to beta');
  expectRefused(
    await withXml(alpha, ship.xml, (file) => virsh(alpha, 'create', file)),
    'moved to beta',
  );
  expectRefused(await virsh(alpha, 'restore', savedMemory), 'moved to beta');
  const again = await defineTiny(alpha, { name: 'again', disk: { path: ship.diskPath } });
  expectRefused(await virsh(alpha, 'start', again.name), 'moved to beta');
  await must(alpha, 'undefine', again.name);
  expect(await must(alpha, 'domstate', 'ship')).toBe('shut off');
});

it('nor does it by autostart when libvirtd comes up on the host that it left', async () => {
  const mine = await defineTiny(alpha, { name: 'mine' });
  for (const { name } of [ship, mine]) await must(alpha, 'autostart', name);
  await restartLibvirtd(alpha);
  await expect.poll(() => must(alpha, 'domstate', 'mine'), patience).toBe('running');
  const log = alpha.rootOf('/var/log/libvirt/libvirtd.log');
  await expect
    .poll(() => readFile(log, 'utf8'), patience)
    .toMatch(/autostart.*'?ship'?.*vmferry: VM.*moved to beta/);
  expect(await must(alpha, 'domstate', 'ship')).toBe('shut off');
  await must(alpha, 'autostart', '--disable', 'ship');
});

it('a restart of libvirtd on its new host leaves the guest running', async () => {
  const id = await must(beta, 'domid', 'ship');
  await restartLibvirtd(beta);
  // Both need QEMU's monitor, so libvirtd has taken the guest up again, hook and all, once they are done.
  await must(beta, 'suspend', 'ship');
  await must(beta, 'resume', 'ship');
  expect(await must(beta, 'domstate', 'ship')).toBe('running');
  expect(await must(beta, 'domid', 'ship')).toBe(id);
});

it('after a rollback it runs where it was, and the other host refuses it', async () => {
  const move = await stage.ferry.move('ship');
  await expect(move.rollback()).rejects.toMatchObject({
    message: expect.stringContaining('--discard-target-writes') as string,
  });
  await move.rollback({ discardTargetWrites: true });
  expect(await ended(move)).toMatchObject({
    phase: 'rolled-back',
    vmOn: 'alpha',
    vmRunning: true,
    failedCompensations: [],
  });
  expect(await must(alpha, 'domstate', 'ship')).toBe('running');
  const { xml } = await tinyVm(beta, { name: 'ship', uuid: ship.uuid });
  expectRefused(
    await withXml(beta, xml, (file) => virsh(beta, 'create', file)),
    'given back to alpha',
  );
  expect(await must(beta, 'list', '--all', '--name')).toBe('');
  expect(await must(beta, 'vol-list', 'default')).toBe('');
});

it('after a commit nothing of it is left, and its name and path serve a new VM', async () => {
  const second = await move();
  expect(await reached(second, 'awaiting-commit')).toMatchObject({ phase: 'awaiting-commit' });
  await second.commit();
  expect(await ended(second)).toMatchObject({ phase: 'committed', vmOn: 'beta' });

  expect(await must(beta, 'domstate', 'ship')).toBe('running');
  expect((await virsh(alpha, 'dominfo', 'ship')).ok).toBe(false);
  expect(await must(alpha, 'vol-list', 'default')).toBe('');
  const entries = await Promise.all(
    [alpha, beta].map(async (host) => ledgerOf(host).read(ship.uuid)),
  );
  expect(entries).toMatchObject([
    { state: 'released', note: 'moved to beta', disks: [] },
    { state: 'owner', note: 'moved here from alpha', disks: [{ path: ship.diskPath }] },
  ]);
  expect(entries[1]!.epoch).toBeGreaterThan(entries[0]!.epoch);

  expectRefused(
    await withXml(alpha, ship.xml.replace(/<disk.*<\/disk>/s, ''), (file) =>
      virsh(alpha, 'create', file),
    ),
    'moved to beta',
  );
  const heir = await defineTiny(alpha, { name: 'ship', disk: 'raw' });
  expect(heir.diskPath).toBe(join(alpha.poolPath, 'ship.raw'));
  await must(alpha, 'start', 'ship');
  expect(await must(alpha, 'domstate', 'ship')).toBe('running');
});
