import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { removeSource } from '../../../activities/commit.ts';
import { identitiesOf } from '../../../activities/identities.ts';
import type { Hypervisor } from '../../../activities/parts.ts';
import type { DiskPlan } from '../../../domain/disk-plan.ts';
import { hostParts } from './host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-remove-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const vm = { name: 'web', uuid: randomUUID() };
const { signal } = new AbortController();

const plan = (changes: Partial<DiskPlan>): DiskPlan => ({
  name: 'vda',
  sourcePath: '',
  sourceFormat: 'raw',
  sourceKind: 'file',
  capacityBytes: 1,
  targetPool: 'default',
  targetVolume: 'web.raw',
  targetPath: '/there/web.raw',
  targetFormat: 'raw',
  targetKind: 'file',
  how: 'copy',
  allocation: 'thin',
  exclusive: true,
  ...changes,
});
const image = (name: string, changes: Partial<DiskPlan> = {}) =>
  plan({
    name,
    sourceKind: 'network',
    sourcePath: `rbd:vms/${name}`,
    sourceNetwork: { protocol: 'rbd', name: `vms/${name}`, hosts: [] },
    ...changes,
  });

/** A released source whose hypervisor deletes what lies in a pool; gives what two attempts in a row answer. */
async function removeTwice(disks: DiskPlan[], pooled: (path: string) => boolean) {
  const deleted: string[] = [];
  const hypervisor: Partial<Hypervisor> = {
    undefine: () => Promise.resolve(),
    async deleteVolume({ path, kind }) {
      if (!pooled(path)) return false;
      deleted.push(path);
      if (kind === 'file') await rm(path);
      return true;
    },
  };
  const parts = hostParts({ name: 'alpha', stateDir, hypervisor });
  const { ledger } = parts;
  const migrationId = randomUUID();
  const out = { epoch: 1, migrationId, name: vm.name, note: '' };
  await ledger.transition(vm.uuid, {
    ...out,
    to: 'released',
    disks: await identitiesOf(disks, 'source'),
  });
  const ref = { moveId: 'migrate/default/web', migrationId, vm, epoch: 1, target: 'beta', disks };
  const first = await removeSource(parts, ref, signal);
  const again = await removeSource(parts, ref, signal);
  return { first: first.left, again: again.left, deleted };
}

it('deletes a network image once, and says so again if its answer was lost', async () => {
  const { first, again, deleted } = await removeTwice([image('vda')], () => true);
  expect(deleted).toEqual(['rbd:vms/vda']);
  expect(first).toEqual([]);
  expect(again).toEqual([]);
});

it('names in each attempt what is a LUN, what others may use, and what lies in no pool', async () => {
  const file = join(stateDir, 'web.raw');
  await writeFile(file, 'x');
  const lun = image('vdc', {
    sourcePath: 'iscsi:iqn.2026-11.example:web/1',
    sourceNetwork: { protocol: 'iscsi', name: 'iqn.2026-11.example:web/1', hosts: [] },
  });
  const disks = [
    ...[image('vda'), image('vdb', { exclusive: false }), lun],
    plan({ name: 'vdd', sourcePath: file }),
  ];
  const { first, again, deleted } = await removeTwice(disks, (path) => path !== file);
  expect(deleted).toEqual(['rbd:vms/vda']);
  expect(first).toEqual(['rbd:vms/vdb', lun.sourcePath, file]);
  expect(again).toEqual(first);
});

it('leaves an image below a chain’s top, and names it once though two disks lie on it', async () => {
  const [top, base] = [join(stateDir, 'web.qcow2'), join(stateDir, 'base.raw')];
  for (const path of [top, base]) await writeFile(path, 'x');
  const below = { sourcePath: base, exclusive: false };
  const disks = [
    ...[plan({ name: 'vda.1', ...below }), plan({ sourcePath: top, liesOn: 'vda.1' })],
    plan({ name: 'vdb.1', ...below }),
  ];
  const { first, again, deleted } = await removeTwice(disks, () => true);
  expect(deleted).toEqual([top]);
  expect(first).toEqual([base]);
  expect(again).toEqual([base]);
});
