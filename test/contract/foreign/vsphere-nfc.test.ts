/** Disks of vSphere by NFC, from a simulated vCenter whose leases live and die as real ones do. */
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { vcenterShortcoming } from '../../../lab/vcenter/program.ts';
import type { DiskSource } from '../../../domain/platform.ts';
import { NfcLease } from '../../../platforms/vsphere/nfc-lease.ts';
import type { VsphereSource } from '../../../platforms/vsphere/source.ts';
import { copyDisk } from '../../../transfer/copy.ts';
import { openFileSink } from '../../../transfer/file-sink.ts';
import { Journal, journalPathFor } from '../../../transfer/journal.ts';
import { describeForeignSource } from './suite.ts';
import {
  machine,
  MIB,
  openSource,
  optionsFor,
  refusal,
  startVcenter,
  temporariesOf,
} from './vsphere-fixture.ts';
import type { Vcenter } from './vsphere-fixture.ts';

const shortcoming = await vcenterShortcoming();
if (shortcoming !== undefined) console.warn(`SKIPPED, NFC is not tested: ${shortcoming}`);
const run = promisify(execFile);
const label = `nfc-${process.pid}`;
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(shortcoming !== undefined)('a disk by NFC', { timeout: 60_000 }, () => {
  /** Its last grain is not whole, and half of it is zeroes. */
  const bytes = Buffer.concat([randomBytes(MIB), Buffer.alloc(MIB), randomBytes(MIB + 512)]);
  const large = randomBytes(12 * MIB);
  const sources: VsphereSource[] = [];
  let dir: string;
  let vcenter: Vcenter;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nfc-'));
    const [file, largeFile] = [join(dir, 'bytes'), join(dir, 'large')];
    await writeFile(file, bytes);
    await writeFile(largeFile, large);
    const disk = { key: 2000, sizeBytes: bytes.length, file, controller: 'scsi' } as const;
    const wide = { ...disk, sizeBytes: large.length, file: largeFile };
    const other = { ...disk, key: 2001, unit: 1, sizeBytes: 2 * MIB, file: largeFile };
    const vms = [
      machine('still', { disks: [disk] }),
      machine('woken', { disks: [disk] }),
      machine('runs', { disks: [disk], running: true }),
      machine('large', { disks: [wide] }),
      machine('doomed', { disks: [wide] }),
      machine('two', {
        disks: [disk, other, { ...disk, key: 16_000, controller: 'sata' }],
      }),
    ];
    vcenter = await startVcenter({ vms, leaseSeconds: 4 });
  }, 1_300_000);
  afterAll(async () => {
    await vcenter.close();
    await rm(dir, { recursive: true, force: true });
  });

  const openBare = (): Promise<VsphereSource> => openSource(vcenter, { dataPath: 'nfc', label });
  const open = async (): Promise<VsphereSource> => {
    const source = await openBare();
    sources.push(source);
    return source;
  };
  const diskOf = async (vm: string, key = '2000', source?: VsphereSource): Promise<DiskSource> => {
    const from = source ?? (await open());
    return (await from.openDisk(await from.inspect(vm), key)).source;
  };
  const notes = (): Promise<string[]> => temporariesOf(`vmferry-nfc-${label}-`);
  const readAll = async (disk: DiskSource, from = 0): Promise<Buffer> => {
    const into = Buffer.alloc(disk.sizeBytes - from);
    for (let at = 0; at < into.length; at += MIB)
      await disk.read(from + at, into.subarray(at, at + MIB));
    return into;
  };

  describeForeignSource({
    name: 'NFC',
    vm: () => ({
      name: 'still',
      facts: { kind: 'vsphere', state: 'shut-off' },
      disks: { 2000: join(dir, 'bytes') },
    }),
    open: openBare,
    traces: async () => {
      const { sessions, snapshots, leases } = await vcenter.stats();
      return [
        `${sessions} sessions`,
        `${snapshots} snapshots`,
        `${leases} leases`,
        ...(await notes()),
      ];
    },
    patienceMs: 60_000,
  });

  describe('under its lease', () => {
    beforeEach(() => vcenter.command({ op: 'nfc' }));
    afterEach(async () => {
      await vcenter.command({ op: 'nfc-hold', offset: 0 });
      for (const source of sources.splice(0)) await source.close();
      expect(await vcenter.stats()).toMatchObject({ leases: 0, sessions: 0 });
      expect(await notes()).toEqual([]);
    });

    it('comes as a stream that QEMU, too, takes for a stream-optimized VMDK', async () => {
      const { session } = await open();
      const vm = await (await open()).inspect('still');
      const explain = () => Promise.resolve(undefined);
      const { signal } = new AbortController();
      const options = { session, vm, label, explain, percent: () => 0, signal };
      const lease = await NfcLease.open(options);
      const path = new URL(lease.disks[0]?.url.replace('*', '127.0.0.1') ?? '').pathname;
      const answer = await session.server.send({ method: 'GET', path, silenceMs: 10_000 });
      const [file, raw] = [join(dir, 'got.vmdk'), join(dir, 'got.raw')];
      await writeFile(file, await answer.readAll(16 * MIB));
      await lease.end({ whole: true });
      await run('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', file, raw]);
      expect(hashOf(await readFile(raw))).toBe(hashOf(bytes));
    });

    it('takes a lease with the first byte, completes it after the last, and says which way it was', async () => {
      const before = await vcenter.stats();
      const source = await open();
      const vm = await source.inspect('still');
      const { source: disk, way } = await source.openDisk(vm, '2000');
      expect(await vcenter.stats()).toMatchObject({ leasesMade: before.leasesMade });
      expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
      expect(await notes()).toHaveLength(1);
      await disk.close();
      await source.verifyUnchanged(vm);
      await source.close();
      expect(way).toBe('by NFC: dataPath is nfc');
      expect(await vcenter.stats()).toMatchObject({
        ...{ leasesMade: before.leasesMade + 1, completed: before.completed + 1 },
        streams: before.streams + 1,
      });
    });

    it('is told from the others of its VM by its place, one after the other under one lease', async () => {
      const before = await vcenter.stats();
      const source = await open();
      for (const [key, wanted] of [
        ['2000', bytes],
        ['2001', large.subarray(0, 2 * MIB)],
        ['16000', bytes],
      ] as const) {
        const disk = await diskOf('two', key, source);
        expect(hashOf(await readAll(disk))).toBe(hashOf(wanted));
        await disk.close();
      }
      await source.close();
      expect(await vcenter.stats()).toMatchObject({
        ...{ leasesMade: before.leasesMade + 1, completed: before.completed + 1 },
        streams: before.streams + 3,
      });
    });

    it('has its lease aborted by a cancel in the middle', async () => {
      const before = await vcenter.stats();
      await vcenter.command({ op: 'nfc-hold', offset: 4 * MIB });
      const source = await open();
      const disk = await diskOf('large', '2000', source);
      const stop = new AbortController();
      const reading = refusal(disk.read(0, Buffer.alloc(large.length), stop.signal));
      await expect.poll(async () => (await vcenter.stats()).streams).toBe(before.streams + 1);
      stop.abort(new Error('enough'));
      expect(await reading).toMatchObject({ message: 'enough' });
      await disk.close();
      await source.close();
      expect(await vcenter.stats()).toMatchObject({ leases: 0, aborted: before.aborted + 1 });
    });

    it('goes on by the journal after a cancel: what crosses again is written no more', async () => {
      const path = join(dir, 'copy.raw');
      const written: number[] = [];
      const attempt = async (signal: AbortSignal) => {
        await using stack = new AsyncDisposableStack();
        const source = await openBare();
        stack.defer(() => source.close());
        const vm = await source.inspect('large');
        const { source: disk, fingerprint } = await source.openDisk(vm, '2000');
        const sizeBytes = disk.sizeBytes;
        const sink = await openFileSink({ path, sizeBytes });
        stack.defer(() => sink.close());
        const journal = await Journal.open({
          path: journalPathFor(path),
          header: { moveId: 'm', diskName: 'a', sizeBytes, fingerprint, chunkBytes: MIB },
          targetStartsZeroed: sink.startsZeroed,
        });
        stack.defer(() => journal.close());
        const write = sink.write.bind(sink);
        sink.write = async (offset, data, inner) => {
          await write(offset, data, inner);
          written.push(offset);
        };
        return await copyDisk({ source: disk, sink, journal, signal });
      };
      await vcenter.command({ op: 'nfc-hold', offset: 9 * MIB });
      const stop = new AbortController();
      const first = refusal(attempt(stop.signal));
      // All that came before the stream stood still.
      await expect.poll(() => written.length, { timeout: 30_000 }).toBe(8);
      stop.abort(new Error('enough'));
      expect(await first).toMatchObject({ code: 'cancelled' });
      await vcenter.command({ op: 'nfc-hold', offset: 0 });
      const before = written.splice(0).length;
      const result = await attempt(new AbortController().signal);
      expect(result).toMatchObject({
        ...{ resumedBytes: before * MIB, bytesCopied: large.length - before * MIB },
      });
      expect(written).toHaveLength(large.length / MIB - before);
      expect(hashOf(await readFile(path))).toBe(hashOf(large));
    });

    it('keeps its lease while its reader waits for long', async () => {
      await vcenter.command({ op: 'nfc-hold', offset: 4 * MIB });
      const source = await open();
      const { id } = await source.inspect('large');
      const disk = await diskOf('large', '2000', source);
      const before = await vcenter.stats();
      const reading = readAll(disk);
      const words = async (): Promise<number> =>
        (await vcenter.stats()).calls['HttpNfcLeaseProgress'] ?? 0;
      // One a second, and the lease is of four.
      const first = await words();
      await expect.poll(words, { timeout: 40_000 }).toBeGreaterThan(first + 5);
      // Nobody starts the VM meanwhile.
      expect(await refusal(source.start(id))).toMatchObject({ code: 'vsphere-busy' });
      await vcenter.command({ op: 'nfc-hold', offset: 0 });
      expect(hashOf(await reading)).toBe(hashOf(large));
      const { leasesMade, timedOut } = await vcenter.stats();
      expect({ leasesMade, timedOut }).toEqual({
        ...{ leasesMade: before.leasesMade + 1, timedOut: before.timedOut },
      });
    });

    it('goes on where its stream broke off, or its login and its lease ran out', async () => {
      const disk = await diskOf('large');
      const half = Buffer.alloc(6 * MIB);
      await vcenter.command({ op: 'nfc-cut', offset: 3 * MIB });
      await disk.read(0, half);
      expect(hashOf(half)).toBe(hashOf(large.subarray(0, half.length)));
      const before = await vcenter.stats();
      await vcenter.command({ op: 'expire' });
      await vcenter.command({ op: 'nfc-expire' });
      expect(hashOf(await readAll(disk, half.length))).toBe(hashOf(large.subarray(half.length)));
      expect((await vcenter.stats()).leasesMade).toBe(before.leasesMade + 1);
    });

    it.each([
      {
        ...{ vm: 'large', became: 'is started', code: 'vsphere-disk-locked' },
        begin: { op: 'power', vm: 'large', on: true } as const,
      },
      {
        ...{ vm: 'doomed', became: 'is removed', code: 'vm-not-found' },
        begin: { op: 'remove', vm: 'doomed' } as const,
      },
    ])('of a VM that $became once its lease ran out in mid-copy says so', async (row) => {
      const disk = await diskOf(row.vm);
      await disk.read(0, Buffer.alloc(6 * MIB));
      await vcenter.command({ op: 'nfc-expire' });
      await vcenter.command(row.begin);
      const error = await refusal(readAll(disk, 6 * MIB));
      if (row.vm === 'large') await vcenter.command({ op: 'power', vm: 'large', on: false });
      expect(error).toMatchObject({ code: row.code });
    });

    it('comes from the ESXi that the lease names, if that shows the certificate that it tells', async () => {
      await vcenter.command({ op: 'nfc', on: true });
      expect(hashOf(await readAll(await diskOf('still')))).toBe(hashOf(bytes));
      const source = await open();
      await vcenter.command({ op: 'nfc', on: true, thumbprint: 'AB'.repeat(20) });
      const other = await diskOf('woken', '2000', source);
      const { streams } = await vcenter.stats();
      expect(await refusal(readAll(other))).toMatchObject({
        ...{ code: 'tls-thumbprint-mismatch', handling: 'needs-operator' },
      });
      await vcenter.command({ op: 'nfc', on: true, thumbprint: 'none' });
      expect(await refusal(readAll(await diskOf('large')))).toMatchObject({
        code: 'tls-untrusted',
      });
      expect((await vcenter.stats()).streams).toBe(streams);
    });

    it.each([
      ['beyond', 'vsphere-protocol-broken'],
      ['backwards', 'vsphere-protocol-broken'],
      ['huge', 'vsphere-protocol-broken'],
      ['bomb', 'vsphere-protocol-broken'],
      ['garbage', 'vsphere-protocol-broken'],
      ['capacity', 'vsphere-disk-unreadable'],
      ['truncated', 'source-unreachable'],
    ])('gives nothing of a stream that lies: %s', async (spoil, code) => {
      const disk = await diskOf('still');
      await vcenter.command({ op: 'nfc', spoil });
      const into = Buffer.alloc(bytes.length);
      const error = await refusal(disk.read(0, into));
      expect(error).toMatchObject({ code });
      expect(JSON.stringify([error, String(error)])).not.toContain('ticket-');
    });

    it.each([
      ['NoPermission', 'vsphere-no-permission'],
      ['FileFault', 'vsphere-refused'],
    ])('tells why there is no lease: %s', async (fault, code) => {
      const disk = await diskOf('still');
      await vcenter.command({ op: 'nfc', fault });
      expect(await refusal(readAll(disk))).toMatchObject({ code });
      await vcenter.command({ op: 'nfc', ms: 300 });
      expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
    });

    it('of a VM that runs is locked, and no lease is asked for', async () => {
      const { calls } = await vcenter.stats();
      expect(await refusal(diskOf('runs'))).toMatchObject({
        ...{
          code: 'vsphere-disk-locked',
          remedy: expect.stringContaining('Power the VM off') as string,
        },
      });
      expect((await vcenter.stats()).calls['ExportVm']).toBe(calls['ExportVm']);
    });

    it('is another one once its VM was started in between', async () => {
      const source = await open();
      const vm = await source.inspect('woken');
      const disk = await diskOf('woken', '2000', source);
      await disk.read(0, Buffer.alloc(512));
      await vcenter.command({ op: 'power', vm: 'woken', on: true });
      expect(await refusal(source.verifyUnchanged(vm))).toMatchObject({ code: 'source-changed' });
      await vcenter.command({ op: 'power', vm: 'woken', on: false });
      expect(await refusal(source.verifyUnchanged(vm))).toMatchObject({ code: 'source-changed' });
    });

    it.each([
      { lease: 'is ended by the next one, where it may', shared: true },
      { lease: 'runs out while the next one waits', shared: false },
    ])('leaves a lease by a reader that is killed, which $lease', async ({ shared }) => {
      await vcenter.command({ op: 'nfc-shared', on: shared });
      const victim = join(import.meta.dirname, 'vddk-victim-process.ts');
      const child = spawn(process.execPath, [victim, 'still'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      child.stdin.end(JSON.stringify(optionsFor(vcenter, { dataPath: 'nfc', label })));
      await once(child.stdout, 'data');
      const before = await vcenter.stats();
      expect(before.leases).toBe(1);
      const left = await notes();
      expect(left).toHaveLength(1);
      child.kill('SIGKILL');
      const source = await open();
      expect(await source.sweep()).toEqual(left.map((name) => join(tmpdir(), name)));
      expect(hashOf(await readAll(await diskOf('still', '2000', source)))).toBe(hashOf(bytes));
      const { timedOut, aborted } = await vcenter.stats();
      expect([timedOut - before.timedOut, aborted - before.aborted]).toEqual(
        shared ? [0, 1] : [1, 0],
      );
      await source.close();
      // The dead one's login ends by itself, later.
      await vcenter.command({ op: 'expire' });
      await source.close();
    });

    it('is what is taken where /folder refuses the user, unless another way was asked for', async () => {
      const file = join(dir, 'bytes');
      const disks = [{ key: 2000, sizeBytes: bytes.length, file, controller: 'scsi' as const }];
      await using strict = await startVcenter({ vms: [machine('one', { disks })], noFolder: true });
      for (const [dataPath, wanted] of [
        ['auto', 'by NFC: dataPath is auto, and /folder refuses the user'],
        ['folder', 'source-unreachable'],
      ] as const) {
        await using source = await openSource(strict, { dataPath });
        const seen = await source.openDisk(await source.inspect('one'), '2000').then(
          async (handle) => {
            expect(hashOf(await readAll(handle.source))).toBe(hashOf(bytes));
            return handle.way;
          },
          (error: unknown) => (error as { code: string }).code,
        );
        expect(seen).toBe(wanted);
      }
      expect(await strict.stats()).toMatchObject({ leases: 0, completed: 1, sessions: 0 });
    });
  });
});
