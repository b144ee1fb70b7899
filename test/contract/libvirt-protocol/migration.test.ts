/** Live migration between two real libvirtd over unix sockets: both forms, and what they report. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  Connection,
  CreateFlag,
  DomainState,
  JobStatsFlag,
  MigrateFlag,
  MigrateParam,
  numberParam,
  param,
} from '../../../protocols/libvirt/index.ts';
import type { DomainRef, TypedParam } from '../../../protocols/libvirt/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

const GUEST = '11111111-2222-4333-8444-55555555aa02';
const guestXml =
  `<domain type='qemu'><name>mover</name><uuid>${GUEST}</uuid><memory unit='MiB'>32</memory>` +
  `<os><type arch='x86_64' machine='q35'>hvm</type></os>` +
  `<devices><memballoon model='none'/></devices></domain>`;

let dir: string;
const hosts: PrivateLibvirtd[] = [];
let source: Connection;
let target: Connection;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
  const start = async (name: string): Promise<void> => {
    const socketDir = join(dir, `sock-${name}`);
    await mkdir(socketDir);
    const hostname = `vmfp-${process.pid}-${name}`;
    hosts.push(await startPrivateLibvirtd({ dir: join(dir, name), hostname, socketDir }));
  };
  await Promise.all(['a', 'b'].map(start));
  [source, target] = await Promise.all([
    Connection.open({ unixPath: join(dir, 'sock-a/libvirt-sock'), uri: 'qemu:///system' }),
    Connection.open({ unixPath: join(dir, 'sock-b/libvirt-sock'), uri: 'qemu:///system' }),
  ]);
});

afterAll(async () => {
  await Promise.all([source.close(), target.close()]);
  await Promise.all(hosts.map((host) => host.stop()));
  await rm(dir, { recursive: true, force: true });
});

const stateOn = async (connection: Connection): Promise<number> => {
  const { dom } = await connection.call('DomainLookupByUUID', { uuid: GUEST });
  return (await connection.call('DomainGetState', { dom })).state;
};

it('goes peer to peer in one call, with iterations as events and the downtime at the target', async () => {
  const { dom } = await source.call('DomainCreateXML', { xml: guestXml });
  const iterations: number[] = [];
  await source.onEvent('DomainEventCallbackMigrationIteration', ({ iteration }) =>
    iterations.push(iteration),
  );
  const { cookieOut } = await source.call(
    'DomainMigratePerform3Params',
    {
      dom,
      dconnuri: `qemu+unix:///system?socket=${dir}/sock-b/libvirt-sock`,
      params: [
        param.string(MigrateParam.uri, `unix://${dir}/migration.sock`),
        param.u64(MigrateParam.bandwidth, 1000),
      ],
      cookieIn: new Uint8Array(),
      flags: MigrateFlag.live | MigrateFlag.peer2peer,
    },
    { timeoutMs: 40_000 },
  );
  expect(cookieOut).toBeInstanceOf(Uint8Array);
  expect(iterations[0]).toBe(1);
  expect(await stateOn(target)).toBe(DomainState.running);
  expect((await source.call('ConnectListAllDomains', { needResults: 0 })).count).toBe(0);
  const moved = await target.call('DomainLookupByUUID', { uuid: GUEST });
  const flags = JobStatsFlag.completed;
  const { params } = await target.call('DomainGetJobStats', { dom: moved.dom, flags });
  expect(numberParam(params, 'downtime')).toBeGreaterThanOrEqual(0);
  expect(numberParam(params, 'memory_total')).toBeGreaterThan(0);
  await target.call('DomainDestroyFlags', moved);
});

it('goes step by step, driven by the client: begin, prepare, perform, finish, confirm', async () => {
  const { dom } = await source.call('DomainCreateXML', { xml: guestXml, flags: CreateFlag.paused });
  await source.call('DomainResume', { dom });
  const flags = MigrateFlag.live;
  const uri = param.string(MigrateParam.uri, `unix://${dir}/migration-2.sock`);
  const params: TypedParam[] = [uri];
  const begun = await source.call('DomainMigrateBegin3Params', { dom, params, flags });
  expect(begun.xml).toContain('<name>mover</name>');
  params.push(
    param.string(MigrateParam.destinationXml, begun.xml),
    param.string(MigrateParam.destinationName, 'moved'),
  );
  const prepared = await target.call('DomainMigratePrepare3Params', {
    params,
    cookieIn: begun.cookieOut,
    flags,
  });
  const performed = await source.call('DomainMigratePerform3Params', {
    dom,
    params: [uri],
    cookieIn: prepared.cookieOut,
    flags,
  });
  const finished = await target.call('DomainMigrateFinish3Params', {
    params,
    cookieIn: performed.cookieOut,
    flags,
    cancelled: 0,
  });
  expect(finished.dom).toMatchObject({ name: 'moved', uuid: GUEST } satisfies Partial<DomainRef>);
  await source.call('DomainMigrateConfirm3Params', {
    dom,
    params: [],
    cookieIn: finished.cookieOut,
    flags,
    cancelled: 0,
  });
  expect(await stateOn(target)).toBe(DomainState.running);
  expect((await source.call('ConnectListAllDomains', { needResults: 0 })).count).toBe(0);
  await target.call('DomainDestroyFlags', { dom: finished.dom });
});
