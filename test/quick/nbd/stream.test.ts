import { connect } from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { openPool, type OpenPoolOptions } from '../../../protocols/nbd/index.ts';
import { FakeServer, wire, type FakeServerOptions } from './fake-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A stream that is no socket and leads to the server, as a channel of an SSH session does. */
const streamTo = async (
  script: FakeServerOptions,
): Promise<{ near: Duplex; server: FakeServer }> => {
  const server = await FakeServer.start(script);
  closers.push(() => server.stop());
  const [near, far] = duplexPair();
  const socket = connect(server.path);
  for (const end of [near, far, socket]) end.on('error', () => undefined);
  socket.pipe(far).pipe(socket);
  socket.on('close', () => far.destroy());
  return { near, server };
};

const open = (stream: Duplex, options: Partial<OpenPoolOptions> = {}) =>
  openPool({ address: { stream, name: 'the tunnel to alpha' }, ...options });

describe('an NBD server behind a stream', () => {
  it('is read and written as any other, over one connection', async () => {
    const { near, server } = await streamTo({
      flags: 1 << 8,
      onCommand: ({ type, cookie, offset, length }) =>
        type === 0
          ? wire.chunk(cookie, 1, wire.data(offset, Buffer.alloc(length, 7)))
          : wire.simple(cookie),
    });
    const client = await open(near, { connections: 4 });
    const into = Buffer.alloc(200_000);
    await client.read(512, into);
    expect(into.equals(Buffer.alloc(200_000, 7))).toBe(true);
    await client.write(4096, Buffer.alloc(512, 1));
    expect(server.requests[1]?.payload).toEqual(Buffer.alloc(512, 1));
    expect([client.connectionCount, server.connections]).toEqual([1, 1]);
    await client.close();
    expect(near.destroyed).toBe(true);
  });

  it('is named when the stream ends in mid-reply', async () => {
    const { near } = await streamTo({
      onCommand: ({ cookie, offset }, socket) => {
        socket.end(wire.chunk(cookie, 1, wire.data(offset, Buffer.alloc(64))).subarray(0, 40));
        return undefined;
      },
    });
    const client = await open(near);
    await expect(client.read(0, Buffer.alloc(64))).rejects.toMatchObject({
      kind: 'closed',
      message: expect.stringContaining('the tunnel to alpha') as string,
    });
  });

  it('is not tried over a stream that has ended already', async () => {
    const { near } = await streamTo({});
    near.destroy();
    await expect(open(near)).rejects.toMatchObject({ kind: 'closed' });
  });

  it('cannot slip anything in behind its answer to STARTTLS', async () => {
    const slipped = [wire.optionReply(5, 1), wire.optionReply(8, 1)];
    const { near } = await streamTo({
      onOption: (option) => (option === 5 ? Buffer.concat(slipped) : undefined),
    });
    const opening = open(near, { tls: { ca: '', serverName: 'alpha' } });
    await expect(opening).rejects.toMatchObject({
      kind: 'protocol',
      message: expect.stringContaining('STARTTLS') as string,
    });
  });
});
