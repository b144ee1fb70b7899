import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MoveFolder } from '../../../activities/move-folder.ts';
import type { SourceMemory } from '../../../activities/move-folder.ts';
import type { DataPlane, Hypervisor } from '../../../activities/parts.ts';
import { restoreSource } from '../../../activities/undo.ts';
import { hostParts } from './host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-restore-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const vm = { name: 'web', uuid: randomUUID() };

/** A guarded source whose hypervisor only notes what it is told. */
async function play(
  source: SourceMemory,
  changes: (order: string[]) => Partial<Hypervisor> = () => ({}),
) {
  const order: string[] = [];
  const note = (what: string) => (): Promise<void> => {
    order.push(what);
    return Promise.resolve();
  };
  const hypervisor: Partial<Hypervisor> = {
    setAutostart: note('autostart'),
    start: note('start'),
    state: () => Promise.resolve('running'),
    ...changes(order),
  };
  const dataPlane: Partial<DataPlane> = { closeExports: note('close exports') };
  const parts = hostParts({ name: 'alpha', stateDir, hypervisor, dataPlane });
  const { ledger } = parts;
  const migrationId = randomUUID();
  const folder = new MoveFolder({ stateDir, migrationId, host: 'alpha' });
  await folder.write('source', source);
  const out = { epoch: 1, migrationId, name: vm.name, note: '', disks: [] };
  await ledger.transition(vm.uuid, { ...out, to: 'migrating-out' });
  const ref = { moveId: 'migrate/default/web', migrationId, vm, epoch: 1, restart: true };
  const restored = await restoreSource(parts, ref, new AbortController().signal);
  return { order, restored, ledger, folder };
}

it('ends the exports before the guest starts: they would lock its disks, or show what it writes', async () => {
  const { order, restored, ledger, folder } = await play({ wasRunning: true, autostart: true });
  expect(restored).toEqual({ running: true });
  expect(order).toEqual(['close exports', 'autostart', 'start']);
  expect(await ledger.read(vm.uuid)).toMatchObject({ state: 'owner', epoch: 1 });
  expect(await folder.read('source')).toBeUndefined();
});

it('starts a guest that was asked to shut down only once it is down: before, a start would do nothing', async () => {
  const { order } = await play({ wasRunning: true, autostart: false, asked: true }, (told) => ({
    waitUntilOff: () => {
      told.push('is down');
      return Promise.resolve(true);
    },
  }));
  expect(order).toEqual(['close exports', 'autostart', 'is down', 'start']);
});

it('leaves a guest off that was off', async () => {
  const { order } = await play({ wasRunning: false, autostart: false });
  expect(order).toEqual(['close exports', 'autostart']);
});
