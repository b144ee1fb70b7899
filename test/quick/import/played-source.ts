/** A foreign platform in memory, and a conversion host around a real folder. */
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Turns } from '../../../activities/turns.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { ConversionTermsInForce } from '../../../activities/import/conversion-terms.ts';
import type { ImportRef } from '../../../activities/import/contract.ts';
import { unsafe } from '../../../domain/errors.ts';
import type { ForeignDiskHandle, ForeignSource, ForeignVm } from '../../../domain/foreign.ts';
import type { DiskSource, Extent } from '../../../domain/platform.ts';
import type { VmState } from '../../../domain/vm.ts';
import { openFileSink } from '../../../transfer/file-sink.ts';
import { hostParts } from '../activities/host-parts.ts';
import { foreignVm } from './fake-import.ts';

export const MiB = 1024 ** 2;

/** The platform; `close` is counted, since nothing may be left at a source. */
export class PlayedSource implements ForeignSource {
  readonly kind = 'vsphere';
  state_: VmState = 'shut-off';
  readonly disks = new Map<string, { bytes: Buffer; fingerprint: string }>();
  readonly asked: string[] = [];
  /** Bytes that were read of disks. */
  readBytes = 0;
  isChanged = false;
  opened = 0;
  /** What the guest makes of being asked to shut down. */
  onShutdown: () => void = () => undefined;
  /** Called before each read. */
  onRead: () => void = () => undefined;

  get vm(): ForeignVm {
    const disks = foreignVm.disks.filter(({ key }) => this.disks.has(key));
    const sized = disks.map((disk) => ({
      ...disk,
      capacityBytes: this.disks.get(disk.key)?.bytes.length ?? 0,
    }));
    return { ...foreignVm, state: this.state_, disks: sized };
  }

  async *list() {
    await Promise.resolve();
    yield { ...this.vm, diskBytes: 0 };
  }
  inspect = () => Promise.resolve(this.vm);
  concerns = () => Promise.resolve([]);
  state = () => Promise.resolve(this.state_);
  requestShutdown = async () => {
    await this.#order('shutdown');
    this.onShutdown();
  };
  forceOff = () => this.#order('force-off', 'shut-off');
  start = () => this.#order('start', 'running');
  resume = () => this.#order('resume');
  sweep = () => this.#order('sweep');
  verifyUnchanged = () =>
    this.isChanged
      ? Promise.reject(unsafe({ code: 'source-changed', message: 'it changed', remedy: 'none' }))
      : Promise.resolve();
  close = () => {
    this.opened -= 1;
    return Promise.resolve();
  };
  [Symbol.asyncDispose] = () => this.close();

  openDisk = (_vm: ForeignVm, key: string): Promise<ForeignDiskHandle> => {
    const disk = this.disks.get(key);
    if (disk === undefined) throw new Error(`no disk ${key}`);
    return Promise.resolve({ source: this.#reader(disk.bytes), fingerprint: disk.fingerprint });
  };

  #order(what: string, state?: VmState): Promise<void> {
    this.asked.push(what);
    if (state !== undefined) this.state_ = state;
    return Promise.resolve();
  }

  #reader(bytes: Buffer): DiskSource {
    return {
      sizeBytes: bytes.length,
      parallelism: 1,
      extents: (offset, length) => wholeExtent(offset, length),
      read: (offset, into, signal) => {
        this.onRead();
        signal?.throwIfAborted();
        this.readBytes += into.length;
        into.set(bytes.subarray(offset, offset + into.length));
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
  }
}

async function* wholeExtent(offset: number, length: number): AsyncGenerator<Extent> {
  await Promise.resolve();
  yield { offset, length, zero: false };
}

/** A file as a disk without holes. */
async function fileSource(path: string): Promise<DiskSource> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  return {
    ...{ sizeBytes: size, parallelism: 1 },
    extents: (offset, length) => wholeExtent(offset, length),
    read: async (offset, into) => {
      await file.read(into, 0, into.length, offset);
    },
    close: () => file.close(),
  };
}

export async function conversionHost(
  dir: string,
  source: PlayedSource,
  program?: string,
): Promise<ImportParts> {
  const stateDir = join(dir, 'state');
  await mkdir(stateDir, { recursive: true });
  const host = hostParts({
    ...{ name: 'alpha', stateDir, hypervisor: {} },
    dataPlane: {
      openSink: ({ path, sizeBytes }) => openFileSink({ path, sizeBytes }),
      openLocal: ({ path }) => fileSource(path),
    },
  });
  return {
    host,
    providers: {
      lines: () => [],
      open: () => {
        source.opened += 1;
        return Promise.resolve(source);
      },
    },
    conversion: {
      cacheDir: join(dir, 'cache'),
      ...(program === undefined ? {} : { program }),
      secret: () => Promise.reject(new Error('no secrets here')),
    },
    terms: new ConversionTermsInForce(stateDir, {
      ...{ upBytesPerSecond: 0, downBytesPerSecond: 0, parallel: 2 },
    }),
    turns: new Turns(2),
    server: () => ({ clusterId: 'c', namespaceId: 'n' }),
  };
}

export const refOf = (migrationId: string): ImportRef => ({
  ...{ moveId: 'import/default/vc/vm-42', migrationId, keepSeconds: 60 },
  // Files play at a time, and what is labelled with a cache's key is ended wherever it runs.
  provider: `vc-${process.pid}`,
  foreign: { id: foreignVm.id, name: foreignVm.name },
});
