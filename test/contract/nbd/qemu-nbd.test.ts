import { randomBytes } from 'node:crypto';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPool, type NbdClient, type OpenPoolOptions } from '../../../protocols/nbd/index.ts';
import { Authority, Bench, exec, type Identity, type RunningServer } from './qemu-nbd-fixture.ts';

const MiB = 1024 * 1024;
let bench: Bench;
beforeAll(async () => (bench = await Bench.open()));
afterAll(() => bench.close());

const using = async <T>(options: OpenPoolOptions, act: (client: NbdClient) => Promise<T>) => {
  const client = await openPool(options);
  try {
    return await act(client);
  } finally {
    await client.close();
  }
};

describe('with qemu-nbd', () => {
  it('reads a sparse raw disk over four connections', async () => {
    const image = bench.path('sparse.raw');
    const data = randomBytes(3 * MiB + 4096);
    await writeFile(image, '');
    await truncate(image, 64 * MiB);
    const file = await open(image, 'r+');
    await file.write(data, 0, data.length, 8 * MiB);
    await file.close();
    const { address } = await bench.qemuNbd({ image, format: 'raw', exportName: 'vda' });
    await using({ address, exportName: 'vda', connections: 4 }, async (client) => {
      expect(client.connectionCount).toBe(4);
      expect(client.info).toMatchObject({ sizeBytes: 64 * MiB, readOnly: true });
      const status = await client.blockStatus(0, 64 * MiB);
      expect(status.get('base:allocation')).toEqual([
        { length: 8 * MiB, flags: 3 },
        { length: data.length, flags: 0 },
        { length: 64 * MiB - 8 * MiB - data.length, flags: 3 },
      ]);
      const into = Buffer.alloc(8 * MiB, 0xee);
      const quarters = [0, 1, 2, 3].map((at) => into.subarray(at * 2 * MiB, (at + 1) * 2 * MiB));
      await Promise.all(quarters.map((part, at) => client.read((6 + 2 * at) * MiB, part)));
      const whole = Buffer.concat([Buffer.alloc(2 * MiB), data, Buffer.alloc(3 * MiB - 4096)]);
      expect(into.equals(whole)).toBe(true);
      await expect(client.write(0, into)).rejects.toThrow('read-only');
    });
    await expect(openPool({ address, exportName: 'vdb' })).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining("export 'vdb'") as string,
    });
  });

  it('writes, zeroes, trims and flushes a qcow2 disk', async () => {
    const image = bench.path('written.qcow2');
    await exec('qemu-img', 'create', '-q', '-f', 'qcow2', image, '32M');
    const server = await bench.qemuNbd({ image, format: 'qcow2', writable: true });
    const data = randomBytes(2 * MiB);
    await using({ address: server.address, connections: 2 }, async (client) => {
      await Promise.all([client.write(MiB, data), client.write(10 * MiB, data, { fua: true })]);
      await client.writeZeroes(MiB + 4096, 8192);
      await client.trim(10 * MiB, MiB);
      await client.flush();
      const into = Buffer.alloc(2 * MiB);
      await client.read(MiB, into);
      data.fill(0, 4096, 4096 + 8192);
      expect(into.equals(data)).toBe(true);
    });
    await server.stop();
    const raw = bench.path('written.raw');
    await exec('qemu-img', 'convert', '-O', 'raw', image, raw);
    expect((await readFile(raw)).subarray(MiB, 3 * MiB).equals(data)).toBe(true);
  });

  it('shows a dirty bitmap as a context of its own', async () => {
    const image = bench.path('dirty.qcow2');
    await exec('qemu-img', 'create', '-q', '-f', 'qcow2', image, '8M');
    await exec('qemu-img', 'bitmap', '--add', '-g', '64k', image, 'b0');
    await exec('qemu-io', '-c', 'write 1M 64k', image);
    const name = 'qemu:dirty-bitmap:b0';
    const pidFile = bench.path('dirty.pid');
    const path = bench.path('dirty.sock');
    await exec(
      'qemu-nbd',
      '--fork',
      '--pid-file',
      pidFile,
      '-r',
      '-t',
      '-f',
      'qcow2',
      '-B',
      'b0',
      '-k',
      path,
      image,
    );
    try {
      await using(
        { address: { path }, metaContexts: ['base:allocation', name] },
        async (client) => {
          const status = await client.blockStatus(0, 8 * MiB);
          expect(status.get(name)).toEqual([
            { length: MiB, flags: 0 },
            { length: 65536, flags: 1 },
            { length: 7 * MiB - 65536, flags: 0 },
          ]);
        },
      );
    } finally {
      process.kill(Number(await readFile(pidFile, 'utf8')));
    }
  });

  it('tells at once when the server is killed', async () => {
    const image = bench.path('killed.raw');
    await writeFile(image, Buffer.alloc(MiB));
    const server = await bench.qemuNbd({ image, format: 'raw' });
    await using({ address: server.address }, async (client) => {
      await server.stop();
      await expect(client.read(0, Buffer.alloc(512))).rejects.toMatchObject({ kind: 'closed' });
    });
    await expect(openPool({ address: server.address })).rejects.toMatchObject({
      kind: 'unreachable',
    });
  });
});

describe('with mutual TLS', () => {
  let server: RunningServer;
  let admitted: Identity;
  let colleague: Identity;
  let stranger: Identity;
  const content = randomBytes(5 * MiB);

  beforeAll(async () => {
    const fleet = await Authority.make(bench.path('fleet'));
    const others = await Authority.make(bench.path('others'));
    await fleet.issue('server', 'host-a', '127.0.0.1');
    admitted = await fleet.issue('target', 'host-b');
    colleague = await fleet.issue('colleague', 'host-c');
    stranger = await others.issue('stranger', 'host-b');
    const image = bench.path('tls.raw');
    await writeFile(image, content);
    server = await bench.qemuNbd({
      image,
      format: 'raw',
      tcp: true,
      tlsDir: fleet.folder,
      admitDn: 'O=vmferry,CN=host-b',
    });
  });

  const connect = (tls: OpenPoolOptions['tls']) =>
    openPool({ address: server.address, connections: 2, ...(tls && { tls }) });

  it('reads through several connections, the server named by IP or by DNS', async () => {
    for (const serverName of [undefined, 'host-a', '127.0.0.1']) {
      const tls = { ...admitted, ...(serverName !== undefined && { serverName }) };
      await using({ address: server.address, connections: 2, tls }, async (client) => {
        const into = Buffer.alloc(5 * MiB);
        const parts = [0, 1, 2, 3, 4].map((at) => into.subarray(at * MiB, (at + 1) * MiB));
        await Promise.all(parts.map((part, at) => client.read(at * MiB, part)));
        expect(into.equals(content)).toBe(true);
      });
    }
  });

  it.each([
    ['a server under another name', () => ({ ...admitted, serverName: 'host-z' }), 'host-z'],
    ['a server of another authority', () => ({ ...admitted, ca: stranger.ca }), 'handshake'],
    ['being without a certificate', () => ({ ca: admitted.ca }), 'did not admit'],
    [
      'a certificate of another authority',
      () => ({ ...stranger, ca: admitted.ca }),
      'did not admit',
    ],
    ['a certificate of the fleet that is not for this export', () => colleague, 'did not admit'],
    ['talking in the clear', () => undefined, 'TLS is required'],
  ])('refuses %s, clearly', async (_what, tls, text) => {
    await expect(connect(tls())).rejects.toMatchObject({
      kind: 'tls',
      message: expect.stringContaining(text) as string,
    });
  });

  it('refuses a server that offers no TLS', async () => {
    const plain = await bench.qemuNbd({ image: bench.path('tls.raw'), format: 'raw', tcp: true });
    const opening = openPool({ address: plain.address, tls: admitted });
    await expect(opening).rejects.toMatchObject({
      kind: 'tls',
      message: expect.stringContaining('refused TLS') as string,
    });
  });
});

describe('with nbdkit', () => {
  it('passes on errors of the disk by name', async () => {
    const trigger = bench.path('trigger');
    const server = await bench.nbdkit(
      '--filter=error',
      'memory',
      '1M',
      'error=EIO',
      `error-file=${trigger}`,
      'error-pread-rate=1',
    );
    const full = await bench.nbdkit(
      '--filter=error',
      'memory',
      '1M',
      'error-pwrite=ENOSPC',
      'error-pwrite-rate=1',
    );
    await using({ address: server.address, connections: 2 }, async (client) => {
      await client.read(0, Buffer.alloc(4096));
      await writeFile(trigger, '');
      await expect(client.read(0, Buffer.alloc(4096))).rejects.toMatchObject({
        kind: 'server',
        errno: 'EIO',
      });
    });
    await using({ address: full.address }, async (client) => {
      await expect(client.write(0, Buffer.alloc(512))).rejects.toMatchObject({ errno: 'ENOSPC' });
      await client.read(0, Buffer.alloc(512));
    });
  });

  it('has several slow reads under way at a time, and times out a server that takes too long', async () => {
    const { address } = await bench.nbdkit('--filter=delay', 'memory', '1M', 'rdelay=200ms');
    await using({ address }, async (client) => {
      const begun = performance.now();
      await Promise.all(
        Array.from({ length: 8 }, (_, at) => client.read(at * 512, Buffer.alloc(512))),
      );
      expect(performance.now() - begun).toBeLessThan(8 * 200);
    });
    await using({ address, requestTimeoutMs: 50 }, async (client) => {
      await expect(client.read(0, Buffer.alloc(512))).rejects.toMatchObject({ kind: 'timeout' });
    });
  });

  it('works without structured replies and without meta contexts', async () => {
    const { address } = await bench.nbdkit('--no-sr', 'pattern', '1M');
    await using({ address }, async (client) => {
      expect(client.info.structuredReplies).toBe(false);
      const into = Buffer.alloc(4096);
      await client.read(8192, into);
      expect(into.readBigUInt64BE(8)).toBe(8200n);
    });
  });

  it('keeps to the block sizes that a server wants', async () => {
    const sizes = ['blocksize-minimum=4096', 'blocksize-preferred=65536', 'blocksize-maximum=1M'];
    const server = await bench.nbdkit(
      '--filter=blocksize-policy',
      'memory',
      '4M',
      ...sizes,
      'blocksize-error-policy=error',
    );
    await using({ address: server.address }, async (client) => {
      expect(client.info.blockSize).toEqual({ minimum: 4096, preferred: 65536, maximum: MiB });
      await expect(client.read(512, Buffer.alloc(512))).rejects.toThrow('multiples of 4096');
      await client.read(4096, Buffer.alloc(4096));
    });
  });
});
