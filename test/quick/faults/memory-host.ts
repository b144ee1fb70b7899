/** A host whose hypervisor and data plane live in memory; its disks, its ledger and its state folder are real files. */
import { randomUUID } from 'node:crypto';
import { open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ExportEndpoint } from '../../../activities/contract.ts';
import type { DataPlane, Hypervisor } from '../../../activities/parts.ts';
import { permanent, unsafe } from '../../../domain/errors.ts';
import type { DiskSink, DiskSource } from '../../../domain/platform.ts';
import type { VmDisk, VmFacts } from '../../../domain/vm.ts';
import type { Ledger } from '../../../guard/ledger.ts';
import { attempts, step } from './attempt.ts';

export const vm = { name: 'web', uuid: '6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e001' };
export const diskBytes = 64 * 1024;

interface Defined {
  xml: string;
  running: boolean;
  autostart: boolean;
  /** What libvirt keeps of it beside definition and disks. */
  state: string;
}

export interface MemoryHostOptions {
  name: string;
  ledger: Ledger;
  /** Folder of the host's only pool. */
  pool: string;
  world: MemoryWorld;
}

/** What hosts can see of each other. */
export interface MemoryWorld {
  hosts: Map<string, MemoryHost>;
  /** Set once two copies of the VM ran at a time. */
  splitBrain: string | undefined;
  log: string[];
}

export class MemoryHost {
  readonly name: string;
  readonly pool: string;
  readonly world: MemoryWorld;
  readonly ledger: Ledger;
  defined: Defined | undefined;
  readonly exports = new Map<string, string>();

  constructor({ name, ledger, pool, world }: MemoryHostOptions) {
    this.name = name;
    this.ledger = ledger;
    this.pool = pool;
    this.world = world;
    world.hosts.set(name, this);
  }

  get running(): boolean {
    return this.defined?.running === true;
  }

  /** As libvirt starts a VM: after the hook has read the ledger. */
  async start(): Promise<void> {
    const entry = await this.ledger.read(vm.uuid);
    if (this.defined === undefined) throw notFound(this.name);
    if (entry !== undefined && entry.state !== 'owner') {
      throw unsafe({
        code: 'start-refused-by-guard',
        message: `the guard of ${this.name} refused the start: ${entry.state}`,
        remedy: 'None.',
        host: this.name,
      });
    }
    this.defined.running = true;
    const others = [...this.world.hosts.values()].filter((host) => host !== this && host.running);
    if (others.length > 0)
      this.world.splitBrain ??= `${this.name} started it while it ran elsewhere`;
  }

  diskPath(): string {
    return /disk=(\S+)/.exec(this.defined?.xml ?? '')?.[1] ?? '';
  }

  facts(): VmFacts {
    const path = this.diskPath();
    const disk: VmDisk = {
      name: 'vda',
      device: 'disk',
      kind: 'file',
      path,
      format: 'raw',
      readonly: false,
      shareable: false,
      capacityBytes: diskBytes,
      allocationBytes: diskBytes,
      pool: 'default',
      volume: basename(path),
      backing: [],
    };
    return {
      ...vm,
      host: this.name,
      state: this.running ? 'running' : 'shut-off',
      persistent: true,
      autostart: this.defined?.autostart === true,
      hasManagedSave: false,
      snapshots: [],
      checkpoints: [],
      memoryBytes: 1,
      vcpus: 1,
      domainType: 'qemu',
      arch: 'x86_64',
      machine: '',
      emulator: '',
      disks: [disk],
      nics: [],
      hostFiles: [],
      fixedDevices: [],
      keptState: [{ role: 'nvram', path: '/nvram' }],
    };
  }
}

const notFound = (host: string) =>
  permanent({ code: 'vm-not-found', message: `${host} has no such VM`, remedy: 'None.', host });

/** Every method is a step at which the process may die, before it acts and before its answer is heard. */
export function memoryHypervisor(host: MemoryHost): Hypervisor {
  const act = async <T>(run: () => T | Promise<T>): Promise<T> => {
    await step();
    const result = await run();
    await step();
    return result;
  };
  const known = () => {
    if (host.defined === undefined) throw notFound(host.name);
    return host.defined;
  };
  const volumePath = (name: string): string => join(host.pool, name);
  return {
    // No move of these tests is a live one.
    live: {} as Hypervisor['live'],
    list: () => act(() => []),
    inspect: () => act(() => (known(), host.facts())),
    glance: () =>
      act(() => {
        known();
        const { uuid, name, state, autostart } = host.facts();
        return { uuid, name, state, autostart };
      }),
    state: () =>
      act(() => (host.defined === undefined ? undefined : host.running ? 'running' : 'shut-off')),
    definition: () => act(() => known().xml),
    requestShutdown: () => act(() => void (known().running = false)),
    waitUntilOff: () => act(() => !host.running),
    forceOff: () =>
      act(() => {
        if (host.defined !== undefined) host.defined.running = false;
      }),
    reasonsNotStopped: () => act(() => (host.running ? ['it runs'] : [])),
    setAutostart: (_uuid, autostart) => act(() => void (known().autostart = autostart)),
    machine: () =>
      Promise.resolve({
        hostname: host.name,
        kernel: '',
        mtus: { bridges: {}, networks: {} },
        lockManager: '',
        qemuTls: { folder: '', missing: [] },
      }),
    compareCpu: () => Promise.resolve({ verdict: 'fits', detail: '' }),
    probeTarget: (address) =>
      Promise.resolve({ address, libvirtd: 'ready', detail: '', portsFiltered: false }),
    facts: () =>
      act(() => ({
        hostname: host.name,
        hostUuid: host.name,
        libvirtVersion: '',
        hypervisorVersion: '',
        memoryBytes: 1e9,
        freeMemoryBytes: 1e9,
        cpus: 1,
        arch: 'x86_64',
        machines: [],
        pools: [
          {
            name: 'default',
            type: 'dir',
            active: true,
            path: host.pool,
            capacityBytes: 1e12,
            availableBytes: 1e12,
          },
        ],
        networks: [],
        bridges: [],
        vms: [],
      })),
    machineOffer: () => act(() => ({ efiLoaders: [] })),
    volumeExists: (_pool, name) => act(() => exists(volumePath(name))),
    ensureVolume: ({ name, capacityBytes, ownedByMove }) =>
      act(async () => {
        const path = volumePath(name);
        if (await exists(path)) {
          if (!ownedByMove)
            throw permanent({
              code: 'volume-exists',
              message: path,
              remedy: 'None.',
              host: host.name,
            });
        } else {
          await writeFile(path, '');
          await truncate(path, capacityBytes);
        }
        return { kind: 'file' as const, path };
      }),
    deleteVolume: ({ path }) => act(async () => (await rm(path, { force: true }), true)),
    writeNonces: (migrationId, disks) =>
      act(async () =>
        Promise.all(
          disks.map(async ({ name, path: disk }) => {
            const path = noncePath(disk, migrationId);
            const value = (await exists(path)) ? await readFile(path, 'utf8') : randomUUID();
            await writeFile(path, value);
            return { disk: name, path, value };
          }),
        ),
      ),
    findNonce: (nonce, disk, pool) =>
      act(async () => {
        // A path of this world names one host's file only, as if each had its own root: its pool is what it sees.
        const path = join(pool === 'default' ? host.pool : '/nowhere', basename(nonce.path));
        const seen = (await exists(path)) && (await readFile(path, 'utf8')) === nonce.value;
        return seen
          ? { kind: 'file' as const, path: join(host.pool, basename(disk.path)) }
          : undefined;
      }),
    removeNonces: (migrationId, disks) =>
      act(async () => {
        for (const { path } of disks) await rm(noncePath(path, migrationId), { force: true });
      }),
    missingSecrets: () => act(() => []),
    packState: () => act(() => Buffer.from(known().state)),
    unpackState: (_uuid, parcel) => act(() => void (known().state = parcel.toString())),
    mend: (_xml, { disks, owner }) =>
      `disk=${disks[0]?.path ?? /disk=(\S+)/.exec(_xml)?.[1] ?? ''} move=${owner.moveId}`,
    ensureDefined: (xml) =>
      act(() => {
        host.defined ??= { xml, running: false, autostart: false, state: '' };
        host.defined.xml = xml;
        return '';
      }),
    undefine: () =>
      act(() => {
        if (host.running) throw new Error('undefined while it runs');
        host.defined = undefined;
      }),
    start: () => act(() => (host.running ? undefined : host.start())),
    watchHealth: () => act(() => undefined),
    probeGuard: () => act(() => ({ live: true, detail: '' })),
  };
}

const noncePath = (disk: string, migrationId: string): string =>
  join(dirname(disk), `.nonce-${migrationId}`);

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Exports are names in a map; what they show is read from the files themselves. */
export function memoryDataPlane(host: MemoryHost): DataPlane {
  return {
    async ensureExport({ migrationId, name, path }): Promise<ExportEndpoint> {
      await step();
      host.exports.set(`${migrationId}:${name}`, path);
      await step();
      return { address: '', port: 1, exportName: `${migrationId}:${name}`, serverName: host.name };
    },
    async closeExports(migrationId) {
      await step();
      for (const name of host.exports.keys())
        if (name.startsWith(`${migrationId}:`)) host.exports.delete(name);
      await step();
    },
    async openRemote({ exportName, serverName }) {
      await step();
      const path = host.world.hosts.get(serverName)?.exports.get(exportName);
      if (path === undefined)
        throw permanent({ code: 'no-export', message: exportName, remedy: '' });
      return fileSource(path);
    },
    async openLocal({ path }) {
      await step();
      return fileSource(path);
    },
    followCopy: () => Promise.resolve(undefined),
    async openSink({ path, sizeBytes }): Promise<DiskSink> {
      await step();
      const file = await openHere(path, 'r+');
      return {
        sizeBytes,
        startsZeroed: false,
        async write(offset, data) {
          await step();
          await file.write(data, 0, data.length, offset);
        },
        async writeZeroes(offset, length) {
          await step();
          await file.write(Buffer.alloc(length), 0, length, offset);
        },
        flush: () => step(),
        close: () => file.close(),
      };
    },
  };
}

/** The kernel closes what a dead process had open. */
async function openHere(path: string, flags: string): Promise<FileHandle> {
  const file = await open(path, flags);
  attempts.getStore()?.onDeath.add(() => void file.close());
  return file;
}

async function fileSource(path: string): Promise<DiskSource> {
  const file = await openHere(path, 'r');
  const { size } = await file.stat();
  return {
    sizeBytes: size,
    parallelism: 1,
    async *extents(offset, length) {
      await Promise.resolve();
      yield { offset, length, zero: false };
    },
    async read(offset, into) {
      await step();
      const { bytesRead } = await file.read(into, 0, into.length, offset);
      if (bytesRead < into.length) throw new Error('a short read');
    },
    close: () => file.close(),
  };
}
