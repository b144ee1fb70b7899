import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MoveFolder } from '../../../activities/move-folder.ts';
import type { Hypervisor } from '../../../activities/parts.ts';
import { clearTarget } from '../../../activities/undo.ts';
import { diskIdentity } from '../../../guard/identity.ts';
import { hostParts } from './host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-clear-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const vm = { name: 'web', uuid: randomUUID() };

/** A target that made one volume and got a definition, told to clear up. */
async function play(changes: { keepVolumes?: true }) {
  const order: string[] = [];
  const path = join(stateDir, 'web.raw');
  await writeFile(path, 'bytes');
  const hypervisor: Partial<Hypervisor> = {
    undefine: () => {
      order.push('undefine');
      return Promise.resolve();
    },
    deleteVolume: ({ path: deleted }) => {
      order.push(`delete ${deleted === path ? 'the volume' : deleted}`);
      return Promise.resolve(true);
    },
  };
  const parts = hostParts({ name: 'beta', stateDir, hypervisor });
  const { ledger } = parts;
  const migrationId = randomUUID();
  const folder = new MoveFolder({ stateDir, migrationId, host: 'beta' });
  const made = { disk: 'vda', pool: 'default', volume: 'web.raw', path, kind: 'file' as const };
  const identity = await diskIdentity(path);
  await folder.write('target', {
    ...{ knownBefore: false, defined: true },
    volumes: [{ ...made, format: 'raw', identity }],
  });
  const incoming = { epoch: 1, migrationId, name: vm.name, note: '', disks: [{ path, identity }] };
  await ledger.transition(vm.uuid, { ...incoming, to: 'incoming' });
  const ref = { moveId: 'migrate/default/web', migrationId, vm, epoch: 1, ...changes };
  await clearTarget(parts, ref, new AbortController().signal);
  return { order, entry: await ledger.read(vm.uuid), memory: await folder.read('target') };
}

it('leaves nothing of a move that was undone', async () => {
  const { order, entry, memory } = await play({});
  expect(order).toEqual(['undefine', 'delete the volume']);
  expect([entry, memory]).toEqual([undefined, undefined]);
});

it('keeps the volumes if that was asked, and what the list of orphans finds them by; the VM goes', async () => {
  const { order, entry, memory } = await play({ keepVolumes: true });
  expect(order).toEqual(['undefine']);
  expect(entry).toBeUndefined();
  expect(memory?.volumes).toMatchObject([{ disk: 'vda', volume: 'web.raw' }]);
});
