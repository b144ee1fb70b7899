/** A libvirt host as the place that VMs move to. */
import { permanent, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { MachineOffer } from '../../domain/host.ts';
import type { TargetPlatform } from '../../domain/platform.ts';
import { VmState } from '../../domain/vm.ts';
import type { VmFacts } from '../../domain/vm.ts';
import { CreateFlag, DefineFlag, DomainXmlFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import type { DefinedFacts } from './domain-facts.ts';
import { DomainDocument } from './domain-xml.ts';
import { isRefusal } from './faults.ts';
import { readMachineOffer } from './firmware.ts';
import { readDomainTypes, readHostFacts } from './host-facts.ts';
import type { PlatformFacts } from './host-facts.ts';
import { isOff, readState, vmStateOf, watchHealth } from './lifecycle.ts';
import { LibvirtSource } from './source.ts';
import { Volumes } from './volumes.ts';

/** How a definition came to be there. */
export interface Defined {
  how: 'created' | 'updated' | 'unchanged';
  /** What libvirt's schema has against it; libvirt drops elements that it does not know. Empty if valid. */
  complaint: string;
}

/** Starting QEMU waits for storage, labels and the hook. */
const startTimeoutMs = 120_000;

/** Every method throws the domain errors of `LibvirtHost.use`. */
export class LibvirtTarget implements TargetPlatform {
  readonly volumes: Volumes;
  readonly #host: LibvirtHost;
  readonly #vms: LibvirtSource;

  constructor(host: LibvirtHost) {
    this.#host = host;
    this.volumes = new Volumes(host);
    this.#vms = new LibvirtSource(host);
  }

  /** What the host's emulators offer: `qemu`, `kvm`; without the cost of all `facts`. */
  async domainTypes(): Promise<string[]> {
    return readDomainTypes(this.#host);
  }

  async facts(): Promise<PlatformFacts> {
    return readHostFacts(this.#host);
  }

  /** See `readMachineOffer`. */
  async machineOffer(
    vm: Pick<VmFacts, 'domainType' | 'arch' | 'machine'>,
  ): Promise<MachineOffer | undefined> {
    return this.#host.use((connection) => readMachineOffer(connection, vm));
  }

  /**
   * Defines the VM, or finds it defined by this very move (the note's `move` tells), and reads back what libvirt
   * made of it. Throws `vm-exists` if another definition is in the way, `definition-refused`, `definition-differs`.
   */
  async ensureDefined(xml: string, { uuid }: { uuid: string }): Promise<Defined> {
    return this.#host.use(async (connection) => {
      const wanted = DomainDocument.parse(xml);
      if (wanted.facts().uuid !== uuid.toLowerCase()) throw otherUuid(this.#host.name, uuid);
      const found = await readDefined(connection, uuid);
      if (found !== undefined) {
        const move = wanted.note()?.move;
        if (move === undefined || found.note()?.move !== move) {
          throw existsAlready(this.#host.name, found.facts());
        }
        const isSame =
          differences(wanted.facts(), found.facts()).length === 0 &&
          found.note()?.epoch === wanted.note()?.epoch;
        if (isSame) return { how: 'unchanged', complaint: '' };
      }
      const complaint = await define(connection, xml);
      const made = await readDefined(connection, uuid);
      const differs =
        made === undefined ? ['it is not there'] : differences(wanted.facts(), made.facts());
      if (differs.length > 0) throw definedOtherwise(this.#host.name, { uuid, differs });
      return { how: found === undefined ? 'created' : 'updated', complaint };
    });
  }

  /** See `LibvirtSource.undefine`. */
  async undefine(uuid: string, options: { state?: 'keep' | 'remove' } = {}): Promise<void> {
    await this.#vms.undefine(uuid, options);
  }

  /**
   * Brings the VM up; fine if it is up. With `paused` its CPUs do not run yet.
   * Throws `start-refused-by-guard`, `managed-save-in-the-way`, `disk-in-use`, `vm-not-found`.
   */
  async start(uuid: string, options: { paused?: boolean } = {}): Promise<void> {
    const paused = options.paused ?? false;
    await this.#host.use(async (connection) => {
      const { dom } = await connection.call('DomainLookupByUUID', { uuid });
      const state = vmStateOf((await connection.call('DomainGetState', { dom })).state);
      if (state === VmState.running) return;
      if (state === VmState.paused) {
        if (!paused) await connection.call('DomainResume', { dom });
        return;
      }
      await this.#create(connection, dom, paused);
    });
  }

  /** Ends QEMU at once; no error if it is off or unknown. */
  async destroy(uuid: string): Promise<void> {
    const state = await this.#vms.stateIfKnown(uuid);
    if (state !== undefined && !isOff(state)) await this.#vms.forceOff(uuid);
  }

  /** Resolves if it runs for `forMs`; throws `vm-did-not-stay-up` if it stops, crashes or is paused meanwhile. */
  async health(uuid: string, options: { forMs: number; signal?: AbortSignal }): Promise<void> {
    await watchHealth(this.#host, uuid, options);
  }

  /** Creates a transient domain, paused, for the guard's probe. Its rejection carries libvirt's own words. */
  async createTransientPaused(xml: string): Promise<void> {
    await this.#host.use(async (connection) => {
      await connection.call('DomainCreateXML', { xml, flags: CreateFlag.paused });
    });
  }

  async #create(connection: Connection, dom: DomainRef, paused: boolean): Promise<void> {
    const { result } = await connection.call('DomainHasManagedSaveImage', { dom });
    // A start would take up that memory, which belongs to an older state of the disks.
    if (result === 1) throw managedSaveInTheWay(this.#host.name, dom.name);
    const flags = paused ? CreateFlag.paused : 0;
    try {
      await connection.call('DomainCreateWithFlags', { dom, flags }, { timeoutMs: startTimeoutMs });
    } catch (error) {
      // Somebody else may have started it in the same moment, which is as good.
      const raced = isRefusal(error, 'OPERATION_INVALID');
      if (!raced || (await readState(connection, dom.uuid)) !== VmState.running) throw error;
    }
  }
}

/** The persistent definition; undefined if there is none of that UUID. */
async function readDefined(
  connection: Connection,
  uuid: string,
): Promise<DomainDocument | undefined> {
  try {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    const flags = DomainXmlFlag.inactive;
    return DomainDocument.parse((await connection.call('DomainGetXMLDesc', { dom, flags })).xml);
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN')) return undefined;
    throw error;
  }
}

/** Defines with validation; where only the schema objects, without it, and tells what it said. */
async function define(connection: Connection, xml: string): Promise<string> {
  try {
    await connection.call('DomainDefineXMLFlags', { xml, flags: DefineFlag.validate });
    return '';
  } catch (error) {
    if (!isRefusal(error, 'XML_INVALID_SCHEMA')) throw error;
    await connection.call('DomainDefineXMLFlags', { xml });
    return error instanceof Error ? error.message : String(error);
  }
}

/** What a VM is to its owner: in these two definitions must not differ. libvirt adds and orders the rest. */
function differences(wanted: DefinedFacts, found: DefinedFacts): string[] {
  const disksOf = ({ disks }: DefinedFacts): string =>
    JSON.stringify(
      disks.map(({ name, kind, path, format, device, encrypted, network }) => [
        ...[name, kind, path, format, device, encrypted],
        // libvirt may add a server's port; it never takes one away.
        ...[network?.hosts.map((host) => host.name), network?.auth?.username],
      ]),
    );
  const pairs: Record<string, (facts: DefinedFacts) => string> = {
    name: (facts) => facts.name,
    memory: (facts) => String(facts.memoryBytes),
    vcpus: (facts) => String(facts.vcpus),
    type: (facts) => facts.domainType,
    disks: disksOf,
    // Newer versions name the variables' file themselves, so only that there is one is compared.
    state: ({ keptState }) => keptState.map(({ role }) => role).join(' and '),
    // libvirt gives a MAC to a NIC that has none.
    nics: ({ nics }) => JSON.stringify(nics.map(({ kind, sourceName }) => [kind, sourceName])),
  };
  const macs = wanted.nics.flatMap(({ mac }) => (mac === '' ? [] : [mac]));
  const lost = macs.filter((mac) => !found.nics.some((nic) => nic.mac === mac));
  return [
    ...Object.entries(pairs)
      .filter(([, read]) => read(wanted) !== read(found))
      .map(([what, read]) => `${what}: ${read(found)} instead of ${read(wanted)}`),
    ...lost.map((mac) => `the NIC ${mac} is missing`),
  ];
}

const otherUuid = (host: string, uuid: string): VmFerryError =>
  permanent({
    code: 'definition-unusable',
    message: `a definition of another VM was given for ${uuid} on ${host}`,
    remedy: 'Start the move again; report it if it stays so.',
    host,
  });

const existsAlready = (host: string, { name, uuid }: DefinedFacts): VmFerryError =>
  permanent({
    code: 'vm-exists',
    message: `${host} already has a VM ${name} (${uuid}) that this move did not define`,
    remedy:
      'If that definition is a left-over, undefine it there; its disks stay. Then start the move again.',
    host,
  });

const definedOtherwise = (host: string, at: { uuid: string; differs: string[] }): VmFerryError =>
  unsafe({
    code: 'definition-differs',
    message: `libvirt on ${host} defined ${at.uuid} otherwise than asked: ${at.differs.join('; ')}`,
    remedy:
      'Look at the definition there (virsh dumpxml) and at the versions of libvirt on both hosts.',
    host,
  });

const managedSaveInTheWay = (host: string, name: string): VmFerryError =>
  unsafe({
    code: 'managed-save-in-the-way',
    message: `${host} keeps a managed save of ${name}: a start would join old memory with new disks`,
    remedy: `Discard it if nothing needs it: virsh managedsave-remove ${name}. Then \`vmferry retry\`.`,
    host,
  });
