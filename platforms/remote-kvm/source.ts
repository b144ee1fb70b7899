/** A KVM host that has nothing of ours: its VMs by SSH alone, running, paused or off. */
import { permanent, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { Concern } from '../../domain/concerns.ts';
import type {
  ForeignDiskHandle,
  ForeignSource,
  ForeignVm,
  ForeignVmSummary,
} from '../../domain/foreign.ts';
import type { DiskSource } from '../../domain/platform.ts';
import { VmState } from '../../domain/vm.ts';
import { ShutdownFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { isOff, vmStateOf } from '../libvirt/lifecycle.ts';
import { Backup } from './backup.ts';
import { concernsOf } from './concerns.ts';
import type { DiskPlace } from './faults.ts';
import { identityOf } from './identity.ts';
import { inspectVm, listVms } from './inventory.ts';
import type { Inspected } from './inventory.ts';
import { openOffDisk } from './off-disk.ts';
import { OffPath, WhileRunning } from './options.ts';
import type { RemoteKvmOptions } from './options.ts';
import { RemoteHost } from './reach.ts';
import { RemoteFolder } from './remote-folder.ts';
import { sweepHost } from './sweep.ts';
import type { Swept } from './sweep.ts';

/** A disk that was opened, and what it was then. */
interface OpenedDisk {
  uuid: string;
  key: string;
  path: string;
  place: DiskPlace;
  fingerprint: string;
  backup: Backup | undefined;
  source: DiskSource;
}

const defaultConnections = 4;
const startMs = 120_000;
const defaultFolder = '/tmp';

/** Every method throws the domain errors of `faults.ts`, here and in `platforms/libvirt`. */
export class RemoteKvmSource implements ForeignSource {
  readonly kind = 'kvm';
  readonly #host: RemoteHost;
  readonly #options: RemoteKvmOptions;
  readonly #opened: OpenedDisk[] = [];
  /** By UUID. All disks of a VM are of one moment, however long after each other they are opened. */
  readonly #backups = new Map<string, Promise<Backup>>();
  #folder: Promise<RemoteFolder> | undefined;
  #count = 0;

  /** Nothing is opened yet. Throws `options-invalid`. */
  constructor(options: RemoteKvmOptions) {
    if (!/^[A-Za-z0-9-]{1,40}$/.test(options.label)) throw invalid(options, 'label');
    const { folder, scratchFolder } = options;
    for (const path of [folder, scratchFolder]) {
      if (path !== undefined && !/^(?:\/[^/\0\n]+)+$/.test(path)) throw invalid(options, 'folder');
    }
    this.#options = options;
    this.#host = new RemoteHost(options);
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ForeignVmSummary> {
    const connection = await this.#host.libvirt((each) => Promise.resolve(each), signal);
    const vms = listVms(connection);
    for (;;) {
      const next = await this.#host.libvirt(() => vms.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  }

  async inspect(vm: string, signal?: AbortSignal): Promise<ForeignVm> {
    return (await this.#inspect(vm, signal)).vm;
  }

  async concerns(vm: ForeignVm, signal?: AbortSignal): Promise<Concern[]> {
    const inspected = await this.#inspect(vm.id, signal);
    const { whileRunning = WhileRunning.backup } = this.#options;
    const options = { host: this.#host.name, whileRunning };
    return this.#host.libvirt((connection) => concernsOf(connection, inspected, options), signal);
  }

  async state(id: string): Promise<VmState> {
    return this.#onDomain(id, stateOf);
  }

  /** Presses the power button. No error if it is off. */
  async requestShutdown(id: string): Promise<void> {
    await this.#onDomain(id, async (connection, dom) => {
      const state = await stateOf(connection, dom);
      if (isOff(state)) return;
      if (state === VmState.paused) throw pausedGuest(this.#host.name, dom.name);
      await connection.call('DomainShutdownFlags', { dom, flags: ShutdownFlag.acpiPowerBtn });
    });
  }

  /** Ends QEMU at once. No error if it is off. */
  async forceOff(id: string): Promise<void> {
    await this.#onDomain(id, async (connection, dom) => {
      if (isOff(await stateOf(connection, dom))) return;
      await connection.call('DomainDestroyFlags', { dom }, { timeoutMs: 60_000 });
    });
  }

  /** Starts a VM that is off. No error if it runs. */
  async start(id: string): Promise<void> {
    await this.#onDomain(id, async (connection, dom) => {
      if (!isOff(await stateOf(connection, dom))) return;
      await connection.call('DomainCreateWithFlags', { dom, flags: 0 }, { timeoutMs: startMs });
    });
  }

  /** Lets a guest go on that `openDisk` paused because the options say so. No error unless it is off. */
  async resume(id: string): Promise<void> {
    await this.#onDomain(id, async (connection, dom) => {
      if ((await stateOf(connection, dom)) !== VmState.paused) return;
      await connection.call('DomainResume', { dom });
    });
  }

  /** Also throws what `Backup.begin` and `openOffDisk` throw, and `disk-not-found`. */
  async openDisk(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const inspected = await this.#inspect(vm.id, signal);
    const disk = inspected.places.get(key);
    if (disk === undefined) throw unknownDisk(this.#host.name, vm.name, key);
    const what = `disk ${key} of ${vm.name} (${disk.path})`;
    const place: DiskPlace = { what, host: this.#host.name };
    const { connections = defaultConnections, offPath = OffPath.auto } = this.#options;
    const off = isOff(inspected.vm.state);
    const backup = off ? undefined : await this.#backup(inspected);
    const name = `${key}-${(this.#count += 1)}`;
    const before =
      backup?.fingerprint ?? (await identityOf(this.#host, { path: disk.path, place }));
    const source =
      backup === undefined
        ? await openOffDisk(this.#host, {
            ...{ disk, place, name, road: offPath, connections, signal },
            folder: () => this.#ensureFolder(),
          })
        : await backup.open(key, { place, connections, signal });
    const opened = { uuid: inspected.vm.id, key, path: disk.path, place, fingerprint: before };
    this.#opened.push({ ...opened, backup, source });
    return { source, fingerprint: `${key}:${before}` };
  }

  async verifyUnchanged(vm: ForeignVm): Promise<void> {
    const state = await this.state(vm.id);
    const { name } = this.#host;
    for (const opened of this.#opened) {
      if (opened.uuid !== vm.id) continue;
      const { backup, key, path, place, fingerprint } = opened;
      if (backup !== undefined) {
        const mustPause = this.#options.whileRunning === WhileRunning.pause;
        if (!mustPause || state === VmState.paused) continue;
        throw changed(name, `${vm.name} is ${state}, and was paused for the copy`);
      }
      if (!isOff(state))
        throw changed(name, `${vm.name} was off when the copy began, and is ${state}`);
      if ((await identityOf(this.#host, { path, place })) !== fingerprint)
        throw changed(name, `disk ${key} of ${vm.name} (${path}) was written or replaced`);
    }
  }

  /** Ends what an earlier run of this label left on the host, and says what that was. Not to be called between two `openDisk`. */
  async sweep(): Promise<Swept> {
    const { folder: base = defaultFolder, label } = this.#options;
    return sweepHost(this.#host, { base, label });
  }

  /** Ends disks, backups, servers and sessions; a guest that was paused stays so. The first failure is thrown at the end. */
  async close(): Promise<void> {
    const folder = this.#folder;
    const backups = [...this.#backups.values()];
    const opened = this.#opened.splice(0);
    this.#folder = undefined;
    this.#backups.clear();
    const ended = await Promise.allSettled([
      ...opened.map(({ source }) => source.close()),
      // One that could not begin has been told of already.
      ...backups.map(async (each) => (await each.catch(() => undefined))?.end()),
    ]);
    await (await folder?.catch(() => undefined))?.close();
    await this.#host.close();
    for (const each of ended) if (each.status === 'rejected') throw each.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #inspect(vm: string, signal?: AbortSignal): Promise<Inspected> {
    return this.#host.libvirt((connection) => inspectVm(connection, vm, this.#host.name), signal);
  }

  async #onDomain<T>(
    id: string,
    act: (connection: Connection, dom: DomainRef) => Promise<T>,
  ): Promise<T> {
    return this.#host.libvirt(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid: id });
      return act(connection, dom);
    });
  }

  #backup(inspected: Inspected): Promise<Backup> {
    const { id } = inspected.vm;
    const begun = this.#backups.get(id);
    if (begun !== undefined) return begun;
    const beginning = this.#beginBackup(inspected);
    this.#backups.set(id, beginning);
    beginning.catch(() => this.#backups.delete(id));
    return beginning;
  }

  async #beginBackup({ vm, dom, places }: Inspected): Promise<Backup> {
    const { whileRunning, label, uri = 'qemu:///system', scratchFolder } = this.#options;
    if (whileRunning === WhileRunning.pause && vm.state === VmState.running) {
      await this.#onDomain(vm.id, async (connection) => {
        await connection.call('DomainSuspend', { dom });
      });
    }
    const folder = await this.#ensureFolder();
    const options = { dom, disks: places, label, uri, scratchFolder, folder };
    return Backup.begin(this.#host, options);
  }

  /** One for all that asks at the same time; a new one where the watch of the old one is gone. */
  #ensureFolder(): Promise<RemoteFolder> {
    const { folder: base = defaultFolder, label } = this.#options;
    const make = () => RemoteFolder.open(this.#host, { base, label });
    const before = this.#folder;
    this.#folder =
      before === undefined ? make() : before.then((made) => (made.isLost ? make() : made), make);
    return this.#folder;
  }
}

const stateOf = async (connection: Connection, dom: DomainRef): Promise<VmState> =>
  vmStateOf((await connection.call('DomainGetState', { dom })).state);

const invalid = ({ name }: RemoteKvmOptions, what: string): VmFerryError =>
  permanent({
    code: 'options-invalid',
    message: `the ${what} of provider ${name} is of no use`,
    remedy:
      'A label has up to 40 letters, digits and hyphens; a folder is an absolute path without a slash at its end.',
  });

const pausedGuest = (host: string, name: string): VmFerryError =>
  permanent({
    code: 'shutdown-unsupported',
    message: `${name} on ${host} is paused: nobody in the guest would hear of a shutdown`,
    remedy: 'Let it run on first, or force it off.',
    host,
  });

const unknownDisk = (host: string, name: string, key: string): VmFerryError =>
  permanent({
    code: 'disk-not-found',
    message: `${name} on ${host} has no disk ${key.slice(0, 40)}`,
    remedy: 'Its definition changed; inspect it again.',
    host,
  });

const changed = (host: string, what: string): VmFerryError =>
  unsafe({
    code: 'source-changed',
    message: `${what} on ${host}: the copy is not what its disks hold now`,
    remedy: 'Shut the VM down, keep it off, and start the copy again.',
    host,
  });
