/** vSphere, a vCenter or a single ESXi, as a platform that VMs come from. */
import { unsafe, VmFerryError } from '../../domain/errors.ts';
import type { Concern } from '../../domain/concerns.ts';
import type {
  ForeignDiskHandle,
  ForeignSource,
  ForeignVm,
  ForeignVmSummary,
} from '../../domain/foreign.ts';
import { VmState } from '../../domain/vm.ts';
import { childrenOf } from '../../protocols/soap/index.ts';
import { vsphereConcerns } from './concerns.ts';
import { portGroupsOf } from './devices.ts';
import { findVm, listVms } from './inventory.ts';
import { nameOf } from './numbers.ts';
import { InventoryPaths, NetworkNames } from './paths.ts';
import { forceOff, powerOn, requestShutdown, stateOfVm } from './power.ts';
import { propertiesOf } from './properties.ts';
import { referenceIn } from './references.ts';
import { VsphereSession } from './session.ts';
import type { VsphereLogin } from './session.ts';
import { devicesOf, factsOf, vmProperties } from './vm-facts.ts';
import { ByteWays, connectionsFor } from './ways.ts';
import type { WayOptions } from './ways.ts';

export interface VsphereOptions extends VsphereLogin, WayOptions {}

export class VsphereSource implements ForeignSource {
  readonly kind = 'vsphere';
  /** For what else vSphere can do: snapshots and change tracking. */
  readonly session: VsphereSession;
  readonly #ways: ByteWays;
  /** Fingerprints by VM and disk. */
  readonly #opened = new Map<string, Map<string, string>>();

  private constructor(options: VsphereOptions, session: VsphereSession) {
    this.#ways = new ByteWays(options, session);
    this.session = session;
  }

  /** Logs in. Rejects with VmFerryError, as `VsphereSession.open` has it. */
  static async open(options: VsphereOptions, signal?: AbortSignal): Promise<VsphereSource> {
    const session = await VsphereSession.open(options, connectionsFor(options), signal);
    return new VsphereSource(options, session);
  }

  list(signal?: AbortSignal): AsyncIterable<ForeignVmSummary> {
    return listVms(this.session, signal);
  }

  async inspect(vm: string, signal?: AbortSignal): Promise<ForeignVm> {
    const { session } = this;
    const ref = await findVm(session, vm, signal);
    const found = await propertiesOf(session, ref, vmProperties, { what: `inspect ${vm}`, signal });
    const networks = new NetworkNames(session);
    const refs = childrenOf(found.get('network')).flatMap((element) => referenceIn(element) ?? []);
    await networks.learn(portGroupsOf(devicesOf(found)), refs, signal);
    const parent = referenceIn(found.get('parent'));
    const name = nameOf(found.text('name'));
    const { path } = await new InventoryPaths(session).of(name, parent, signal);
    return factsOf(found, { path, nameOfNetwork: (key) => networks.of(key) });
  }

  async concerns(vm: ForeignVm, signal?: AbortSignal): Promise<Concern[]> {
    const { readsChains } = this.#ways;
    return await vsphereConcerns(this.session, vm, { readsChains, signal });
  }

  async state(id: string): Promise<VmState> {
    return await stateOfVm(this.session, id);
  }

  async requestShutdown(id: string): Promise<void> {
    await requestShutdown(this.session, id);
  }

  async forceOff(id: string): Promise<void> {
    await forceOff(this.session, id);
  }

  async start(id: string): Promise<void> {
    await powerOn(this.session, id);
  }

  /** What a killed worker left: servers of VDDK here, leases of NFC there. */
  async sweep(): Promise<string[]> {
    return await this.#ways.sweep();
  }

  /** By the way of the options. */
  async openDisk(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const handle = await this.#ways.open(vm, key, signal);
    const opened = this.#opened.get(vm.id) ?? new Map<string, string>();
    // The first one counts: what was read since then has to be of that state.
    if (!opened.has(key)) opened.set(key, handle.fingerprint);
    this.#opened.set(vm.id, opened);
    return handle;
  }

  /** Opens each of them again and compares. Rejects with VmFerryError: `source-changed`, and those of `openDisk`. */
  async verifyUnchanged(vm: ForeignVm, signal?: AbortSignal): Promise<void> {
    for (const [key, fingerprint] of this.#opened.get(vm.id) ?? []) {
      const now = await this.#ways.open(vm, key, signal).catch((error: unknown) => {
        const isLocked = error instanceof VmFerryError && error.code === 'vsphere-disk-locked';
        throw isLocked ? this.#changed(vm, key, error) : error;
      });
      if (now.fingerprint !== fingerprint) throw this.#changed(vm, key);
    }
    const state = await this.state(vm.id);
    if (state !== VmState.shutOff) throw this.#changed(vm, `(the VM is ${state})`);
  }

  /** Logs out everywhere. Rejects with the first of what could not be said; the servers end idle sessions themselves. */
  async close(): Promise<void> {
    // A lease belongs to the login, and is ended by it.
    try {
      await this.#ways.close();
    } finally {
      await this.session.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #changed(vm: ForeignVm, key: string, cause?: unknown): Error {
    return unsafe({
      code: 'source-changed',
      message: `disk ${key} of ${vm.name} (${vm.id}) may hold other bytes than when it was opened`,
      remedy: 'See that the VM stays off, then start the copy again: what was copied is not used.',
      host: this.session.host,
      cause,
    });
  }
}
