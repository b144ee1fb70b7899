/** Sessions with servers that are silent, late, foreign or strange. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { SshSession } from '../../../protocols/ssh/index.ts';
import type { SshOptions } from '../../../protocols/ssh/index.ts';
import { startFakeServer } from './fake-server.ts';
import type { Behaviour, FakeServer } from './fake-server.ts';

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(cleanUps.splice(0).map((cleanUp) => cleanUp()));
});

async function start(behaviour?: Behaviour): Promise<FakeServer> {
  const server = await startFakeServer(behaviour);
  cleanUps.push(() => server.close());
  return server;
}

/** A TCP server that is no SSH server. */
async function startTcp(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    onSocket(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanUps.push(() => {
    sockets.forEach((socket) => socket.destroy());
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

const nowhere: SshOptions = {
  host: '127.0.0.1',
  port: 1,
  username: 'mover',
  auth: { password: 'secret' },
  hostKey: { sha256: 'A'.repeat(43) },
};

describe('opening', () => {
  it('answers the password prompt of keyboard-interactive', async () => {
    const server = await start({ method: 'keyboard-interactive' });
    await using session = await SshSession.open(server.options);
    expect(session).toBeInstanceOf(SshSession);
    expect(server.passwords).toEqual(['secret']);
  });

  it('tells no password to a server whose key is not the pinned one', async () => {
    const server = await start();
    const wrong = { ...server.options, hostKey: nowhere.hostKey };
    await expect(SshSession.open(wrong)).rejects.toMatchObject({ kind: 'host-key-mismatch' });
    expect(server.passwords).toEqual([]);
  });

  it('takes a fingerprint with and without prefix and padding', async () => {
    const server = await start();
    const bare = server.options.hostKey.sha256.slice('SHA256:'.length);
    for (const sha256 of [bare, `${bare}=`, `SHA256:${bare}`]) {
      await (await SshSession.open({ ...server.options, hostKey: { sha256 } })).close();
    }
  });

  it.each(['', 'SHA256:', 'MD5:aa:bb', 'A'.repeat(42), '*'.repeat(43)])(
    'refuses %j as a pin',
    async (sha256) => {
      const opening = SshSession.open({ ...nowhere, hostKey: { sha256 } });
      await expect(opening).rejects.toMatchObject({ kind: 'invalid' });
    },
  );

  it('refuses a private key that cannot be read', async () => {
    const server = await start();
    const opening = SshSession.open({ ...server.options, auth: { privateKey: 'no key' } });
    await expect(opening).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('finds nobody unreachable, nor one who does not speak SSH', async () => {
    await expect(SshSession.open(nowhere)).rejects.toMatchObject({ kind: 'unreachable' });
    const port = await startTcp((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const opening = SshSession.open({ ...nowhere, port });
    await expect(opening).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('gives up a server that says nothing, and when it is told to', async () => {
    const port = await startTcp(() => undefined);
    const late = SshSession.open({ ...nowhere, port, timeoutMs: 50 });
    await expect(late).rejects.toMatchObject({ kind: 'timeout' });
    const given = new AbortController();
    const opening = SshSession.open({ ...nowhere, port, signal: given.signal });
    given.abort(new Error('enough'));
    await expect(opening).rejects.toMatchObject({ kind: 'aborted' });
    const signal = AbortSignal.abort();
    const never = SshSession.open({ ...nowhere, port, signal });
    await expect(never).rejects.toMatchObject({ kind: 'aborted' });
  });
});

describe('an open session', () => {
  it('ends, and its streams fail, when the server answers no keep-alive', async () => {
    const server = await start({ onTcp: (accept) => accept() });
    const keepAlive = { intervalMs: 20, count: 2 };
    const session = await SshSession.open({ ...server.options, keepAlive });
    const stream = await session.openTcp('far', 1);
    const failed = once(stream, 'error');
    server.fallSilent();
    expect((await session.closed).kind).toBe('keep-alive');
    expect(await failed).toMatchObject([{ kind: 'lost' }]);
  });

  it('closes a channel that is granted after it was given up', async () => {
    const asked = Promise.withResolvers<Parameters<NonNullable<Behaviour['onTcp']>>[0]>();
    const server = await start({ onTcp: asked.resolve });
    await using session = await SshSession.open(server.options);
    const opening = session.openTcp('far', 1, { timeoutMs: 50 });
    await expect(opening).rejects.toMatchObject({ kind: 'timeout' });
    const accept = await asked.promise;
    const channel = accept();
    channel.resume();
    await once(channel, 'close');
  });

  it('rejects a channel that is being opened when it is closed', async () => {
    const server = await start();
    const session = await SshSession.open(server.options);
    const opening = expect(session.openTcp('far', 1)).rejects.toMatchObject({ kind: 'lost' });
    await session.close();
    await opening;
    expect((await session.closed).kind).toBe('local');
  });

  it('settles a write that waits for the window when the server closes the channel', async () => {
    const channels: { close(): void }[] = [];
    const server = await start({ onTcp: (accept) => channels.push(accept()) });
    await using session = await SshSession.open(server.options);
    const stream = await session.openTcp('far', 1);
    stream.on('error', () => undefined).resume();
    // Nobody reads at the server: more than its window of 2 MiB and its buffers cannot be taken.
    const written = new Promise((resolve) => stream.write(Buffer.alloc(16 << 20), resolve));
    channels[0]!.close();
    expect(await written).toMatchObject({ kind: 'lost' });
  });

  it('passes on what was sent before the end, and then ends', async () => {
    const server = await start({ onTcp: (accept) => accept().end(Buffer.alloc(1 << 20, 7)) });
    await using session = await SshSession.open(server.options);
    const stream = await session.openTcp('far', 1);
    let sizeBytes = 0;
    for await (const chunk of stream) sizeBytes += (chunk as Buffer).length;
    expect(sizeBytes).toBe(1 << 20);
    expect(stream.destroyed).toBe(true);
  });
});
