/** How much at once, what is there and what is not: asked of a real libvirtd. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  Abilities,
  CallAborted,
  Connection,
  CreateFlag,
  Feature,
  findSocket,
  Lack,
  lackOf,
} from '../../../protocols/libvirt/index.ts';
import type { OpenOptions } from '../../../protocols/libvirt/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

let dir: string;
let host: PrivateLibvirtd;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
});
afterEach(async () => {
  await host.stop();
  await rm(dir, { recursive: true, force: true });
});

/** Guests named slow-* start after a second. */
const slow = '#!/bin/sh\ncase $1-$2 in slow-*-prepare) sleep 1;; esac\n';
const guestXml = (name: string): string =>
  `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory>` +
  `<os><type arch='x86_64' machine='q35'>hvm</type></os>` +
  `<devices><memballoon model='none'/></devices></domain>`;

const start = async (maxClientRequests: number): Promise<void> => {
  const config = [`max_client_requests = ${maxClientRequests}`];
  host = await startPrivateLibvirtd({ dir: join(dir, 'host'), config, qemuHook: slow });
};
const open = (options: Partial<OpenOptions> = {}): Promise<Connection> =>
  Connection.open({ unixPath: host.unixPath, uri: 'qemu:///system', ...options });
const hostnames = (connection: Connection, count: number, signal?: AbortSignal) =>
  Array.from({ length: count }, () =>
    connection.call('ConnectGetHostname', {}, signal === undefined ? {} : { signal }),
  );

describe.each([1, 5])('with max_client_requests of %i', (maxClientRequests) => {
  it('200 calls at once are all answered, those given up are not sent, and a long one does no harm', async () => {
    await start(maxClientRequests);
    await using connection = await open({
      maxClientRequests,
      keepAlive: { intervalMs: 100, count: 2 },
    });
    expect(await Promise.all(hostnames(connection, 200))).toHaveLength(200);
    const stop = new AbortController();
    const long = connection.call('DomainCreateXML', {
      xml: guestXml('slow-1'),
      flags: CreateFlag.paused,
    });
    const unwanted = Promise.allSettled(hostnames(connection, 100, stop.signal));
    const wanted = hostnames(connection, 100);
    stop.abort(new Error('enough'));
    for (const each of await unwanted) {
      expect((each as PromiseRejectedResult).reason).toBeInstanceOf(CallAborted);
    }
    expect(await Promise.all(wanted)).toHaveLength(100);
    // Keep-alive would have ended a connection that the daemon does not read during the second.
    const { dom } = await long;
    await connection.call('DomainDestroyFlags', { dom });
    // A caller that knows nothing of the setting is served, too.
    await using unknowing = await open();
    expect(await Promise.all(hostnames(unknowing, 200))).toHaveLength(200);
  });
});

it('calls, features and sockets are found out by asking', async () => {
  await start(5);
  await using connection = await open();
  const abilities = new Abilities(connection);
  expect(await abilities.hasFeature(Feature.migrationP2p)).toBe(true);
  expect(await abilities.hasFeature(Feature.migrationParams)).toBe(true);
  expect(await abilities.hasFeature(4711)).toBe(false);
  // Asking for these would end every guest, were it not for the missing arguments.
  for (const name of ['DomainDestroyFlags', 'DomainBackupBegin', 'StorageVolDelete'] as const) {
    expect(await abilities.knowsCall(name)).toBe(true);
  }
  const unknown = await connection.probe('DomainSuspend', { number: 4711 });
  expect(unknown?.message).toMatch(/4711/);
  expect(lackOf(unknown)).toBe(Lack.call);
  const flags = 0x4000_0000;
  const refused = await connection
    .call('ConnectListAllDomains', { needResults: 1, flags })
    .catch((error: unknown) => error);
  expect(lackOf(refused)).toBe(Lack.argument);
  const systemDir = join('/proc', String(host.pid), 'root/run/libvirt');
  const found = await findSocket({ uri: 'qemu:///system', systemDir });
  expect(found.daemon).toBe('libvirtd');
  await using other = await Connection.open({ unixPath: found.path, uri: 'qemu:///system' });
  expect(other.libvirtVersion).toBe(connection.libvirtVersion);
  // A modular daemon's name is tried first; here libvirtd stands behind it.
  await host.exec('ln', '-s', 'libvirt-sock', '/run/libvirt/virtqemud-sock');
  expect((await findSocket({ uri: 'qemu:///system', systemDir })).daemon).toBe('virtqemud');
});
