/** What goes wrong with a real libvirtd: time-outs, a daemon that dies, hooks that refuse, long calls. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  CallTimeout,
  ConnectFailed,
  Connection,
  ConnectionLost,
  CreateFlag,
  LibvirtError,
} from '../../../protocols/libvirt/index.ts';
import type { OpenOptions } from '../../../protocols/libvirt/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

let dir: string;
let host: PrivateLibvirtd;

/** Guests named veto-* are refused; those named slow-* wait until the file `go` is there, 20 s at most. */
const hook = (folder: string): string => `#!/bin/sh
[ "$2" = prepare ] || exit 0
case $1 in
  veto-*) echo "not this one" >&2; exit 1;;
  slow-*) n=0; while [ ! -e ${folder}/go ] && [ $n -lt 200 ]; do sleep 0.1; n=$((n+1)); done;;
esac
exit 0
`;
const guestXml = (name: string): string =>
  `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory>` +
  `<os><type arch='x86_64' machine='q35'>hvm</type></os>` +
  `<devices><memballoon model='none'/></devices></domain>`;

const open = (options: Partial<OpenOptions> = {}): Promise<Connection> =>
  Connection.open({ unixPath: host.unixPath, uri: 'qemu:///system', ...options });
const create = (connection: Connection, name: string, timeoutMs = 30_000) =>
  connection.call(
    'DomainCreateXML',
    { xml: guestXml(name), flags: CreateFlag.paused },
    { timeoutMs },
  );
const failureOf = async <T>(promise: Promise<unknown>, type: new (...args: never[]) => T) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  return error as T;
};

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
  host = await startPrivateLibvirtd({ dir: join(dir, 'host'), qemuHook: hook(dir) });
});

afterAll(async () => {
  await host.stop();
  await rm(dir, { recursive: true, force: true });
});

it('a hook that refuses a start is an error with the words of the hook', async () => {
  await using connection = await open();
  const error = await failureOf(create(connection, 'veto-1'), LibvirtError);
  expect(error.codeName).toBe('HOOK_SCRIPT_FAILED');
  expect(error.message).toContain('not this one');
});

it('a read-only connection is refused every change', async () => {
  await using connection = await open({ unixPath: host.readOnlyUnixPath, readOnly: true });
  expect((await connection.call('ConnectGetHostname', {})).hostname).toBe(`vmfp-${process.pid}`);
  const error = await failureOf(create(connection, 'plain'), LibvirtError);
  expect(error.codeName).toBe('OPERATION_DENIED');
});

it('an unknown driver is refused by name, a missing socket is no connection', async () => {
  const error = await failureOf(open({ uri: 'nonsense:///system' }), LibvirtError);
  expect(error.message).toContain('nonsense');
  const missing = await failureOf(open({ unixPath: join(dir, 'no-such-socket') }), ConnectFailed);
  expect(missing.message).toContain('no-such-socket');
});

it('long calls, as many as are allowed at once, starve neither keep-alive nor a call that timed out', async () => {
  await rm(join(dir, 'go'), { force: true });
  await using connection = await open({ keepAlive: { intervalMs: 100, count: 3 } });
  const late = failureOf(create(connection, 'slow-late', 300), CallTimeout);
  const calls = ['slow-1', 'slow-2', 'slow-3'].map((name) => create(connection, name));
  const waiting = connection.call('ConnectGetHostname', {});
  expect((await late).outcomeUnknown).toBe(true);
  await failureOf(connection.call('ConnectGetUri', {}, { timeoutMs: 900 }), CallTimeout);
  await writeFile(join(dir, 'go'), '');
  const created = await Promise.all(calls);
  expect((await waiting).hostname).toBe(`vmfp-${process.pid}`);
  // The call that timed out was carried out all the same: that is what an unknown outcome means.
  const { dom } = await connection.call('DomainLookupByName', { name: 'slow-late' });
  for (const each of [...created.map((reply) => reply.dom), dom]) {
    await connection.call('DomainDestroyFlags', { dom: each });
  }
});

it('a daemon that dies rejects what was pending as of unknown outcome, and can be opened again', async () => {
  await rm(join(dir, 'go'), { force: true });
  const connection = await open();
  const pending = failureOf(create(connection, 'slow-4'), ConnectionLost);
  await connection.call('ConnectGetHostname', {});
  await host.killDaemon();
  expect(await pending).toMatchObject({ outcomeUnknown: true, kind: 'peer' });
  expect(await connection.closed).toMatchObject({ kind: 'peer' });
  await writeFile(join(dir, 'go'), '');
  await host.startDaemon();
  await using again = await open();
  expect((await again.call('ConnectGetLibVersion', {})).version).toBe(connection.libvirtVersion);
});
