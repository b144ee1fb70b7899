import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { randomFillSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiskSink } from '../../../domain/platform.ts';
import { copyDisk, type CopyResult } from '../../../transfer/copy.ts';
import { openFileSink } from '../../../transfer/file-sink.ts';
import { hashDisk } from '../../../transfer/hash-tree.ts';
import { Journal, journalPathFor } from '../../../transfer/journal.ts';
import { openNbdSink } from '../../../transfer/nbd-sink.ts';
import { openNbdSource } from '../../../transfer/nbd-source.ts';
import { requireSameContent } from '../../../transfer/verify.ts';
import { Bench, exec, type RunningServer } from '../nbd/qemu-nbd-fixture.ts';

const MiB = 1024 * 1024;
const chunkBytes = MiB;
let bench: Bench;
let original: string;
const size = 1024 * MiB;

/** A sparse disk of 1 GiB: 64 MiB of data in odd places, some of it next to holes and at the very end. */
beforeAll(async () => {
  bench = await Bench.open();
  original = bench.path('original.raw');
  await writeFile(original, '');
  await truncate(original, size);
  const file = await open(original, 'r+');
  const block = randomFillSync(Buffer.alloc(4 * MiB));
  for (let count = 0; count < 16; count++) {
    block.writeUInt32BE(count, 0);
    const at = count * 63 * MiB + (count % 5) * 4096;
    await file.write(block, 0, block.length, at);
  }
  await file.write(block, 0, 8192, size - 8192);
  await file.sync();
  await file.close();
});
afterAll(() => bench.close());

const serveOriginal = () => bench.qemuNbd({ image: original, format: 'raw', exportName: 'vda' });

const journalFor = (target: string, sink: DiskSink, fingerprint = 'f') =>
  Journal.open({
    path: journalPathFor(target),
    header: { moveId: 'm', diskName: 'vda', sizeBytes: size, fingerprint, chunkBytes },
    targetStartsZeroed: sink.startsZeroed,
  });

const sourceOf = ({ address }: RunningServer) =>
  openNbdSource({ what: 'disk vda', host: 'host-a', address, exportName: 'vda' });

const copyToFile = async (server: RunningServer, target: string, fingerprint = 'f') => {
  await using stack = new AsyncDisposableStack();
  const source = await sourceOf(server);
  stack.defer(() => source.close());
  const sink = await openFileSink({ path: target, sizeBytes: size });
  stack.defer(() => sink.close());
  const journal = await journalFor(target, sink, fingerprint);
  stack.defer(() => journal.close());
  return await copyDisk({ source, sink, journal });
};

/** As strict as cmp, but holes cost nothing. */
const requireIdentical = async (target: string): Promise<void> => {
  const verdict = await exec('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', original, target);
  expect(verdict).toContain('identical');
};

const hashOf = async (image: string, format: 'raw' | 'qcow2') => {
  const server = await bench.qemuNbd({ image, format });
  const source = await openNbdSource({ what: image, address: server.address });
  try {
    return await hashDisk({ source });
  } finally {
    await source.close();
    await server.stop();
  }
};

describe('a disk of 1 GiB behind qemu-nbd', () => {
  it('comes out byte-identical and as sparse in a raw file', async () => {
    const target = bench.path('copy.raw');
    const result = await copyToFile(await serveOriginal(), target);
    await exec('cmp', original, target);
    expect(result.bytesCopied).toBe(result.totalDataBytes);
    expect(result.totalDataBytes).toBeLessThan(66 * MiB);
    const [from, to] = await Promise.all([stat(original), stat(target)]);
    expect(to.blocks).toBeLessThan(from.blocks * 1.05);
  });

  it('comes out identical in a qcow2 image, and hashes alike', async () => {
    const target = bench.path('copy.qcow2');
    await exec('qemu-img', 'create', '-q', '-f', 'qcow2', target, String(size));
    const server = await bench.qemuNbd({ image: target, format: 'qcow2', writable: true });
    const source = await sourceOf(await serveOriginal());
    const sink = await openNbdSink({ what: target, address: server.address, startsZeroed: true });
    const journal = await journalFor(target, sink);
    await copyDisk({ source, sink, journal });
    await journal.remove();
    await sink.close();
    await source.close();
    await server.stop();
    expect(
      await exec('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', original, target),
    ).toContain('identical');
    const [raw, qcow2] = await Promise.all([hashOf(original, 'raw'), hashOf(target, 'qcow2')]);
    expect(qcow2.root).toBe(raw.root);
    await exec('qemu-io', '-f', 'qcow2', '-c', 'write -P 1 720M 512', target);
    const changed = await hashOf(target, 'qcow2');
    expect(() => requireSameContent('vda', raw, changed)).toThrow(
      `${4 * MiB} bytes at ${720 * MiB}`,
    );
  });

  it('goes on after kill -9 with less than 64 MiB crossing twice', async () => {
    const server = await serveOriginal();
    if (!('path' in server.address)) throw new Error('a unix socket was expected');
    const target = bench.path('killed.raw');
    const child = spawn(
      process.execPath,
      [
        new URL('./copy-child.ts', import.meta.url).pathname,
        JSON.stringify({ socket: server.address.path, target, chunkBytes }),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const gone = once(child, 'exit');
    for await (const line of createInterface({ input: child.stdout })) {
      const safe = Number(/^safe (\d+)$/.exec(line)?.[1] ?? Infinity);
      if (safe < 20 * MiB) continue;
      child.kill('SIGKILL');
      break;
    }
    expect((await gone)[1]).toBe('SIGKILL');
    const result = await copyToFile(server, target);
    await requireIdentical(target);
    expect(result.resumedBytes).toBeGreaterThanOrEqual(20 * MiB);
    expect(result.bytesCopied + result.resumedBytes).toBe(result.totalDataBytes);
    expect(result.bytesRecopied).toBeLessThan(64 * MiB);
  });

  it('starts over when the source is another, and leaves nothing behind', async () => {
    const target = bench.path('again.raw');
    await copyToFile(await serveOriginal(), target);
    const file = await open(target, 'r+');
    await file.write(Buffer.alloc(3 * MiB, 7), 0, 3 * MiB, 490 * MiB + 512);
    await file.close();
    const result: CopyResult = await copyToFile(await serveOriginal(), target, 'other');
    expect(result.restarted).toContain('the source has changed');
    await requireIdentical(target);
  });

  it('tells a source that went away, keeps what was written, and goes on elsewhere', async () => {
    const target = bench.path('lost.raw');
    const dying = await serveOriginal();
    const source = await sourceOf(dying);
    const sink = await openFileSink({ path: target, sizeBytes: size });
    const journal = await journalFor(target, sink);
    let reads = 0;
    const flaky = {
      sizeBytes: size,
      parallelism: 4,
      extents: source.extents.bind(source),
      close: source.close.bind(source),
      read: async (offset: number, into: Uint8Array, signal?: AbortSignal) => {
        if (++reads === 45) await dying.stop();
        await source.read(offset, into, signal);
      },
    };
    await expect(copyDisk({ source: flaky, sink, journal })).rejects.toMatchObject({
      code: 'source-unreachable',
      handling: 'transient',
      host: 'host-a',
    });
    await source.close();
    await sink.close();
    await journal.close();
    expect(journal.safe.bytes).toBeGreaterThan(20 * MiB);
    const result = await copyToFile(await serveOriginal(), target);
    expect(result.resumedBytes).toBe(journal.safe.bytes);
    await requireIdentical(target);
  });
});

describe('a target without room', () => {
  it('is named, with the bytes needed and available', async () => {
    const folder = bench.path('small');
    await exec('mkdir', folder);
    await exec('mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder);
    try {
      const target = `${folder}/full.raw`;
      const copying = copyToFile(await serveOriginal(), target);
      await expect(copying).rejects.toMatchObject({
        code: 'target-disk-full',
        handling: 'needs-operator',
        message: expect.stringMatching(
          /full\.raw.*GiB more are needed.*GiB are available/,
        ) as string,
      });
    } finally {
      await exec('umount', folder);
    }
  });

  it('is told by a server of the target, too', async () => {
    const full = await bench.nbdkit(
      '--filter=error',
      'memory',
      '2G',
      'error-pwrite=ENOSPC',
      'error-pwrite-rate=1',
    );
    const source = await sourceOf(await serveOriginal());
    const sink = await openNbdSink({
      what: 'web.qcow2',
      address: full.address,
      startsZeroed: true,
    });
    const journal = await journalFor(bench.path('full.qcow2'), sink);
    const copying = copyDisk({ source, sink, journal });
    await expect(copying).rejects.toMatchObject({
      code: 'target-disk-full',
      handling: 'needs-operator',
    });
    expect(journal.safe.bytes).toBe(0);
    await journal.close();
    await sink.close();
    await source.close();
  });
});

describe('a source with bad sectors', () => {
  it('stops the copy as unsafe', async () => {
    const bad = await bench.nbdkit(
      '--filter=error',
      'pattern',
      '64M',
      'error-pread=EIO',
      'error-pread-rate=1',
    );
    const source = await openNbdSource({ what: 'disk vda', address: bad.address });
    const target = bench.path('bad.raw');
    const sink = await openFileSink({ path: target, sizeBytes: source.sizeBytes });
    const journal = await journalFor(target, sink);
    await expect(copyDisk({ source, sink, journal })).rejects.toMatchObject({
      code: 'disk-io-error',
      handling: 'unsafe',
    });
    await journal.close();
    await sink.close();
    await source.close();
  });
});

describe('a block device', () => {
  it('is measured, written and zeroed', async () => {
    const backing = bench.path('device.img');
    await writeFile(backing, Buffer.alloc(64 * MiB, 0xaa));
    const device = (await exec('losetup', '--find', '--show', backing)).trim();
    try {
      await expect(openFileSink({ path: device, sizeBytes: size })).rejects.toMatchObject({
        code: 'target-too-small',
      });
      const sink = await openFileSink({ path: device, sizeBytes: 60 * MiB });
      expect(sink.startsZeroed).toBe(false);
      await sink.write(MiB, Buffer.alloc(MiB, 5));
      await sink.writeZeroes(8 * MiB, 16 * MiB);
      await sink.flush();
      await sink.close();
    } finally {
      await exec('losetup', '--detach', device);
    }
    const content = await readFile(backing);
    const expected = Buffer.alloc(64 * MiB, 0xaa);
    expected.fill(5, MiB, 2 * MiB).fill(0, 8 * MiB, 24 * MiB);
    expect(content.equals(expected)).toBe(true);
  });
});
