import { afterEach, describe, expect, it } from 'vitest';
import { openPool, type NbdClient, type OpenPoolOptions } from '../../../protocols/nbd/index.ts';
import { FakeServer, wire, type FakeServerOptions, type Request } from './fake-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const serve = async (script: FakeServerOptions = {}): Promise<FakeServer> => {
  const server = await FakeServer.start(script);
  closers.push(() => server.stop());
  return server;
};

const open = async (
  script: FakeServerOptions = {},
  options: Partial<OpenPoolOptions> = {},
): Promise<{ client: NbdClient; server: FakeServer }> => {
  const server = await serve(script);
  const client = await openPool({ address: { path: server.path }, ...options });
  closers.push(() => client.close());
  return { client, server };
};

const pattern = (offset: number, length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, index) => (offset + index) % 251));

/** An honest server's answer to a read, in one piece. */
const honest = ({ type, cookie, offset, length }: Request): Buffer =>
  type === 0
    ? wire.chunk(cookie, 1, wire.data(offset, pattern(offset, length)))
    : wire.simple(cookie);

describe('reading', () => {
  it('fills the buffer from chunks in any order, with holes as zeroes', async () => {
    const { client } = await open({
      onCommand: ({ cookie, offset }) =>
        Buffer.concat([
          wire.chunk(cookie, 1, wire.data(offset + 60, pattern(offset + 60, 40)), false),
          wire.chunk(cookie, 2, wire.hole(offset + 20, 40), false),
          wire.chunk(cookie, 1, wire.data(offset, pattern(offset, 20)), false),
          wire.chunk(cookie, 0, Buffer.alloc(0)),
        ]),
    });
    const into = Buffer.alloc(100, 0xee);
    await client.read(1000, into);
    const zeroes = Buffer.alloc(40);
    expect(into).toEqual(Buffer.concat([pattern(1000, 20), zeroes, pattern(1060, 40)]));
  });

  it('works with servers that know no structured replies', async () => {
    const { client } = await open({
      structured: false,
      onCommand: ({ cookie, offset, length }) => wire.simple(cookie, 0, pattern(offset, length)),
    });
    const into = Buffer.alloc(5000);
    await client.read(7, into);
    expect(into).toEqual(pattern(7, 5000));
    expect(client.info.structuredReplies).toBe(false);
    await expect(client.blockStatus(0, 512)).rejects.toThrow('offers no block status');
  });

  it('matches replies that come in another order than their requests', async () => {
    const held: Request[] = [];
    const { client } = await open({
      onCommand: (request) => {
        held.push(request);
        return held.length < 4 ? undefined : Buffer.concat(held.toReversed().map(honest));
      },
    });
    const buffers = [0, 1, 2, 3].map(() => Buffer.alloc(64));
    await Promise.all(buffers.map((into, index) => client.read(index * 100, into)));
    buffers.forEach((into, index) => expect(into).toEqual(pattern(index * 100, 64)));
  });

  it('passes on an error in the midst of a reply and goes on with the connection', async () => {
    let first = true;
    const { client } = await open({
      onCommand: (request) => {
        if (!first) return honest(request);
        first = false;
        const { cookie, offset } = request;
        return Buffer.concat([
          wire.chunk(cookie, 1, wire.data(offset, pattern(offset, 10)), false),
          wire.chunk(cookie, 0x8002, Buffer.concat([wire.error(5, 'bad sector'), wire.u64(10)])),
        ]);
      },
    });
    await expect(client.read(0, Buffer.alloc(20))).rejects.toMatchObject({
      kind: 'server',
      errno: 'EIO',
      message: expect.stringContaining('read of 20 bytes at 0: bad sector') as string,
    });
    await client.read(0, Buffer.alloc(20));
  });

  it('refuses requests beyond the end or off the block size before anything is sent', async () => {
    const { client, server } = await open({
      sizeBytes: 8192,
      blockSize: [512, 4096, 65536],
      onCommand: honest,
    });
    await expect(client.read(8000, Buffer.alloc(512))).rejects.toMatchObject({ kind: 'invalid' });
    await expect(client.read(7680, Buffer.alloc(1024))).rejects.toMatchObject({ kind: 'invalid' });
    await expect(client.read(0, Buffer.alloc(100))).rejects.toThrow('multiples of 512');
    await expect(client.read(-512, Buffer.alloc(512))).rejects.toMatchObject({ kind: 'invalid' });
    await expect(client.read(0, Buffer.alloc(131072))).rejects.toThrow('65536 bytes at most');
    expect(server.requests).toEqual([]);
  });
});

describe('writing', () => {
  const writable = (1 << 2) | (1 << 3) | (1 << 5) | (1 << 6) | (1 << 11);

  it('sends each command with its flags', async () => {
    const { client, server } = await open({ flags: writable, onCommand: honest });
    await client.write(512, pattern(0, 512), { fua: true });
    await client.writeZeroes(0, 4096, { noHole: true, fast: true });
    await client.trim(4096, 512);
    await client.flush();
    const seen = server.requests.map(({ type, flags, offset, length }) => [
      type,
      flags,
      offset,
      length,
    ]);
    expect(seen).toEqual([
      [1, 1, 512, 512],
      [6, 2 | 16, 0, 4096],
      [4, 0, 4096, 512],
      [3, 0, 0, 0],
    ]);
    expect(server.requests[0]?.payload).toEqual(pattern(0, 512));
  });

  it('does not try what the export does not offer', async () => {
    const { client, server } = await open({ flags: 1 << 1 });
    await expect(client.write(0, Buffer.alloc(1))).rejects.toThrow('read-only');
    await expect(client.flush()).rejects.toThrow('does not offer flush');
    expect(server.requests).toEqual([]);
    const other = await open({ flags: 0 });
    await expect(other.client.writeZeroes(0, 1)).rejects.toThrow('does not offer to write zeroes');
    await expect(other.client.trim(0, 1)).rejects.toThrow('does not offer trim');
    await expect(other.client.write(0, Buffer.alloc(1), { fua: true })).rejects.toThrow('forced');
  });

  it('tells ENOSPC by its name', async () => {
    const { client } = await open({ onCommand: ({ cookie }) => wire.simple(cookie, 28) });
    await expect(client.write(0, Buffer.alloc(1))).rejects.toMatchObject({ errno: 'ENOSPC' });
  });
});

describe('block status', () => {
  it('gives extents by context name', async () => {
    const { client } = await open(
      {
        contexts: ['base:allocation', 'qemu:dirty-bitmap:b'],
        onCommand: ({ cookie }) =>
          Buffer.concat([
            wire.chunk(cookie, 5, wire.status(1, [4096, 0], [8192, 3]), false),
            wire.chunk(cookie, 5, wire.status(2, [4096, 1])),
          ]),
      },
      { metaContexts: ['base:allocation', 'qemu:dirty-bitmap:b'] },
    );
    const status = await client.blockStatus(0, 12288);
    expect([...status]).toEqual([
      [
        'base:allocation',
        [
          { length: 4096, flags: 0 },
          { length: 8192, flags: 3 },
        ],
      ],
      ['qemu:dirty-bitmap:b', [{ length: 4096, flags: 1 }]],
    ]);
  });
});

describe('limits in time', () => {
  it('gives up a connection whose server does not answer, and says which request', async () => {
    const { client } = await open({}, { requestTimeoutMs: 60 });
    const reads = [client.read(0, Buffer.alloc(10)), client.read(10, Buffer.alloc(10))];
    const results = await Promise.allSettled(reads);
    expect(results).toMatchObject([
      { status: 'rejected', reason: { kind: 'timeout' } },
      { status: 'rejected', reason: { kind: 'timeout' } },
    ]);
    await expect(client.read(0, Buffer.alloc(10))).rejects.toThrow(
      'did not answer read of 10 bytes at 0',
    );
  });

  it('gives up a server that never greets', async () => {
    const server = await serve({ onConnect: () => true });
    const opening = openPool({ address: { path: server.path }, connectTimeoutMs: 50 });
    await expect(opening).rejects.toMatchObject({ kind: 'timeout' });
  });

  it('aborts the opening', async () => {
    const server = await serve({ onConnect: () => true });
    const abort = new AbortController();
    const opening = openPool({ address: { path: server.path }, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(opening).rejects.toMatchObject({ kind: 'aborted', cause: { message: 'enough' } });
  });

  it('rejects everything under way when the connection is lost', async () => {
    const { client, server } = await open({}, { maxInFlight: 2 });
    const reads = [0, 1, 2, 3].map((at) => client.read(at, Buffer.alloc(1)));
    const settled = Promise.allSettled(reads);
    setImmediate(() => server.dropAll());
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'closed' } });
    }
  });

  it('keeps the number of commands in flight below its limit', async () => {
    const held: (() => void)[] = [];
    let most = 0;
    const { client } = await open(
      {
        onCommand: (request, socket) => {
          held.push(() => socket.write(honest(request)));
          most = Math.max(most, held.length);
          setImmediate(() => held.shift()?.());
          return undefined;
        },
      },
      { maxInFlight: 3 },
    );
    await Promise.all(Array.from({ length: 20 }, (_, at) => client.read(at, Buffer.alloc(1))));
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(3);
  });

  it('aborts a waiting command at once and one under way when its buffer is free', async () => {
    const answers: (() => void)[] = [];
    const { client } = await open(
      {
        onCommand: (request, socket) => {
          answers.push(() => socket.write(honest(request)));
          return undefined;
        },
      },
      { maxInFlight: 1 },
    );
    const abort = new AbortController();
    const into = Buffer.alloc(100);
    const settled: string[] = [];
    const note = (name: string) => () => settled.push(name);
    const underWay = client.read(0, into, abort.signal).catch(note('under way'));
    const waiting = client.read(0, Buffer.alloc(100), abort.signal).catch(note('waiting'));
    await expect.poll(() => answers.length).toBe(1);
    abort.abort(new Error('enough'));
    await waiting;
    expect(settled).toEqual(['waiting']);
    answers[0]?.();
    await underWay;
    expect(into).toEqual(pattern(0, 100));
    const next = client.read(5, into);
    await expect.poll(() => answers.length).toBe(2);
    answers[1]?.();
    await next;
    expect(into).toEqual(pattern(5, 100));
  });

  it('closes the connection if an aborted command gets no reply, and never writes to its buffer again', async () => {
    let late: (() => void) | undefined;
    const { client } = await open(
      {
        onCommand: ({ cookie, offset, length }, socket) => {
          const bytes = wire.chunk(cookie, 1, wire.data(offset, pattern(offset, length)));
          late = () => socket.write(bytes.subarray(60));
          return bytes.subarray(0, 60);
        },
      },
      { abortGraceMs: 30 },
    );
    const abort = new AbortController();
    const into = Buffer.alloc(100, 0);
    const reading = client.read(0, into, abort.signal);
    await expect.poll(() => into[31]).toBe(31);
    abort.abort();
    await expect(reading).rejects.toMatchObject({ kind: 'aborted' });
    into.fill(7);
    late?.();
    await client.close();
    expect(into).toEqual(Buffer.alloc(100, 7));
    await expect(client.read(0, into)).rejects.toMatchObject({ kind: 'aborted' });
  });
});

describe('several connections', () => {
  it('makes one only if the export forbids more', async () => {
    const { client, server } = await open({ flags: 0 }, { connections: 4 });
    expect(client.connectionCount).toBe(1);
    expect(server.connections).toBe(1);
  });

  it('spreads commands over all of them', async () => {
    const sockets = new Set<unknown>();
    const { client } = await open(
      { flags: 1 << 8, onCommand: (request, socket) => (sockets.add(socket), honest(request)) },
      { connections: 3 },
    );
    expect(client.connectionCount).toBe(3);
    await Promise.all(Array.from({ length: 6 }, (_, at) => client.read(at, Buffer.alloc(1))));
    expect(sockets.size).toBe(3);
  });

  it('refuses a server that shows another disk the second time', async () => {
    let sizeBytes = 4096;
    const server = await serve({
      onOption: (option) => {
        if (option !== 7) return undefined;
        sizeBytes += 4096;
        const info = wire.exportInfo(sizeBytes, 1 | (1 << 8));
        return Buffer.concat([wire.optionReply(7, 3, info), wire.optionReply(7, 1)]);
      },
    });
    const opening = openPool({ address: { path: server.path }, connections: 2 });
    await expect(opening).rejects.toMatchObject({ kind: 'protocol' });
  });
});

describe('the handshake', () => {
  const refused = async (script: FakeServerOptions, options: Partial<OpenPoolOptions> = {}) => {
    const server = await serve(script);
    return openPool({ address: { path: server.path }, ...options }).catch(
      (error: unknown) => error,
    );
  };
  const tls = { ca: '', serverName: 'host-a' };

  it('says that an export is unknown', async () => {
    const error = await refused({
      onOption: (option) => (option === 7 ? wire.optionReply(7, 0x80000006) : undefined),
    });
    expect(error).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('unknown export') as string,
    });
  });

  it('says that the server wants TLS', async () => {
    const error = await refused({ onOption: (option) => wire.optionReply(option, 0x80000005) });
    expect(error).toMatchObject({
      kind: 'tls',
      message: expect.stringContaining('TLS is required') as string,
    });
  });

  it('never goes on in the clear when TLS was asked for', async () => {
    const server = await serve({});
    const opening = openPool({ address: { path: server.path }, tls });
    await expect(opening).rejects.toMatchObject({ kind: 'tls' });
    expect(server.options).toEqual([5]);
  });

  it('does not take bytes that were slipped in behind the answer to STARTTLS', async () => {
    const error = await refused(
      {
        onOption: (option) =>
          option === 5
            ? Buffer.concat([
                wire.optionReply(5, 1),
                wire.optionReply(8, 1),
                wire.optionReply(8, 1),
              ])
            : undefined,
      },
      { tls },
    );
    expect(error).toMatchObject({ kind: 'tls' });
  });

  it('wants a name to check over a unix socket', async () => {
    const error = await refused({}, { tls: { ca: '' } });
    expect(error).toMatchObject({ kind: 'invalid' });
  });

  it.each([
    ['no NBD server', Buffer.from('SSH-2.0-OpenSSH_9.2p1 Debian\r\n'), 'protocol'],
    [
      'the oldstyle',
      Buffer.concat([Buffer.from('NBDMAGIC'), wire.u64(0x420281861253n), wire.u16(0)]),
      'refused',
    ],
    ['not the fixed newstyle', wire.hello(0), 'refused'],
  ])('tells a server that is %s', async (_what, greeting, kind) => {
    const error = await refused({ onConnect: (socket) => socket.write(greeting) || true });
    expect(error).toMatchObject({ kind });
  });

  it('tells that nobody listens', async () => {
    const opening = openPool({ address: { path: '/nonexistent/nbd.sock' } });
    await expect(opening).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('says goodbye when it closes', async () => {
    const { client, server } = await open({});
    await client.close();
    await expect.poll(() => server.requests.map(({ type }) => type)).toEqual([2]);
    await client.close();
  });
});
