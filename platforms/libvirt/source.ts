/** A libvirt host as the place that VMs move away from. */
import type { SourcePlatform } from '../../domain/platform.ts';
import type { VmDisk, VmFacts, VmGlance, VmState, VmSummary } from '../../domain/vm.ts';
import { unsafe } from '../../domain/errors.ts';
import { DomainXmlFlag, LibvirtError, ShutdownFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import type { DefinedDisk } from './domain-facts.ts';
import { DomainDocument } from './domain-xml.ts';
import { isRefusal } from './faults.ts';
import { readMachineOffer } from './firmware.ts';
import { imageWriters } from './image-writers.ts';
import { imageFacts } from './image.ts';
import type { ImageContext } from './image.ts';
import { isOff, readState, vmStateOf, waitUntilOff } from './lifecycle.ts';
import type { WaitOptions } from './lifecycle.ts';
import { placeOfVolume } from './pool-place.ts';
import { presentState } from './present-state.ts';
import { isRehearsal } from './rehearsal-xml.ts';
import { readRunning } from './running-facts.ts';
import type { ServedImage } from './served-image.ts';
import { readableSecrets, secretReader } from './secrets.ts';
import { refreshActivePools, volumeAt } from './storage.ts';
import { undefineDomain } from './undefine.ts';
import { XmlError } from './xml.ts';

/** What stands between a VM and being taken as stopped; empty reasons if nothing. */
export interface StoppedReading {
  stopped: boolean;
  /** Whole clauses: `QEMU's lock on /x is held: ...`. */
  reasons: string[];
}

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Every method throws the domain errors of `LibvirtHost.use`; those that name a VM `vm-not-found`. */
export class LibvirtSource implements SourcePlatform {
  readonly #host: LibvirtHost;

  constructor(host: LibvirtHost) {
    this.#host = host;
  }

  /** Every VM of the host, by name; one that goes away meanwhile is left out. */
  async list(): Promise<VmSummary[]> {
    return this.#host.use(async (connection) => {
      const { domains } = await connection.call('ConnectListAllDomains', { needResults: 1 });
      const own = domains.filter((dom) => !isRehearsal(dom));
      const found = await Promise.all(own.map(async (dom) => this.#summary(connection, dom)));
      return found
        .filter((summary) => summary !== undefined)
        .sort((left, right) => left.name.localeCompare(right.name));
    });
  }

  /**
   * All that a move has to know. Pools are read anew, and each disk's image is opened without a lock.
   * Throws `vm-not-found`, `definition-unusable`, `disk-unreadable`.
   */
  async inspect(vm: string, signal?: AbortSignal): Promise<VmFacts> {
    return this.#host.use(async (connection) => {
      const dom = await lookUp(connection, vm);
      const [state, persistent, autostart, managedSave, snapshots, checkpoints] = await Promise.all(
        [
          connection.call('DomainGetState', { dom }),
          connection.call('DomainIsPersistent', { dom }),
          readAutostart(connection, dom),
          connection.call('DomainHasManagedSaveImage', { dom }),
          connection.call('DomainListAllSnapshots', { dom, needResults: 1 }),
          readCheckpoints(connection, dom),
        ],
      );
      const isPersistent = persistent.persistent === 1;
      const flags = isPersistent ? DomainXmlFlag.inactive : 0;
      const { xml } = await connection.call('DomainGetXMLDesc', { dom, flags });
      const defined = DomainDocument.parse(xml).facts();
      const { nvramTemplate: _, firmware, ...facts } = defined;
      const [disks, running, present, offer, secrets] = await Promise.all([
        this.#disks(connection, facts.disks, signal),
        isOff(vmStateOf(state.state)) ? undefined : readRunning(connection, dom, defined),
        presentState(defined, this.#host.fileRoot),
        firmware && readMachineOffer(connection, facts),
        readableSecrets(connection, facts.secrets),
      ]);
      return {
        ...facts,
        ...present,
        ...(firmware && { firmware: { ...firmware, loaders: [...(offer?.efiLoaders ?? [])] } }),
        secrets,
        ...(running === undefined ? {} : { running }),
        host: this.#host.name,
        state: vmStateOf(state.state),
        persistent: isPersistent,
        autostart,
        hasManagedSave: managedSave.result === 1,
        snapshots: snapshots.snapshots.map(({ name }) => name),
        checkpoints,
        disks,
      };
    }, signal);
  }

  /** Which VM that is, by name or UUID. Throws `vm-not-found`. */
  async glance(vm: string): Promise<VmGlance> {
    return this.#host.use(async (connection) => {
      const dom = await lookUp(connection, vm);
      const [{ state }, autostart] = await Promise.all([
        connection.call('DomainGetState', { dom }),
        readAutostart(connection, dom),
      ]);
      return { uuid: dom.uuid, name: dom.name, state: vmStateOf(state), autostart };
    });
  }

  async state(uuid: string): Promise<VmState> {
    return this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      return vmStateOf((await connection.call('DomainGetState', { dom })).state);
    });
  }

  /** As `state`, but undefined if libvirt knows no such VM. */
  async stateIfKnown(uuid: string): Promise<VmState | undefined> {
    return this.#host.use(async (connection) => readState(connection, uuid));
  }

  /** The persistent definition, secrets included; a transient VM has none and is refused by libvirt. */
  async definition(uuid: string): Promise<string> {
    const flags = DomainXmlFlag.inactive | DomainXmlFlag.secure;
    return this.#onDomain(uuid, async (connection, dom) => {
      const { xml } = await connection.call('DomainGetXMLDesc', { dom, flags });
      return xml;
    });
  }

  /** Presses the power button; the guest may take its time, or not listen. No error if it is off. */
  async requestShutdown(uuid: string): Promise<void> {
    await this.#unlessOff(uuid, async (connection, dom) => {
      await connection.call('DomainShutdownFlags', { dom, flags: ShutdownFlag.acpiPowerBtn });
    });
  }

  /** Ends QEMU at once, as pulling the plug does. No error if it is off. */
  async forceOff(uuid: string): Promise<void> {
    await this.#unlessOff(uuid, async (connection, dom) => {
      await connection.call('DomainDestroyFlags', { dom }, { timeoutMs: 60_000 });
    });
  }

  /** Resolves true once no QEMU of it is left, false after `timeoutMs`. */
  async waitUntilOff(uuid: string, options: WaitOptions): Promise<boolean> {
    return waitUntilOff(this.#host, uuid, options);
  }

  /**
   * Reads back whether the VM is stopped: no QEMU by libvirt's word, no memory kept for a later start, and nobody
   * (of this host, or by QEMU's locks of another) who has one of its images open to write.
   */
  async readBackStopped(uuid: string, signal?: AbortSignal): Promise<StoppedReading> {
    return this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      const { state } = await connection.call('DomainGetState', { dom });
      const reasons: string[] = [];
      if (!isOff(vmStateOf(state))) reasons.push(`libvirt says it is ${vmStateOf(state)}`);
      const { result } = await connection.call('DomainHasManagedSaveImage', { dom });
      if (result === 1) reasons.push('libvirt keeps a managed save of its memory');
      const flags = DomainXmlFlag.inactive;
      const { xml } = await connection.call('DomainGetXMLDesc', { dom, flags });
      for (const disk of DomainDocument.parse(xml).facts().disks) {
        const image = await this.#imageOf(connection, disk);
        if (image === undefined || disk.readonly) continue;
        reasons.push(...(await imageWriters(image, this.#at(signal))));
      }
      return { stopped: reasons.length === 0, reasons };
    }, signal);
  }

  async setAutostart(uuid: string, autostart: boolean): Promise<void> {
    await this.#onDomain(uuid, async (connection, dom) => {
      // Looked at first: a transient domain refuses any change, also one to what it already is.
      if ((await readAutostart(connection, dom)) === autostart) return;
      await connection.call('DomainSetAutostart', { dom, autostart: autostart ? 1 : 0 });
    });
  }

  /** Discards memory that was kept for a later start. No error if there is none. */
  async removeManagedSave(uuid: string): Promise<void> {
    await this.#onDomain(uuid, async (connection, dom) => {
      const { result } = await connection.call('DomainHasManagedSaveImage', { dom });
      if (result === 1) await connection.call('DomainManagedSaveRemove', { dom });
    });
  }

  /**
   * Forgets the definition with what libvirt keeps beside it: managed save, metadata of snapshots and checkpoints.
   * Disks stay; UEFI variables and TPM state go only if told. No error if it is gone already.
   * Throws `vm-still-active` if it runs, `tpm-state-would-go` where libvirt cannot keep a TPM's state.
   */
  async undefine(uuid: string, options: { state?: 'keep' | 'remove' } = {}): Promise<void> {
    await this.#host.use(async (connection) => {
      const state = await readState(connection, uuid);
      if (state === undefined) return;
      if (!isOff(state)) throw stillActive(this.#host.name, uuid, state);
      try {
        const { dom } = await connection.call('DomainLookupByUUID', { uuid });
        await undefineDomain(connection, dom, {
          state: options.state ?? 'keep',
          host: this.#host.name,
        });
      } catch (error) {
        if (!isRefusal(error, 'NO_DOMAIN')) throw error;
      }
    });
  }

  async #summary(connection: Connection, dom: DomainRef): Promise<VmSummary | undefined> {
    try {
      const { state, maxMemory, vcpus } = await connection.call('DomainGetInfo', { dom });
      return {
        host: this.#host.name,
        uuid: dom.uuid,
        name: dom.name,
        state: vmStateOf(state),
        memoryBytes: maxMemory * 1024,
        vcpus,
        diskBytes: await readDiskBytes(connection, dom),
      };
    } catch (error) {
      if (isRefusal(error, 'NO_DOMAIN')) return undefined;
      throw error;
    }
  }

  /** One after the other, each by a program; pools are read anew first. */
  async #disks(
    connection: Connection,
    defined: readonly DefinedDisk[],
    signal?: AbortSignal,
  ): Promise<VmDisk[]> {
    await refreshActivePools(connection);
    const disks: VmDisk[] = [];
    for (const disk of defined) disks.push(await this.#disk(connection, disk, signal));
    return disks;
  }

  async #disk(connection: Connection, disk: DefinedDisk, signal?: AbortSignal): Promise<VmDisk> {
    const placed = await this.#place(connection, disk);
    const image = await this.#imageOf(connection, placed);
    // A removable medium may be gone, and an odd format is for the checks to name: neither stops the reading.
    if (image === undefined || placed.device !== 'disk') {
      return { ...placed, capacityBytes: 0, allocationBytes: 0 };
    }
    const { layers, ...facts } = await imageFacts(image, this.#at(signal));
    return { ...placed, ...facts, ...(layers.length === 0 ? {} : { layers }) };
  }

  /** Adds pool and volume to a disk by its path, or the path to a disk by its volume. */
  async #place(connection: Connection, disk: DefinedDisk): Promise<DefinedDisk> {
    if (disk.pool !== undefined && disk.volume !== undefined) {
      const { pool, volume } = disk;
      return { ...disk, ...(await placeOfVolume(connection, { pool, volume })) };
    }
    if (disk.path === '' || disk.kind === 'network') return disk;
    const volume = await volumeAt(connection, disk.path);
    return volume === undefined ? disk : { ...disk, pool: volume.pool, volume: volume.name };
  }

  async #imageOf(connection: Connection, disk: DefinedDisk): Promise<ServedImage | undefined> {
    const { path, kind, network } = disk.path === '' ? await this.#place(connection, disk) : disk;
    if (path === '' || kind === 'none' || (kind === 'network' && network === undefined))
      return undefined;
    // What vmferry cannot open is for the checks to name.
    if (network?.protocol === 'other') return undefined;
    return disk.format === 'raw' || disk.format === 'qcow2'
      ? { path, format: disk.format, ...(network === undefined ? {} : { network }) }
      : undefined;
  }

  #at(signal: AbortSignal | undefined): ImageContext {
    const context = { host: this.#host.name, readSecret: secretReader(this.#host) };
    return signal === undefined ? context : { ...context, signal };
  }

  async #onDomain<T>(
    uuid: string,
    act: (connection: Connection, dom: DomainRef) => Promise<T>,
  ): Promise<T> {
    return this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      return act(connection, dom);
    });
  }

  /** Acts on a domain that is not off; that it goes off in the same moment is as good. */
  async #unlessOff(
    uuid: string,
    act: (connection: Connection, dom: DomainRef) => Promise<void>,
  ): Promise<void> {
    await this.#onDomain(uuid, async (connection, dom) => {
      const { state } = await connection.call('DomainGetState', { dom });
      if (isOff(vmStateOf(state))) return;
      try {
        await act(connection, dom);
      } catch (error) {
        const now = await readState(connection, uuid);
        if (now !== undefined && !isOff(now)) throw error;
      }
    });
  }
}

/** By UUID if it is one, else by name; a VM may be named like another's UUID, so names come second. */
async function lookUp(connection: Connection, vm: string): Promise<DomainRef> {
  if (uuidPattern.test(vm)) {
    try {
      return (await connection.call('DomainLookupByUUID', { uuid: vm.toLowerCase() })).dom;
    } catch (error) {
      if (!isRefusal(error, 'NO_DOMAIN')) throw error;
    }
  }
  return (await connection.call('DomainLookupByName', { name: vm })).dom;
}

/** Capacity of all disks together, as far as libvirt can tell without starting anything. */
async function readDiskBytes(connection: Connection, dom: DomainRef): Promise<number> {
  const { xml } = await connection.call('DomainGetXMLDesc', { dom });
  let total = 0;
  for (const disk of disksOrNone(xml)) {
    if (disk.device !== 'disk' || disk.kind === 'none') continue;
    try {
      const info = await connection.call('DomainGetBlockInfo', { dom, path: disk.name });
      total += info.capacity;
    } catch (error) {
      // A missing or foreign image counts as nothing here; `inspect` names it.
      if (!(error instanceof LibvirtError) || isRefusal(error, 'NO_DOMAIN')) throw error;
    }
  }
  return total;
}

/** One VM with an odd definition must not hide all others from a list; `inspect` says what is odd. */
function disksOrNone(xml: string): DefinedDisk[] {
  try {
    return DomainDocument.parse(xml).facts().disks;
  } catch (error) {
    if (error instanceof XmlError) return [];
    throw error;
  }
}

async function readAutostart(connection: Connection, dom: DomainRef): Promise<boolean> {
  return (await connection.call('DomainGetAutostart', { dom })).autostart === 1;
}

async function readCheckpoints(connection: Connection, dom: DomainRef): Promise<string[]> {
  try {
    const reply = await connection.call('DomainListAllCheckpoints', { dom, needResults: 1 });
    return reply.checkpoints.map(({ name }) => name);
  } catch (error) {
    // A driver without checkpoints has none.
    if (isRefusal(error, 'NO_SUPPORT')) return [];
    throw error;
  }
}

const stillActive = (host: string, uuid: string, state: VmState) =>
  unsafe({
    code: 'vm-still-active',
    message: `the VM ${uuid} on ${host} is ${state}; its definition is not removed under it`,
    remedy: 'Stop it first, if this copy is not the one that should run.',
    host,
  });
