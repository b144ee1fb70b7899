/** Nodes that an earlier copy left in QEMU, as a real QEMU takes them and lets go of them. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dropLeftNodes } from '../../../platforms/libvirt/live/left-nodes.ts';
import { fileDisk, run, startTestHost } from './host.ts';
import type { TestHost } from './host.ts';

let host: TestHost;
let uuid: string;

beforeAll(async () => {
  host = await startTestHost();
  const raw = join(host.poolDir, 'one.img');
  await run('truncate', ['-s', '1M', raw]);
  uuid = await host.define('guest', { disks: fileDisk(raw) });
  await host.virsh('start', 'guest', '--paused');
});

afterAll(() => host.end());

const order = (execute: string, options: object = {}): Promise<string> =>
  host.virsh('qemu-monitor-command', 'guest', JSON.stringify({ execute, arguments: options }));

const drop = (disks: readonly string[]) =>
  host.libvirt.use(async (connection) => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    return dropLeftNodes(connection, dom, { disks, host: 'alpha', cause: new Error('refused') });
  });

const nodes = async (): Promise<string[]> =>
  [...(await order('query-named-block-nodes')).matchAll(/"node-name":"(migration-[^"]+|user)"/g)]
    .map(([, name = '']) => name)
    .sort();

const leave = async (disk: string): Promise<void> => {
  const storage = `migration-${disk}-storage`;
  await order('blockdev-add', { driver: 'null-co', 'node-name': storage });
  await order('blockdev-add', {
    ...{ driver: 'raw', file: storage },
    'node-name': `migration-${disk}-format`,
  });
};

it('drops what is left of the disks of a run, and has the run tried again', async () => {
  await leave('vda');
  await leave('vdb');
  expect(await drop(['vda', 'vdc'])).toMatchObject({
    code: 'live-nodes-left',
    handling: 'transient',
  });
  expect(await nodes()).toEqual(['migration-vdb-format', 'migration-vdb-storage']);
  await drop(['vdb']);
  expect(await nodes()).toEqual([]);
});

it('leaves alone what is in use, and has a person look', async () => {
  await leave('vda');
  await order('blockdev-add', {
    ...{ driver: 'raw', file: 'migration-vda-format' },
    'node-name': 'user',
  });
  const fault = await drop(['vda']);
  expect(fault).toMatchObject({ code: 'live-nodes-in-use', handling: 'needs-operator' });
  expect(fault.message).toMatch(/migration-vda-format: .*(busy|in use)/);
  expect(await nodes()).toEqual(['migration-vda-format', 'migration-vda-storage', 'user']);
});
