import { access, link, open, readFile, rename, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listOrphans, settleOrphan } from '../../../activities/orphans.ts';
import { permanent } from '../../../domain/errors.ts';
import { fakeHost } from '../reconcile/fake-host.ts';
import type { FakeHost } from '../reconcile/fake-host.ts';

let host: FakeHost;
beforeEach(async () => {
  host = await fakeHost();
});
afterEach(() => host[Symbol.asyncDispose]());

const other = '11111111-2222-4333-8444-555555555555';
const list = () => listOrphans(host.parts, host.care);
const settle = (id: string, order: 'remove' | 'keep' = 'remove') =>
  settleOrphan(
    host.parts,
    host.care,
    { id, order, operator: 'ada@desk' },
    new AbortController().signal,
  );
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** A volume that a terminated move left, set aside already. */
async function left(change: { knownBefore?: boolean } = {}) {
  const move = await host.move();
  const path = await move.reserve(change);
  host.fates.set(move.migrationId, { state: 'closed', how: 'terminated' });
  const [orphan] = await list();
  return { move, path, id: orphan!.id, orphan: orphan! };
}
const refused = async (id: string, path: string, code: string): Promise<void> => {
  await expect(settle(id)).rejects.toMatchObject({ code });
  expect(await exists(path)).toBe(true);
  expect(host.said.filter((one) => one.startsWith('delete'))).toEqual([]);
};

it('shows what lies where, since when, of which move and why, and keeps its ID', async () => {
  const { move, path, orphan } = await left();
  expect(orphan).toMatchObject({
    host: 'beta',
    kind: 'volume',
    what: path,
    moveId: move.moveId,
    usedBy: [],
    removable: true,
  });
  expect(orphan.sizeBytes).toBeGreaterThan(0);
  expect(Date.parse(orphan.since)).toBeGreaterThan(Date.now() - 60_000);
  expect(await list()).toEqual([orphan]);
});

it('removes it by word, with the ledger entry of a VM that was never here', async () => {
  const { move, path, id } = await left();
  expect(await settle(id)).toEqual({ id, what: path, done: 'removed' });
  expect(await exists(path)).toBe(false);
  expect(await list()).toEqual([]);
  expect(await host.ledger.read(move.vm.uuid)).toBeUndefined();
  const audit = JSON.parse(await readFile(join(host.stateDir, 'audit.log'), 'utf8')) as object;
  expect(audit).toMatchObject({ what: 'remove orphan', operator: 'ada@desk', orphan: { id } });
});

it('keeps saying that another host owns a VM that was known here before', async () => {
  const { move, id } = await left({ knownBefore: true });
  await settle(id);
  expect(await host.ledger.read(move.vm.uuid)).toMatchObject({ state: 'released', disks: [] });
});

it('takes it out of the list for good if a person keeps it', async () => {
  const { path, id } = await left();
  expect(await settle(id, 'keep')).toMatchObject({ done: 'kept' });
  expect(await list()).toEqual([]);
  expect(await exists(path)).toBe(true);
  await expect(settle(id)).rejects.toMatchObject({ code: 'orphan-unknown' });
});

it.each([
  ['names it', (path: string) => ({ disks: [path] })],
  ['has an overlay on it', (path: string) => ({ disks: ['/x/top.qcow2'], backing: [path] })],
])('never removes a disk while a VM %s', async (_, disks) => {
  const { path, id } = await left();
  host.vms.push({ name: 'squatter', uuid: other, ...disks(path) });
  await refused(id, path, 'orphan-in-use');
});

it.each([
  ['hard', link],
  ['symbolic', symlink],
])('never removes a disk that a VM names by a %s link', async (_, make) => {
  const { path, id } = await left();
  const alias = join(host.pool, 'alias.raw');
  await make(path, alias);
  host.vms.push({ name: 'squatter', uuid: other, disks: [alias] });
  expect(await list()).toMatchObject([{ usedBy: ['VM squatter'], removable: false }]);
  await refused(id, path, 'orphan-in-use');
});

it('never removes a disk that the guard keeps for another VM, also one that left', async () => {
  const { path, id } = await left();
  const entry = { epoch: 1, migrationId: 'other', name: 'db', note: '' };
  await host.ledger.transition(other, {
    ...entry,
    to: 'released',
    disks: [{ path, identity: '' }],
  });
  expect(await list()).toMatchObject([{ usedBy: ["the guard's entry of db"], removable: false }]);
  await refused(id, path, 'orphan-in-use');
});

it('never removes a disk while a ledger file is damaged, for nobody knows whose disks it names', async () => {
  const { path, id } = await left();
  await writeFile(join(host.ledger.folder, other), 'damaged');
  await refused(id, path, 'orphan-in-use');
});

it('never removes a file that a process has open', async () => {
  const { path, id } = await left();
  const child = (await import('node:child_process')).spawn('tail', ['-f', path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    // It has written what it read, so the file is open.
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect(settle(id)).rejects.toThrow(`tail (${String(child.pid)})`);
    expect(await exists(path)).toBe(true);
  } finally {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
  }
});

it('never removes another file that lies there now', async () => {
  const { path, id } = await left();
  await rename(path, `${path}.old`);
  await writeFile(path, 'somebody else’s');
  await refused(id, path, 'orphan-changed');
});

it('never removes a file that the move may not have made', async () => {
  const move = await host.move();
  const path = join(host.pool, 'strange.raw');
  await writeFile(path, 'x');
  const volume = { disk: 'vda', pool: 'default', volume: 'strange.raw', path };
  await move.reserve({
    volumes: [{ ...volume, kind: 'file', format: 'raw', identity: '' }],
  });
  host.fates.set(move.migrationId, { state: 'closed', how: 'terminated' });
  const [orphan] = await list();
  expect(orphan).toMatchObject({ what: path, removable: false });
  await refused(orphan!.id, path, 'orphan-not-ours');
});

it('never removes anything of a move that runs, was reset, or is being worked on here', async () => {
  const { move, path, id } = await left();
  host.fates.set(move.migrationId, { state: 'open' });
  await refused(id, path, 'move-runs');
  host.fates.set(move.migrationId, { state: 'unknown', why: 'unreachable', detail: 'away' });
  await refused(id, path, 'move-fate-unknown');
  host.fates.set(move.migrationId, { state: 'closed', how: 'terminated' });
  host.working.add(move.migrationId);
  await refused(id, path, 'move-runs');
});

it('asks the policy first', async () => {
  const { path, id } = await left();
  const denied = permanent({ code: 'policy-denied', message: 'no', remedy: 'ask' });
  host.care.admit = () => Promise.reject(denied);
  await refused(id, path, 'policy-denied');
  await expect(settle(id, 'keep')).rejects.toMatchObject({ code: 'policy-denied' });
});

it('forgets what somebody else has removed', async () => {
  const { path, id } = await left();
  await rename(path, `${path}.gone`);
  expect(await settle(id)).toMatchObject({ done: 'removed' });
  expect(await list()).toEqual([]);
});

it('removes what is left of a move that Temporal lost, volumes first, by word', async () => {
  const move = await host.move();
  const path = await move.reserve();
  host.exported.push({ moveId: move.migrationId, diskName: 'vda' });
  const found = await list();
  const of = (kind: string) => found.find((one) => one.kind === kind)!;
  await expect(settle(of('vm').id)).rejects.toMatchObject({ code: 'orphan-is-a-vm' });
  await expect(settle(of('folder').id)).rejects.toMatchObject({ code: 'orphan-has-volumes' });
  await settle(of('volume').id);
  expect(await exists(path)).toBe(false);
  await settle(of('folder').id);
  expect(host.exported).toEqual([]);
  // The guard holds the VM on: only a claim changes that.
  expect((await list()).map(({ kind }) => kind)).toEqual(['vm']);
});

it('removes nothing of a move that nobody can be asked about while the guard keeps a VM for it', async () => {
  const move = await host.move();
  await move.reserve({ volumes: [] });
  await move.folder.removeFile('move.json');
  const longAgo = new Date(0);
  await utimes(move.folder.path, longAgo, longAgo);
  const folder = (await list()).find(({ kind }) => kind === 'folder')!;
  await expect(settle(folder.id)).rejects.toMatchObject({ code: 'orphan-held' });
  expect(await exists(move.folder.path)).toBe(true);
});

it('reads a register that a killed worker was writing', async () => {
  const { id } = await left();
  const half = await open(join(host.stateDir, 'orphans', `${id}.json.new`), 'w');
  await half.writeFile('{"orph');
  await half.close();
  expect(await list()).toHaveLength(1);
});
