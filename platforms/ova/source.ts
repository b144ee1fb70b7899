/** The machines of an OVA as a source of moves. A file is always off, and nothing of it is ever written. */
import { tmpdir } from 'node:os';
import type { Concern } from '../../domain/concerns.ts';
import { permanent } from '../../domain/errors.ts';
import { ForeignKind } from '../../domain/foreign.ts';
import type {
  ForeignDisk,
  ForeignDiskHandle,
  ForeignSource,
  ForeignVm,
  ForeignVmSummary,
} from '../../domain/foreign.ts';
import { VmState } from '../../domain/vm.ts';
import type { OpenFile } from './bytes.ts';
import { concernsOf } from './concerns.ts';
import { checkDigest } from './digest.ts';
import { findDiskFile, fingerprintOf } from './disk-file.ts';
import type { DiskFile } from './disk-file.ts';
import { lookAtDisk, refuseParts } from './disk-look.ts';
import type { DiskLook } from './disk-look.ts';
import { changed, quoted } from './faults.ts';
import { gunzip } from './gunzip.ts';
import { openImage } from './image.ts';
import type { OvfDisk } from './ovf-envelope.ts';
import { machineOf } from './ovf-machine.ts';
import type { OvfMachine } from './ovf-machine.ts';
import { openPackage } from './package.ts';
import type { OvaPackage } from './package.ts';
import { readPapers } from './papers.ts';
import type { Papers } from './papers.ts';
import { BlankDisk } from './raw-disk.ts';

export interface OvaOptions {
  /** Of a tar (`.ova`), of an OVF with its files beside it, or of a folder with one OVF. */
  path: string;
  /** Where gzipped images are inflated into files without a name; the system's folder if absent. */
  scratchDir?: string;
  /** Whether a disk's file is held against the manifest, once, before it is read; true if absent. */
  checksManifest?: boolean;
  /** Told while a file is held against the manifest. */
  onCheck?: (progress: { file: string; doneBytes: number; totalBytes: number }) => void;
}

/** Throws `ova-not-found`, `ova-unreadable`, `ova-malformed`, `ova-unsupported`, `ova-corrupt`. */
export async function openOva(options: OvaOptions, signal?: AbortSignal): Promise<OvaSource> {
  const ova = await openPackage(options.path, signal);
  try {
    return new OvaSource(ova, await readPapers(ova, signal), options);
  } catch (error) {
    await ova.close();
    throw error;
  }
}

export class OvaSource implements ForeignSource {
  readonly kind = ForeignKind.ova;
  readonly #ova: OvaPackage;
  readonly #papers: Papers;
  readonly #options: Required<Omit<OvaOptions, 'onCheck'>> & Pick<OvaOptions, 'onCheck'>;
  readonly #machines: readonly OvfMachine[];
  readonly #looks = new Map<OvfDisk, DiskLook>();
  /** Names of files that are as their manifest says. */
  readonly #checked = new Set<string>();
  /** Files that disks of a machine were read from, by the machine's ID. */
  readonly #read = new Map<string, Set<OpenFile>>();
  /** What ends what is under way, and what that then is. */
  readonly #end = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #spools = new Set<() => Promise<void>>();

  constructor(ova: OvaPackage, papers: Papers, options: OvaOptions) {
    this.#ova = ova;
    this.#papers = papers;
    this.#options = { scratchDir: tmpdir(), checksManifest: true, ...options };
    const { envelope } = papers;
    this.#machines = envelope.systems.map((system) => machineOf(envelope, system, ova.path));
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ForeignVmSummary> {
    for (const machine of this.#machines) {
      const { id, name, state, memoryBytes, cpus, path, disks } = await this.#vm(machine, signal);
      const diskBytes = disks.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
      yield { id, name, state, memoryBytes, cpus, diskBytes, path };
    }
  }

  async inspect(vm: string, signal?: AbortSignal): Promise<ForeignVm> {
    return this.#vm(this.#find(vm), signal);
  }

  async concerns(vm: ForeignVm, signal?: AbortSignal): Promise<Concern[]> {
    const machine = this.#byId(vm.id);
    const looks = new Map<string, DiskLook>();
    for (const { key, disk } of machine.disks) looks.set(key, await this.#look(disk, signal));
    const { scratchDir, checksManifest } = this.#options;
    const { path } = this.#ova;
    return concernsOf({ path, machine, looks, papers: this.#papers, scratchDir, checksManifest });
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- an unknown machine has to be a rejection
  async state(id: string): Promise<VmState> {
    this.#byId(id);
    return VmState.shutOff;
  }

  /** Nothing runs in a file: it is as asked for already. */
  async requestShutdown(id: string): Promise<void> {
    await this.state(id);
  }

  async forceOff(id: string): Promise<void> {
    await this.state(id);
  }

  /**
   * Holds the disk's file against the manifest first, once. Throws `vm-not-found`, `disk-not-found`, `ova-corrupt`,
   * `ova-malformed`, `ova-unsupported`, `ova-file-missing`, `ova-no-room`, `source-changed`.
   */
  async openDisk(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const { id, name, disks } = this.#byId(vm.id);
    const disk = disks.find((one) => one.key === key)?.disk;
    if (disk === undefined) throw diskNotFound(this.#ova.path, name, key);
    const both = AbortSignal.any([this.#end.signal, ...(signal === undefined ? [] : [signal])]);
    const handle = await this.#tracked(this.#open(disk, { id, signal: both }));
    const known = vm.disks.find((one) => one.key === key);
    if (known === undefined || known.capacityBytes === handle.source.sizeBytes) return handle;
    await handle.source.close();
    throw changed(this.#ova.path);
  }

  async verifyUnchanged(vm: ForeignVm, signal?: AbortSignal): Promise<void> {
    const { id } = this.#byId(vm.id);
    for (const file of this.#read.get(id) ?? []) {
      signal?.throwIfAborted();
      await file.checkUnchanged();
    }
  }

  async close(): Promise<void> {
    this.#end.abort(new Error('the OVA is closed'));
    await Promise.allSettled(this.#underWay);
    await Promise.all([...this.#spools].map((close) => close()));
    await this.#ova.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open(
    disk: OvfDisk,
    { id, signal }: { id: string; signal: AbortSignal },
  ): Promise<ForeignDiskHandle> {
    signal.throwIfAborted();
    refuseParts(this.#ova, disk);
    const { file } = disk;
    if (file === undefined) {
      const { capacityBytes } = disk;
      return { source: new BlankDisk(capacityBytes), fingerprint: `blank:${capacityBytes}` };
    }
    const found = await findDiskFile(this.#ova, file);
    const read = this.#read.get(id) ?? new Set();
    this.#read.set(id, read);
    for (const { region } of found.parts) read.add(region.file);
    await this.#check(found, signal);
    const what = this.#ova.place(file.href);
    const { bytes, close } = file.gzip
      ? await this.#spool(found, { what, disk, signal })
      : { bytes: found.bytes, close: () => Promise.resolve() };
    try {
      const source = await openImage(bytes, { stated: disk.format, what, close, signal });
      return { source, fingerprint: fingerprintOf(found) };
    } catch (error) {
      await close();
      throw error;
    }
  }

  async #check({ parts }: DiskFile, signal: AbortSignal): Promise<void> {
    const { checksManifest, onCheck } = this.#options;
    if (!checksManifest) return;
    for (const { name, region } of parts) {
      const line = this.#papers.manifest?.get(name);
      if (line === undefined || this.#checked.has(name)) continue;
      const onProgress = (doneBytes: number): void =>
        onCheck?.({ file: name, doneBytes, totalBytes: region.sizeBytes });
      await checkDigest(region, line, { path: this.#ova.path, signal, onProgress });
      onProgress(region.sizeBytes);
      this.#checked.add(name);
    }
  }

  async #spool(
    { bytes }: DiskFile,
    { what, disk, signal }: { what: string; disk: OvfDisk; signal: AbortSignal },
  ): Promise<{ bytes: DiskFile['bytes']; close: () => Promise<void> }> {
    const { scratchDir } = this.#options;
    const { capacityBytes } = await this.#look(disk, signal);
    // An image of incompressible grains is a little larger than its disk.
    const maxBytes = Math.ceil(capacityBytes * 1.05) + 64 * 1024 * 1024;
    const spooled = await gunzip(bytes, { what, scratchDir, maxBytes, signal });
    const close = async (): Promise<void> => {
      if (this.#spools.delete(close)) await spooled.close();
    };
    this.#spools.add(close);
    return { bytes: spooled, close };
  }

  async #vm(machine: OvfMachine, signal: AbortSignal | undefined): Promise<ForeignVm> {
    const { disks: plugged, properties: _, ...facts } = machine;
    const disks: ForeignDisk[] = [];
    for (const { key, disk, bus, unit, boot } of plugged) {
      const look = await this.#look(disk, signal);
      disks.push({
        key,
        path: disk.file === undefined ? '' : this.#ova.place(disk.file.href),
        capacityBytes: look.capacityBytes,
        allocationBytes: disk.populatedBytes,
        bus,
        unit,
        independent: false,
        shared: this.#machines.some((one) => one !== machine && uses(one, disk)),
        raw: false,
        encrypted: disk.encrypted,
        ...(boot && { boot }),
      });
    }
    const state = VmState.shutOff;
    const { path } = this.#ova;
    return { ...facts, kind: this.kind, path, state, disks, snapshots: [], guestNetwork: [] };
  }

  async #look(disk: OvfDisk, signal: AbortSignal | undefined): Promise<DiskLook> {
    const known = this.#looks.get(disk);
    if (known !== undefined) return known;
    const look = await this.#tracked(lookAtDisk(this.#ova, disk, signal));
    this.#looks.set(disk, look);
    return look;
  }

  #byId(id: string): OvfMachine {
    const machine = this.#machines.find((one) => one.id === id);
    if (machine === undefined) throw vmNotFound(this.#ova.path, id);
    return machine;
  }

  #find(vm: string): OvfMachine {
    const byId = this.#machines.find(({ id }) => id === vm);
    if (byId !== undefined) return byId;
    const uuid = vm.toLowerCase();
    const [first, second] = this.#machines.filter(
      (one) => one.name === vm || (uuid !== '' && one.uuid === uuid),
    );
    if (first === undefined) throw vmNotFound(this.#ova.path, vm);
    if (second === undefined) return first;
    throw permanent({
      code: 'vm-ambiguous',
      message: `${this.#ova.path} has more than one machine ${quoted(vm)}`,
      remedy: `Name it by its ID: ${quoted(first.id)} or ${quoted(second.id)}.`,
    });
  }

  /** Closing waits for it. */
  async #tracked<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }
}

const uses = ({ disks }: OvfMachine, disk: OvfDisk): boolean =>
  disks.some((one) => one.disk === disk);

const vmNotFound = (path: string, vm: string) =>
  permanent({
    code: 'vm-not-found',
    message: `${path} has no machine ${quoted(vm)}`,
    remedy: 'List what it has: `vmferry vms --provider`.',
  });

const diskNotFound = (path: string, vm: string, key: string) =>
  permanent({
    code: 'disk-not-found',
    message: `the machine ${quoted(vm)} of ${path} has no disk ${quoted(key)}`,
    remedy: 'Inspect it: its disks may have changed since.',
  });
