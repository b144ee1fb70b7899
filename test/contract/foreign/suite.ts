/**
 * The contract of every foreign platform, whatever it is: a platform's own test passes in how to open it, one VM that it
 * has and the bytes of that VM's disks, and what a person would find left behind. See `ova.test.ts` for the least of it.
 */
import { hash, randomInt } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForeignSource, ForeignVm, ForeignVmSummary } from '../../../domain/foreign.ts';
import type { DiskSource, Extent } from '../../../domain/platform.ts';
import { readHashed } from '../../../transfer/sha256.ts';

/** What the suite needs to know of a platform's VM. It has to be off, or to stay as it is while it is read. */
export interface KnownVm {
  /** As `inspect` is asked for it. */
  name: string;
  /** What is known of it; compared by `toMatchObject`. */
  facts: Partial<ForeignVm>;
  /** Raw files with the bytes of its disks, by their keys; at least one disk. */
  disks: Readonly<Record<string, string>>;
}

export interface ForeignSuite {
  /** How the platform is called in the tests' names. */
  name: string;
  /** Called after `beforeAll` of the caller. */
  vm: () => KnownVm;
  open: () => Promise<ForeignSource>;
  /** What is at the source, or here, only while it is open: processes, sockets, logins, snapshots, leases, files. */
  traces: () => Promise<string[]>;
  /** How long the slowest single act of the platform may take on a loaded machine, ms; 20 s if absent. */
  patienceMs?: number;
}

/** Bytes compared at a time. */
const stepBytes = 1024 * 1024;
/** Random places read at once. */
const placesAtOnce = 16;
const never = new AbortController().signal;

export function describeForeignSource(suite: ForeignSuite): void {
  const patienceMs = suite.patienceMs ?? 20_000;
  describe(`${suite.name} as a foreign source`, { timeout: 3 * patienceMs }, () => {
    let source: ForeignSource;
    let vm: ForeignVm;
    let before: string[];
    beforeAll(async () => {
      before = await suite.traces();
      source = await suite.open();
      vm = await source.inspect(suite.vm().name);
    }, 3 * patienceMs);
    afterAll(async () => {
      await source.close();
    });

    it('lists the VM as it shows it', async () => {
      const listed: ForeignVmSummary[] = [];
      for await (const one of source.list()) listed.push(one);
      const ids = listed.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const { id, name, state, memoryBytes, cpus, path, disks } = vm;
      const line = listed.find((one) => one.id === id);
      expect(line).toMatchObject({ id, name, state, memoryBytes, cpus, path });
      const diskBytes = disks.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
      expect([0, diskBytes]).toContain(line?.diskBytes);
    });

    it('shows what is known of the VM, by its ID too', async () => {
      expect(vm).toMatchObject({ kind: source.kind, ...suite.vm().facts });
      expect(await source.inspect(vm.id)).toEqual(vm);
      expect(new Set(vm.disks.map(({ key }) => key)).size).toBe(vm.disks.length);
      expect(vm.disks.map(({ key }) => key)).toEqual(
        expect.arrayContaining(Object.keys(suite.vm().disks)),
      );
      for (const { mac } of vm.nics) expect(mac).toMatch(/^(?:(?:[0-9a-f]{2}:){5}[0-9a-f]{2})?$/);
      for (const text of [vm.uuid]) expect(text).toBe(text.toLowerCase());
    });

    it('states each concern with a code, a level, words and a remedy', async () => {
      for (const concern of await source.concerns(vm)) {
        expect(concern.code).toMatch(/^[a-z][a-z0-9-]+$/);
        expect(['critical', 'warning', 'information']).toContain(concern.level);
        expect(concern.message).not.toBe('');
        expect(concern.remedy).not.toBe('');
      }
    });

    it('gives every byte of every disk, and extents that cover it', async () => {
      for (const [key, path] of Object.entries(suite.vm().disks)) {
        await withDisk({ source, vm, key }, async (disk) => {
          const capacity = vm.disks.find((one) => one.key === key)?.capacityBytes;
          expect(disk.sizeBytes).toBe(capacity);
          expect((await stat(path)).size).toBe(disk.sizeBytes);
          await using raw = await open(path, 'r');
          for await (const extent of coverOf(disk, 0, disk.sizeBytes)) {
            await compare(disk, raw, extent);
          }
        });
      }
    });

    it('calls nothing zero that has bytes, from any place on', async () => {
      const [key = '', path = ''] = Object.entries(suite.vm().disks)[0] ?? [];
      await withDisk({ source, vm, key }, async (disk) => {
        await using raw = await open(path, 'r');
        for (let nth = 0; nth < placesAtOnce; nth += 1) {
          const { offset, length } = somewhere(disk);
          for await (const extent of coverOf(disk, offset, length)) {
            if (!extent.zero) continue;
            const bytes = await rawBytes(raw, extent.offset, Math.min(extent.length, stepBytes));
            expect(bytes.every((byte) => byte === 0)).toBe(true);
          }
        }
      });
    });

    it('answers reads of many places at once, each with its own bytes', async () => {
      const [key = '', path = ''] = Object.entries(suite.vm().disks)[0] ?? [];
      await withDisk({ source, vm, key }, async (disk) => {
        expect(disk.parallelism).toBeGreaterThanOrEqual(1);
        await using raw = await open(path, 'r');
        const places = Array.from({ length: placesAtOnce }, () => somewhere(disk));
        const all = places.map(async ({ offset, length }) => {
          // Shared memory, as the copier's buffers are.
          const into = new Uint8Array(new SharedArrayBuffer(length));
          const digest = await readHashed(disk, { offset, into }, never);
          const wanted = await rawBytes(raw, offset, length);
          expect(Buffer.from(digest).equals(hash('sha256', wanted, 'buffer'))).toBe(true);
          return Buffer.from(into).equals(wanted);
        });
        expect(await Promise.all(all)).toEqual(places.map(() => true));
      });
    });

    it('ends a read that is aborted, and goes on afterwards', async () => {
      const [key = ''] = Object.keys(suite.vm().disks);
      await withDisk({ source, vm, key }, async (disk) => {
        const into = new Uint8Array(Math.min(disk.sizeBytes, stepBytes));
        await expect(disk.read(0, into, AbortSignal.abort(new Error('enough')))).rejects.toThrow();
        const late = new AbortController();
        const reading = disk.read(0, into, late.signal).then(
          () => 'done',
          () => 'ended',
        );
        late.abort(new Error('enough'));
        expect(['done', 'ended']).toContain(await within(patienceMs, reading));
        await disk.read(0, into);
      });
    });

    it('gives the same fingerprint for the same bytes, and says that they stayed', async () => {
      const [key = ''] = Object.keys(suite.vm().disks);
      const prints: string[] = [];
      for (let nth = 0; nth < 2; nth += 1) {
        const { source: disk, fingerprint } = await source.openDisk(vm, key);
        await disk.close();
        prints.push(fingerprint);
      }
      expect(prints[0]).not.toBe('');
      expect(prints[1]).toBe(prints[0]);
      await source.verifyUnchanged(vm);
    });

    it('refuses a VM and a disk that are not there, by their codes', async () => {
      await expect(source.inspect('no such machine')).rejects.toMatchObject({
        code: 'vm-not-found',
      });
      await expect(source.openDisk(vm, 'no such disk')).rejects.toMatchObject({
        code: 'disk-not-found',
      });
    });

    it('opens nothing once it was told to end', async () => {
      const [key = ''] = Object.keys(suite.vm().disks);
      const signal = AbortSignal.abort(new Error('enough'));
      await expect(source.openDisk(vm, key, signal)).rejects.toThrow();
    });

    it('says of the VM what state it is in', async () => {
      expect(await source.state(vm.id)).toBe(vm.state);
    });

    it('leaves nothing behind, whatever was open', async () => {
      await source.close();
      expect(await suite.traces()).toEqual(before);
      const other = await suite.open();
      try {
        const again = await other.inspect(suite.vm().name);
        const [key = ''] = Object.keys(suite.vm().disks);
        // Left open: closing the source is enough.
        await other.openDisk(again, key);
      } finally {
        await other.close();
      }
      expect(await suite.traces()).toEqual(before);
      await other.close();
    });
  });
}

async function withDisk(
  { source, vm, key }: { source: ForeignSource; vm: ForeignVm; key: string },
  act: (disk: DiskSource) => Promise<void>,
): Promise<void> {
  const { source: disk } = await source.openDisk(vm, key);
  try {
    await act(disk);
  } finally {
    await disk.close();
  }
}

/** The extents, each held against the one before. */
async function* coverOf(disk: DiskSource, offset: number, length: number): AsyncGenerator<Extent> {
  let at = offset;
  for await (const extent of disk.extents(offset, length)) {
    expect(extent.offset).toBe(at);
    expect(extent.length).toBeGreaterThan(0);
    at += extent.length;
    yield extent;
  }
  expect(at).toBe(offset + length);
}

/** Zero extents are read as well: what the source calls zero has to read so. */
async function compare(disk: DiskSource, raw: FileHandle, extent: Extent): Promise<void> {
  const { offset, length, zero } = extent;
  const into = new Uint8Array(stepBytes);
  for (let at = 0; at < length; at += stepBytes) {
    const part = into.subarray(0, Math.min(stepBytes, length - at));
    const wanted = await rawBytes(raw, offset + at, part.length);
    if (zero) expect(wanted.every((byte) => byte === 0)).toBe(true);
    await disk.read(offset + at, part);
    // Not by `toEqual`, which would print a mebibyte.
    if (!wanted.equals(part))
      throw new Error(`other bytes in the ${part.length} at ${offset + at}`);
  }
}

async function rawBytes(raw: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await raw.read(bytes, 0, length, offset);
  expect(bytesRead).toBe(length);
  return bytes;
}

function somewhere({ sizeBytes }: DiskSource): { offset: number; length: number } {
  const length = randomInt(1, Math.min(sizeBytes, stepBytes));
  return { offset: randomInt(0, sizeBytes - length + 1), length };
}

async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
