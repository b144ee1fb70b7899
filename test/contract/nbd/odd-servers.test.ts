import { readFile } from 'node:fs/promises';
import { createServer as createPlain, connect as connectPlain, type AddressInfo } from 'node:net';
import { createServer as createTls, connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiskSource } from '../../../domain/platform.ts';
import { readInto } from '../../../protocols/nbd/read-into.ts';
import { hashDisk } from '../../../transfer/hash-tree.ts';
import { openNbdSink } from '../../../transfer/nbd-sink.ts';
import { openNbdSource } from '../../../transfer/nbd-source.ts';
import { Authority, Bench } from './qemu-nbd-fixture.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
});
afterAll(() => bench.close());

const sizeBytes = 9 * 1024 * 1024 + 4096;
const pattern = ['pattern', String(sizeBytes)];

/** nbdkit's pattern: each 8 bytes hold their own offset, big-endian. */
const expectedRoot = async (): Promise<string> => {
  const content = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 8) content.writeBigUInt64BE(BigInt(at), at);
  const whole: DiskSource = {
    sizeBytes,
    parallelism: 1,
    async *extents(offset, length) {
      await Promise.resolve();
      yield { offset, length, zero: false };
    },
    read: (offset, into) => {
      into.set(content.subarray(offset, offset + into.length));
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
  return (await hashDisk({ source: whole })).root;
};

describe('a disk behind a server that', () => {
  const odd: readonly [string, string[]][] = [
    ['takes several connections', pattern],
    ['takes one connection only', ['--filter=multi-conn', ...pattern, 'multi-conn-mode=disable']],
    ['works at one request after the other', ['--filter=noparallel', ...pattern]],
    ['knows no structured replies', ['--no-sr', ...pattern]],
    ['tells nothing of extents', ['--filter=noextents', ...pattern]],
    ['takes 3 ms for each read', ['--filter=delay', ...pattern, 'rdelay=3ms']],
    [
      'takes from 4 to 64 KiB at a time',
      [
        ...['--filter=blocksize-policy', ...pattern, 'blocksize-minimum=4096'],
        ...['blocksize-preferred=4096', 'blocksize-maximum=64K', 'blocksize-error-policy=error'],
      ],
    ],
    ['ends with its last client', ['--filter=exitlast', ...pattern]],
  ];

  it.each(odd)('%s reads the same', async (_what, args) => {
    const { address } = await bench.nbdkit(...args);
    const source = await openNbdSource({ address, what: 'disk vda', connections: 3 });
    try {
      const { root } = await hashDisk({ source });
      expect(root).toBe(await expectedRoot());
    } finally {
      await source.close();
    }
  });

  it('fails in the midst of a disk is named with the cause, and none of its reads hangs', async () => {
    const args = ['--filter=error', ...pattern, 'error-pread=EIO', 'error-pread-rate=100%'];
    const { address } = await bench.nbdkit(...args);
    const source = await openNbdSource({ address, what: 'disk vda', connections: 3 });
    try {
      await expect(hashDisk({ source })).rejects.toThrow(/EIO/);
    } finally {
      await source.close();
    }
  });

  it('takes 64 KiB at most is written in such pieces', async () => {
    const policy = ['blocksize-minimum=512', 'blocksize-preferred=4096', 'blocksize-maximum=64K'];
    const { address } = await bench.nbdkit(
      ...['--filter=blocksize-policy', 'memory', '1M', ...policy, 'blocksize-error-policy=error'],
    );
    const sink = await openNbdSink({ address, what: 'disk vda', startsZeroed: true });
    const source = await openNbdSource({ address, what: 'disk vda', connections: 1 });
    const data = Buffer.from(Array.from({ length: 300_032 }, (_, at) => at % 253));
    await sink.write(512, data);
    await sink.flush();
    const back = Buffer.alloc(data.length);
    await source.read(512, back);
    expect(back.equals(data)).toBe(true);
    await Promise.all([source.close(), sink.close()]);
  });
});

describe('TLS laid over another socket', () => {
  it('decrypts straight into the buffers it is given, on this Node', async () => {
    const authority = await Authority.make(bench.path('pki'));
    const { ca, cert, key } = await authority.issue('server', 'alpha');
    expect(await readFile(bench.path('pki/server-cert.pem'), 'utf8')).toBe(cert);
    const words = Buffer.alloc(100_000, 'so it goes ');
    const tls = createTls({ cert, key }, (socket) => socket.end(words));
    const server = createPlain((socket) => tls.emit('connection', socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const got = Buffer.alloc(words.length);
    let at = 0;
    const plain = connectPlain({ port, host: '127.0.0.1' });
    const socket = connectTls({ socket: plain, ca, servername: 'alpha' });
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.once('secureConnect', () => {
      const worked = readInto(socket, {
        buffer: () => got.subarray(at, Math.max(at + 1, Math.min(at + 7000, got.length))),
        callback: (count) => {
          at += count;
          return true;
        },
      });
      // Without it copies over TLS take half as much processor time again: look at what changed in Node.
      expect(worked).toBe(true);
    });
    socket.once('end', () => socket.end());
    await ended;
    expect(at).toBe(words.length);
    expect(got.equals(words)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
  });
});
