import type { DefinitionChanges, Hypervisor, NamedVolume } from '../activities/parts.ts';
import type { HostConfig } from '../config/schema.ts';
import type { Ledger } from '../guard/ledger.ts';
import { hookPaths } from '../guard/install.ts';
import { probeHook } from '../guard/probe.ts';
import type { ProbeResult } from '../guard/probe.ts';
import { LibvirtHost } from '../platforms/libvirt/connect.ts';
import { compareCpu } from '../platforms/libvirt/cpu.ts';
import { DomainDocument } from '../platforms/libvirt/domain-xml.ts';
import { LiveMigration } from '../platforms/libvirt/live/live-migration.ts';
import { probeTarget } from '../platforms/libvirt/live/probe.ts';
import { readMachineFacts } from '../platforms/libvirt/machine-facts.ts';
import { secretReader } from '../platforms/libvirt/secrets.ts';
import type { ReadSecret } from '../platforms/libvirt/served-image.ts';
import { StorageProof } from '../platforms/libvirt/storage-proof.ts';
import { LibvirtSource } from '../platforms/libvirt/source.ts';
import { LibvirtTarget } from '../platforms/libvirt/target.ts';
import { LibvirtState } from '../platforms/libvirt/vm-state.ts';
import type { VmFacts, VmGlance, VmState, VmSummary } from '../domain/vm.ts';
import { GuardProof } from './guard-proof.ts';

/** The host's libvirt as the verbs see it: source and target of moves in one. */
export class LibvirtHypervisor implements Hypervisor {
  readonly #host: LibvirtHost;
  readonly #source: LibvirtSource;
  readonly #target: LibvirtTarget;
  readonly #state: LibvirtState;
  readonly #ledger: Ledger;
  readonly #proof: StorageProof;
  readonly #guardProof: GuardProof;
  /** Gives the data plane the secrets of network disks. */
  readonly readSecret: ReadSecret;
  readonly live: LiveMigration;

  constructor({ name, libvirt, hooksDir }: HostConfig, ledger: Ledger) {
    const options = { name, socketPath: libvirt.socket, uri: libvirt.uri };
    this.#host = new LibvirtHost(options);
    this.live = new LiveMigration(options);
    this.#source = new LibvirtSource(this.#host);
    this.#target = new LibvirtTarget(this.#host);
    this.#state = new LibvirtState(this.#host);
    this.#ledger = ledger;
    this.readSecret = secretReader(this.#host);
    this.#proof = new StorageProof(this.#host);
    this.#guardProof = new GuardProof({
      paths: hookPaths({ hooksDir }),
      connection: () => this.#host.use((connection) => Promise.resolve(connection)),
      probe: () => this.#probe(),
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#host.close(), this.live.close()]);
  }

  /** Ends what a killed worker left in libvirt; for the start of a worker. Gives the number. */
  endOrphans = (): Promise<number> => this.#proof.endOrphans();
  list = (): Promise<VmSummary[]> => this.#source.list();
  inspect = (vm: string): Promise<VmFacts> => this.#source.inspect(vm);
  glance = (vm: string): Promise<VmGlance> => this.#source.glance(vm);
  state = (uuid: string): Promise<VmState | undefined> => this.#source.stateIfKnown(uuid);
  definition = (uuid: string): Promise<string> => this.#source.definition(uuid);
  requestShutdown = (uuid: string): Promise<void> => this.#source.requestShutdown(uuid);
  forceOff = (uuid: string): Promise<void> => this.#source.forceOff(uuid);
  waitUntilOff: Hypervisor['waitUntilOff'] = (uuid, options) =>
    this.#source.waitUntilOff(uuid, options);
  setAutostart = (uuid: string, autostart: boolean): Promise<void> =>
    this.#source.setAutostart(uuid, autostart);
  undefine: Hypervisor['undefine'] = (uuid, options) => this.#source.undefine(uuid, options);
  machineOffer: Hypervisor['machineOffer'] = (vm) => this.#target.machineOffer(vm);
  facts: Hypervisor['facts'] = () => this.#target.facts();
  machine: Hypervisor['machine'] = () => readMachineFacts(this.#host);
  compareCpu: Hypervisor['compareCpu'] = (cpu, vm) =>
    this.#host.use((connection) => compareCpu(connection, cpu, vm));
  probeTarget: Hypervisor['probeTarget'] = (address) =>
    probeTarget({ address, fileRoot: this.#host.fileRoot });
  start = (uuid: string): Promise<void> => this.#target.start(uuid);
  watchHealth: Hypervisor['watchHealth'] = (uuid, options) => this.#target.health(uuid, options);

  async reasonsNotStopped(uuid: string): Promise<string[]> {
    return (await this.#source.readBackStopped(uuid)).reasons;
  }

  volumeExists = (pool: string, volume: string): Promise<boolean> =>
    this.#target.volumes.exists(pool, volume);

  async deleteVolume(volume: NamedVolume): Promise<boolean> {
    return (await this.#target.volumes.delete(volume)) !== 'unmanaged';
  }

  ensureVolume: Hypervisor['ensureVolume'] = async (volume) => {
    const { kind, path, network, capacityBytes } = await this.#target.volumes.ensure(volume);
    return {
      kind,
      path,
      ...(network === undefined ? {} : { network }),
      ...(capacityBytes > volume.capacityBytes ? { capacityBytes } : {}),
    };
  };

  writeNonces: Hypervisor['writeNonces'] = (migrationId, disks) =>
    this.#proof.write(migrationId, disks);
  findNonce: Hypervisor['findNonce'] = (nonce, disk, pool) => this.#proof.find(nonce, disk, pool);
  removeNonces: Hypervisor['removeNonces'] = (migrationId, disks) =>
    this.#proof.remove(migrationId, disks);
  missingSecrets: Hypervisor['missingSecrets'] = (secrets) => this.#state.missingSecrets(secrets);
  packState: Hypervisor['packState'] = (uuid, options) => this.#state.pack(uuid, options);
  unpackState: Hypervisor['unpackState'] = (uuid, parcel) => this.#state.unpack(uuid, parcel);

  mend(xml: string, { disks, owner, arriving }: DefinitionChanges): string {
    const document = DomainDocument.parse(xml);
    const note = { owner: owner.host, epoch: owner.epoch, move: owner.moveId };
    if (arriving === undefined) document.mendForTarget({ disks, note });
    else document.mendForArrival({ disks, note: { ...note, admit: arriving.token } });
    return document.toString();
  }

  async ensureDefined(xml: string, uuid: string): Promise<string> {
    return (await this.#target.ensureDefined(xml, { uuid })).complaint;
  }

  probeGuard = (): Promise<ProbeResult> => this.#guardProof.take();

  async #probe(): Promise<ProbeResult> {
    const type = (await this.#target.domainTypes()).includes('qemu') ? 'qemu' : 'kvm';
    return probeHook({
      ledger: this.#ledger,
      // KVM may be offered and not work; emulation always does, and the hook is asked before either.
      domain: { type },
      createDomain: (xml) => this.#target.createTransientPaused(xml),
      destroyDomain: (uuid) => this.#source.forceOff(uuid),
    });
  }
}
