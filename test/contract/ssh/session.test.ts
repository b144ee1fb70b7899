/** Sessions with a real sshd: who is let in, what is refused, and libvirt and NBD through channels. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Connection,
  ConnectionLost,
  CreateFlag,
  downloadVolume,
  LifecycleEvent,
  uploadVolume,
} from '../../../protocols/libvirt/index.ts';
import { openPool } from '../../../protocols/nbd/index.ts';
import { SshError, SshSession } from '../../../protocols/ssh/index.ts';
import type { SshOptions } from '../../../protocols/ssh/index.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type { PrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import { Bench, exec } from '../nbd/qemu-nbd-fixture.ts';
import { makeKey, startPrivateSshd } from './private-sshd.ts';
import type { KeyPair, PrivateSshd } from './private-sshd.ts';

const PASSWORD = randomBytes(9).toString('base64url');
const PASSPHRASE = 'open sesame';
const MIB = 1024 * 1024;

let dir: string;
let libvirtSocket: string;
let host: PrivateLibvirtd;
let sshd: PrivateSshd;
let hostKey: KeyPair;
let userKey: KeyPair;
let lockedKey: KeyPair;
let strangersKey: KeyPair;
const extraSshds: PrivateSshd[] = [];

const optionsFor = (to: PrivateSshd, changes: Partial<SshOptions> = {}): SshOptions => ({
  host: to.host,
  port: to.port,
  username: 'root',
  auth: { privateKey: userKey.privateKey },
  hostKey: { sha256: hostKey.fingerprint },
  ...changes,
});
const open = (changes?: Partial<SshOptions>): Promise<SshSession> =>
  SshSession.open(optionsFor(sshd, changes));
const errorOf = async (promise: Promise<unknown>): Promise<SshError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SshError);
  return error as SshError;
};
const another = async (name: string, config: readonly string[]): Promise<PrivateSshd> => {
  const options = { dir: join(dir, name), hostKey, authorizedKeys: [userKey], password: PASSWORD };
  const started = await startPrivateSshd({ ...options, config });
  extraSshds.push(started);
  return started;
};
const openLibvirt = async (session: SshSession): Promise<Connection> =>
  Connection.open({
    stream: await session.openUnixSocket(libvirtSocket),
    uri: 'qemu:///system',
  });

/** Not installed by the set-up: Debian's package would start a server on the machine. */
const sshdIsHere = existsSync('/usr/sbin/sshd');
if (!sshdIsHere) console.warn('! No /usr/sbin/sshd here: sessions with a real sshd are NOT tried.');

beforeAll(async () => {
  if (!sshdIsHere) return;
  dir = await mkdtemp(join(tmpdir(), 'vmfs-'));
  const socketDir = join(dir, 'sockets');
  await mkdir(socketDir);
  libvirtSocket = join(socketDir, 'libvirt-sock');
  [hostKey, userKey, lockedKey, strangersKey] = await Promise.all([
    makeKey(join(dir, 'host-key')),
    makeKey(join(dir, 'user-key')),
    makeKey(join(dir, 'locked-key'), PASSPHRASE),
    makeKey(join(dir, 'strangers-key')),
  ]);
  const authorizedKeys = [userKey, lockedKey];
  const sshdOptions = { dir: join(dir, 'sshd'), hostKey, authorizedKeys, password: PASSWORD };
  [host, sshd] = await Promise.all([
    startPrivateLibvirtd({ dir: join(dir, 'host'), socketDir }),
    // Keys are exchanged anew after each 2 MiB, to see that transfers live through it.
    startPrivateSshd({ ...sshdOptions, config: ['RekeyLimit 2M'] }),
  ]);
});

afterAll(async () => {
  if (!sshdIsHere) return;
  await Promise.all([sshd, ...extraSshds].map((each) => each.kill()));
  await host.stop();
  await rm(dir, { recursive: true, force: true });
});

describe.skipIf(!sshdIsHere)('logging in', () => {
  it('works by password, by private key and by private key under a passphrase', async () => {
    const ways = [
      { password: PASSWORD },
      { privateKey: Buffer.from(userKey.privateKey) },
      { privateKey: lockedKey.privateKey, passphrase: PASSPHRASE },
      { privateKey: lockedKey.privateKey, passphrase: () => Promise.resolve(PASSPHRASE) },
    ];
    for (const auth of ways) {
      const session = await open({ auth });
      await session.close();
      expect((await session.closed).kind).toBe('local');
    }
  });

  it('works by an agent, and says so where the agent is not there', async () => {
    const socket = join(dir, 'agent');
    const agent: ChildProcess = spawn('ssh-agent', ['-D', '-a', socket], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const gone = new Promise((resolve) => agent.once('exit', resolve));
    // What it prints first is where it listens.
    await new Promise((resolve) => agent.stdout!.once('data', resolve));
    await exec('env', `SSH_AUTH_SOCK=${socket}`, 'ssh-add', '-q', strangersKey.file, userKey.file);
    const session = await open({ auth: { agent: socket } });
    await session.close();
    agent.kill();
    await gone;
    const error = await errorOf(open({ auth: { agent: socket } }));
    expect(error).toMatchObject({ kind: 'authentication' });
    expect(error.message).toContain('the agent cannot log in');
  });

  it('refuses a server with another key, naming both fingerprints, before it says a password', async () => {
    const sha256 = strangersKey.fingerprint;
    const error = await errorOf(open({ auth: { password: PASSWORD }, hostKey: { sha256 } }));
    expect(error).toMatchObject({
      kind: 'host-key-mismatch',
      expected: sha256,
      seen: hostKey.fingerprint,
    });
    expect(error.message).toContain(
      `expected ${sha256}, seen ${hostKey.fingerprint} (ssh-ed25519)`,
    );
  });

  it('is refused with a key or a password that the server does not know', async () => {
    const byKey = await errorOf(open({ auth: { privateKey: strangersKey.privateKey } }));
    expect(byKey.kind).toBe('authentication');
    expect(byKey.message).toContain('it takes publickey, password');
    const byPassword = await errorOf(open({ auth: { password: 'not-the-password' } }));
    expect(byPassword.kind).toBe('authentication');
    expect(byPassword.message).not.toContain('not-the-password');
  });

  it('tells that a second factor is asked for, and gives it where there is one', async () => {
    const strict = await another('strict', ['AuthenticationMethods publickey,password']);
    const error = await errorOf(SshSession.open(optionsFor(strict)));
    expect(error.kind).toBe('authentication');
    expect(error.message).toContain('it asks for more than that (password)');
    const auth = [{ privateKey: userKey.privateKey }, { password: PASSWORD }];
    await (await SshSession.open(optionsFor(strict, { auth }))).close();
  });
});

describe.skipIf(!sshdIsHere)('libvirt through a forwarded unix socket', () => {
  const guestXml =
    `<domain type='qemu'><name>far</name><memory unit='MiB'>32</memory>` +
    `<os><type arch='x86_64' machine='q35'>hvm</type></os>` +
    `<devices><memballoon model='none'/></devices></domain>`;

  it('answers calls and sends events', async () => {
    await using session = await open();
    await using connection = await openLibvirt(session);
    expect(connection.libvirtVersion).toBeGreaterThanOrEqual(9_000_000);
    const { hostname } = await connection.call('ConnectGetHostname', {});
    expect(hostname).toBe(`vmfp-${process.pid}`);
    const started = Promise.withResolvers<string>();
    await connection.onLifecycle(({ dom, event }) => {
      if (event === LifecycleEvent.started) started.resolve(dom.name);
    });
    const { dom } = await connection.call('DomainCreateXML', {
      xml: guestXml,
      flags: CreateFlag.paused,
    });
    expect(await started.promise).toBe('far');
    const { domains } = await connection.call('ConnectListAllDomains', { needResults: 1 });
    expect(domains).toEqual([dom]);
    await connection.call('DomainDestroyFlags', { dom });
  });

  it('is reached through a host in between, and lost with it', async () => {
    const far = await another('far', []);
    await using via = await open();
    const session = await SshSession.open({ ...optionsFor(far), via });
    const connection = await openLibvirt(session);
    const calls = Array.from({ length: 50 }, () => connection.call('ConnectGetCapabilities', {}));
    expect(await Promise.all(calls)).toHaveLength(50);
    const pending = connection.closed;
    await via.close();
    expect(await pending).toMatchObject({ kind: 'peer' });
    expect((await session.closed).kind).toBe('peer');
  });

  it('carries a volume with its holes', async () => {
    await using session = await open();
    await using connection = await openLibvirt(session);
    const path = join(dir, 'pool');
    await mkdir(path);
    const pool = `<pool type='dir'><name>far</name><target><path>${path}</path></target></pool>`;
    const created = await connection.call('StoragePoolCreateXML', { xml: pool });
    const xml = `<volume><name>v</name><capacity>${8 * MIB}</capacity><allocation>0</allocation></volume>`;
    const { vol } = await connection.call('StorageVolCreateXML', { ...created, xml });
    const bytes = randomBytes(3 * MIB);
    await uploadVolume(connection, vol, [
      { kind: 'hole', lengthBytes: 5 * MIB },
      { kind: 'data', bytes },
    ]);
    const back: Buffer[] = [];
    let holeBytes = 0;
    for await (const chunk of downloadVolume(connection, vol)) {
      if (chunk.kind === 'data') back.push(Buffer.from(chunk.bytes));
      else holeBytes += chunk.lengthBytes;
    }
    expect(holeBytes).toBe(5 * MIB);
    expect(Buffer.concat(back).equals(bytes)).toBe(true);
  });

  it('answers 200 pipelined calls, on two channels at once', async () => {
    await using session = await open();
    await using one = await openLibvirt(session);
    await using other = await openLibvirt(session);
    const calls = Array.from({ length: 200 }, (_, index) =>
      (index % 2 === 0 ? one : other).call('ConnectGetCapabilities', {}),
    );
    // Libvirt may look at the host anew between two of them, so they need not be the same.
    for (const { capabilities } of await Promise.all(calls)) {
      expect(capabilities).toMatch(/^<capabilities>[^]*<\/capabilities>\s*$/);
    }
  });

  it('rejects what is pending once sshd is killed, and tells why the session ended', async () => {
    const doomed = await another('doomed', []);
    const session = await SshSession.open(optionsFor(doomed));
    const connection = await openLibvirt(session);
    // A request that libvirt never gets the end of keeps a call pending for certain.
    await host.exec('bash', '-c', 'kill -STOP $(cat /run/libvirtd.pid)');
    try {
      const pending = connection.call('ConnectGetHostname', {}).catch((error: unknown) => error);
      const idle = await session.openUnixSocket(libvirtSocket);
      const failed = new Promise<Error>((resolve) => idle.once('error', resolve));
      await doomed.kill();
      expect(await pending).toBeInstanceOf(ConnectionLost);
      expect(await failed).toMatchObject({ kind: 'lost' });
      expect((await session.closed).kind).toBe('peer');
      expect(await errorOf(session.openUnixSocket(libvirtSocket))).toMatchObject({ kind: 'lost' });
    } finally {
      await host.exec('bash', '-c', 'kill -CONT $(cat /run/libvirtd.pid)');
    }
  });
});

describe.skipIf(!sshdIsHere)('channels', () => {
  it('that nobody listens for are refused, and the session goes on', async () => {
    await using session = await open();
    const refused = { kind: 'refused', reason: 'connect-failed' };
    const missing = join(dir, 'no-such-socket');
    const error = await errorOf(session.openUnixSocket(missing));
    expect(error).toMatchObject(refused);
    expect(error.message).toContain(missing);
    expect(await errorOf(session.openTcp('127.0.0.1', 1))).toMatchObject(refused);
    await using connection = await openLibvirt(session);
    expect(connection.libvirtVersion).toBeGreaterThan(0);
  });

  it('that the configuration forbids are refused as such', async () => {
    const closed = await another('closed', ['AllowStreamLocalForwarding no', 'PermitOpen none']);
    await using session = await SshSession.open(optionsFor(closed));
    const unix = await errorOf(session.openUnixSocket(libvirtSocket));
    expect(unix.kind).toBe('refused');
    expect(unix.message).toContain('AllowStreamLocalForwarding');
    const tcp = await errorOf(session.openTcp('127.0.0.1', sshd.port));
    expect(tcp).toMatchObject({ kind: 'refused', reason: 'prohibited' });
  });

  it('carry an NBD export, bytes intact, through many new key exchanges', async () => {
    const bench = await Bench.open();
    const image = bench.path('disk.raw');
    const bytes = randomBytes(12 * MIB);
    await writeFile(image, bytes);
    const { address } = await bench.qemuNbd({ image, format: 'raw', tcp: true, writable: true });
    if (!('port' in address)) throw new Error('no port');
    await using session = await open();
    // The NBD client dials sockets itself, so it is given one that leads into the channel.
    const front = createServer((socket) => {
      const ends = session
        .openTcp('127.0.0.1', address.port)
        .then((channel) => pipeline(socket, channel, socket));
      ends.catch(() => socket.destroy());
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const { port } = front.address() as AddressInfo;
    try {
      const disk = await openPool({ address: { host: '127.0.0.1', port }, connections: 2 });
      const read = Buffer.alloc(bytes.length);
      const offsets = Array.from({ length: 12 }, (_, index) => index * MIB);
      await Promise.all(
        offsets.map((offset) => disk.read(offset, read.subarray(offset, offset + MIB))),
      );
      expect(read.equals(bytes)).toBe(true);
      await Promise.all(
        offsets.map((offset) =>
          disk.write(bytes.length - MIB - offset, bytes.subarray(offset, offset + MIB)),
        ),
      );
      const last = Buffer.alloc(MIB);
      await disk.read(0, last);
      expect(last.equals(bytes.subarray(11 * MIB))).toBe(true);
      await disk.close();
    } finally {
      await new Promise((resolve) => front.close(resolve));
      await bench.close();
    }
  });
});
