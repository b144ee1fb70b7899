import { access, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MoveFate } from '../../../domain/orphans.ts';
import { claim } from '../../../guard/claim.ts';
import { fakeHost } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';

let host: FakeHost;
beforeEach(async () => {
  host = await fakeHost();
});
afterEach(() => host[Symbol.asyncDispose]());

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
const terminated: MoveFate = { state: 'closed', how: 'terminated' };
const moveFolders = (): Promise<string[]> => readdir(join(host.stateDir, 'moves')).catch(() => []);

describe('a move that Temporal says is over', () => {
  it('loses its exports and its files; its volume stays, set aside', async () => {
    const move = await host.move();
    const path = await move.reserve();
    await move.folder.writeFile('definition.xml', Buffer.from('<domain/>'));
    host.exported.push({ moveId: move.migrationId, diskName: 'vda' });
    host.fates.set(move.migrationId, terminated);
    expect(await host.reconciler.round()).toEqual([]);
    expect(host.exported).toEqual([]);
    expect(await moveFolders()).toEqual([]);
    expect(await exists(path)).toBe(true);
    expect(await exists(`${path}.vmferry-journal`)).toBe(false);
    expect(await host.quarantine.list()).toMatchObject([
      { kind: 'volume', what: path, migrationId: move.migrationId, vm: move.vm },
    ]);
    expect(await host.ledger.read(move.vm.uuid)).toMatchObject({
      state: 'quarantined',
      disks: [{ path }],
    });
  });

  it('is cleared up once, however often it is looked at', async () => {
    const move = await host.move();
    await move.reserve();
    host.fates.set(move.migrationId, terminated);
    await host.reconciler.round();
    const first = await host.quarantine.list();
    await host.reconciler.round();
    expect(await host.quarantine.list()).toEqual(first);
    expect(host.said).toEqual(['close exports']);
  });

  it('goes on being cleared up where an earlier round was cut off', async () => {
    const move = await host.move();
    const path = await move.reserve();
    host.fates.set(move.migrationId, terminated);
    const release = host.parts.ledger.transition.bind(host.parts.ledger);
    host.parts.ledger.transition = () => Promise.reject(new Error('power cut'));
    await host.reconciler.round();
    expect(await moveFolders()).toEqual([move.migrationId]);
    host.parts.ledger.transition = release;
    await host.reconciler.round();
    expect(await moveFolders()).toEqual([]);
    expect((await host.quarantine.list()).map(({ what }) => what)).toEqual([path]);
    expect(await host.ledger.read(move.vm.uuid)).toMatchObject({ state: 'quarantined' });
  });

  it('gives the ledger back if it had made no volume', async () => {
    const move = await host.move();
    const path = await move.reserve({ volumes: [] });
    host.fates.set(move.migrationId, { state: 'closed', how: 'cancelled' });
    await host.reconciler.round();
    expect(await host.ledger.read(move.vm.uuid)).toBeUndefined();
    expect(await host.quarantine.list()).toEqual([]);
    expect(await exists(path)).toBe(true);
  });

  it('takes its definition back from a VM that never was this host’s, but not from one that runs', async () => {
    const off = await host.move();
    await off.reserve({ defined: true });
    host.domains.set(off.vm.uuid, 'shut-off');
    const on = await host.move();
    await on.reserve({ defined: true });
    host.domains.set(on.vm.uuid, 'running');
    for (const { migrationId } of [off, on]) host.fates.set(migrationId, terminated);
    await host.reconciler.round();
    expect([...host.domains.keys()]).toEqual([on.vm.uuid]);
  });

  it('leaves the disks of a VM that has moved in alone', async () => {
    const move = await host.move();
    const path = await move.reserve({ defined: true });
    host.domains.set(move.vm.uuid, 'shut-off');
    await move.ledgerTo('owner');
    host.fates.set(move.migrationId, terminated);
    expect(await host.reconciler.round()).toEqual([]);
    expect(await host.quarantine.list()).toEqual([]);
    expect(await exists(path)).toBe(true);
    expect(host.domains.size).toBe(1);
    expect(await host.ledger.read(move.vm.uuid)).toMatchObject({ state: 'owner' });
    expect(await moveFolders()).toEqual([]);
  });

  it('does not touch a VM that a person has claimed since', async () => {
    const move = await host.move();
    const path = await move.reserve({ defined: true });
    host.domains.set(move.vm.uuid, 'shut-off');
    const { uuid, name } = move.vm;
    await claim({ ledger: host.ledger, uuid, operator: 'ada', reason: 'it is mine' });
    host.vms.push({ uuid, name, disks: [path] });
    host.fates.set(move.migrationId, terminated);
    await host.reconciler.round();
    expect(host.domains.size).toBe(1);
    expect(await host.quarantine.list()).toEqual([]);
    expect(await host.ledger.read(uuid)).toMatchObject({ state: 'owner', migrationId: '' });
  });

  it('never lets go of a VM on its source: that is a person’s word', async () => {
    const move = await host.move('source');
    await move.guard();
    await move.folder.writeFile('definition.raw', Buffer.from('secret'));
    host.fates.set(move.migrationId, terminated);
    for (let round = 0; round < 2; round += 1) {
      const [held, ...others] = await host.reconciler.round();
      expect(others).toEqual([]);
      expect(held).toMatchObject({ kind: 'vm', what: move.vm.uuid });
      expect(held?.why).toMatch(/was terminated.*migrating-out.*running.*autostart on/);
      expect(held?.remedy).toContain(`vmferry guard claim ${move.vm.uuid}`);
    }
    expect(await host.ledger.read(move.vm.uuid)).toMatchObject({ state: 'migrating-out' });
    expect((await readdir(move.folder.path)).sort()).toEqual(['move.json', 'source.json']);
    await claim({ ledger: host.ledger, uuid: move.vm.uuid, operator: 'ada', reason: 'looked' });
    expect(await host.reconciler.round()).toEqual([]);
    expect(await moveFolders()).toEqual([]);
  });

  it('tells of a source that gave its VM up and was never committed', async () => {
    const move = await host.move('source');
    await move.guard();
    await move.ledgerTo('released');
    host.fates.set(move.migrationId, terminated);
    expect(await host.reconciler.round()).toMatchObject([{ kind: 'vm', what: move.vm.uuid }]);
  });

  it('waits until it was seen to be over for a while', async () => {
    const patient = await fakeHost({ graceMs: 60_000 });
    await using _ = patient;
    const move = await patient.move();
    await move.reserve();
    patient.fates.set(move.migrationId, terminated);
    await patient.reconciler.round();
    await patient.reconciler.round();
    expect(patient.said).toEqual([]);
  });

  it('waits while one of its verbs still runs here', async () => {
    const move = await host.move();
    await move.reserve();
    host.fates.set(move.migrationId, terminated);
    host.working.add(move.migrationId);
    expect(await host.reconciler.round()).toEqual([]);
    expect(host.said).toEqual([]);
    host.working.clear();
    await host.reconciler.round();
    expect(host.said).toEqual(['close exports']);
  });

  it('is let alone if it was reset between two looks', async () => {
    const move = await host.move();
    await move.reserve();
    let looks = 0;
    host.witness.fateOf = () => {
      looks += 1;
      return Promise.resolve(looks === 1 ? terminated : { state: 'open' });
    };
    await host.reconciler.round();
    expect(looks).toBe(2);
    expect(host.said).toEqual([]);
    expect(await moveFolders()).toEqual([move.migrationId]);
  });
});

it('does nothing about a move that runs', async () => {
  const move = await host.move();
  await move.reserve();
  host.exported.push({ moveId: move.migrationId, diskName: 'vda' });
  host.fates.set(move.migrationId, { state: 'open' });
  expect(await host.reconciler.round()).toEqual([]);
  expect(host.said).toEqual([]);
  expect(host.exported).toHaveLength(1);
});

describe('a move of which Temporal says nothing', () => {
  it.each(['not-found', 'foreign-server', 'unclear', 'unreachable'] as const)(
    'is listed and not touched: %s',
    async (why) => {
      const move = await host.move();
      const path = await move.reserve({ defined: true });
      host.domains.set(move.vm.uuid, 'shut-off');
      host.exported.push({ moveId: move.migrationId, diskName: 'vda' });
      host.fates.set(move.migrationId, { state: 'unknown', why, detail: 'as told' });
      const found = await host.reconciler.round();
      expect(found.map(({ kind }) => kind).sort()).toEqual(['folder', 'vm', 'volume']);
      expect(found.every((one) => one.why.includes('as told'))).toBe(true);
      expect(host.said).toEqual([]);
      expect(host.exported).toHaveLength(1);
      expect(await exists(path)).toBe(true);
      expect(await host.ledger.read(move.vm.uuid)).toMatchObject({ state: 'incoming' });
      expect(await host.quarantine.list()).toEqual([]);
    },
  );

  it('leaves the list by itself when its server is back and knows it', async () => {
    const move = await host.move();
    await move.reserve();
    expect(await host.reconciler.round()).toHaveLength(3);
    host.fates.set(move.migrationId, { state: 'open' });
    expect(await host.reconciler.round()).toEqual([]);
  });

  it('does not offer the disks of a VM that has moved in', async () => {
    const move = await host.move();
    await move.reserve();
    await move.ledgerTo('owner');
    expect((await host.reconciler.round()).map(({ kind }) => kind)).toEqual(['folder']);
  });

  it('touches nothing and forgets nothing while no server answers', async () => {
    const move = await host.move();
    await move.reserve();
    const before = await host.reconciler.round();
    host.setReachable(false);
    host.fates.set(move.migrationId, terminated);
    expect(await host.reconciler.round()).toEqual(before);
    expect(host.said).toEqual([]);
  });
});

describe('a folder that does not say which move it is', () => {
  it('is let alone while it may just be being made, and listed later', async () => {
    const move = await host.move();
    await writeFile(join(move.folder.path, 'move.json'), '{"half": ');
    expect(await host.reconciler.round()).toEqual([]);
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(move.folder.path, longAgo, longAgo);
    expect(await host.reconciler.round()).toMatchObject([
      { kind: 'folder', what: move.folder.path, moveId: '' },
    ]);
    expect(host.said).toEqual([]);
  });
});

it('lists exports and held VMs that belong to no folder', async () => {
  host.exported.push({ moveId: 'ab12', diskName: 'vda' }, { moveId: 'ab12', diskName: 'vdb' });
  const move = await host.move();
  await move.reserve();
  await move.folder.remove();
  const found = await host.reconciler.round();
  expect(found.map(({ kind, what }) => [kind, what]).sort()).toEqual([
    ['export', 'ab12'],
    ['vm', move.vm.uuid],
  ]);
  expect(found.find(({ kind }) => kind === 'export')?.why).toContain('vda, vdb');
  expect(host.exported).toHaveLength(2);
});

it('looks once for all who ask at the same time', async () => {
  const move = await host.move();
  await move.reserve();
  host.fates.set(move.migrationId, terminated);
  await Promise.all([1, 2, 3].map(() => host.reconciler.round()));
  expect(host.said).toEqual(['close exports']);
});

it('one move that cannot be cleared up does not keep the others', async () => {
  const [bad, good] = [await host.move(), await host.move()];
  await bad.reserve();
  await good.reserve();
  await writeFile(join(bad.folder.path, 'target.json'), 'not JSON');
  for (const { migrationId } of [bad, good]) host.fates.set(migrationId, terminated);
  const found = await host.reconciler.round();
  expect(await moveFolders()).toEqual([bad.migrationId]);
  expect(found.find(({ kind }) => kind === 'folder')?.why).toContain('target.json cannot be read');
});

it('ends with its signal, in the pause between two rounds', async () => {
  const stop = new AbortController();
  const running = host.reconciler.run(stop.signal);
  await host.reconciler.round();
  stop.abort();
  await running;
});
