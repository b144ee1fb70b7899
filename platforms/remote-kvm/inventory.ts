/** VMs of a foreign host: what libvirt lists, and all that a move has to know of one. */
import type { ForeignDisk, ForeignVm, ForeignVmSummary } from '../../domain/foreign.ts';
import { permanent } from '../../domain/errors.ts';
import { VmState } from '../../domain/vm.ts';
import { LibvirtError, ProtocolError } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { isRefusal } from '../libvirt/faults.ts';
import { vmStateOf } from '../libvirt/lifecycle.ts';
import { placeOfVolume } from '../libvirt/pool-place.ts';
import { XmlError } from '../libvirt/xml.ts';
import { familyOf, readDefinition } from './definition.ts';
import type { DiskSourcePlace } from './definition.ts';
import { readGuestNetwork, readGuestOs } from './guest-network.ts';

/** A VM with what the way to its bytes needs. */
export interface Inspected {
  vm: ForeignVm;
  dom: DomainRef;
  /** By the disks' keys. */
  places: ReadonlyMap<string, DiskSourcePlace>;
}

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** One at a time, by name; one that goes away meanwhile is left out. */
export async function* listVms(connection: Connection): AsyncGenerator<ForeignVmSummary> {
  const { domains } = await connection.call('ConnectListAllDomains', { needResults: 1 });
  for (const dom of domains.toSorted((left, right) => left.name.localeCompare(right.name))) {
    const summary = await summaryOf(connection, dom);
    if (summary !== undefined) yield summary;
  }
}

async function summaryOf(
  connection: Connection,
  dom: DomainRef,
): Promise<ForeignVmSummary | undefined> {
  try {
    const { state, maxMemory, vcpus } = await connection.call('DomainGetInfo', { dom });
    const { xml } = await connection.call('DomainGetXMLDesc', { dom });
    const disks = await sizesOf(connection, dom, disksOrNone(xml));
    return {
      id: dom.uuid,
      name: dom.name,
      state: vmStateOf(state),
      memoryBytes: maxMemory * 1024,
      cpus: vcpus,
      diskBytes: disks.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0),
      path: '',
    };
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN')) return undefined;
    throw error;
  }
}

/** One VM with an odd definition must not hide all others; `inspect` says what is odd. */
function disksOrNone(xml: string): ForeignDisk[] {
  try {
    return readDefinition(xml, VmState.other).vm.disks;
  } catch (error) {
    if (error instanceof XmlError) return [];
    throw error;
  }
}

/** By UUID, else by name. Rejects with `vm-not-found` of libvirt, `vm-ambiguous`, `XmlError`. */
export async function inspectVm(
  connection: Connection,
  vm: string,
  host: string,
): Promise<Inspected> {
  const dom = await lookUp(connection, vm, host);
  const { state } = await connection.call('DomainGetState', { dom });
  // Of a running guest this is what it has now, disks that were plugged in included.
  const { xml } = await connection.call('DomainGetXMLDesc', { dom });
  const read = readDefinition(xml, vmStateOf(state));
  const places = await resolved(connection, read.places);
  const disks = await sizesOf(connection, dom, read.vm.disks);
  const { snapshots } = await connection.call('DomainListAllSnapshots', { dom, needResults: 1 });
  const found: ForeignVm = {
    ...read.vm,
    disks: disks.map((disk) => ({ ...disk, path: places.get(disk.key)?.path ?? disk.path })),
    snapshots: snapshots.map(({ name }) => name),
  };
  if (found.state !== VmState.running) return { vm: found, dom, places };
  const os = await readGuestOs(connection, dom);
  return {
    vm: {
      ...found,
      guestNetwork: await readGuestNetwork(connection, dom, found.nics),
      ...(os === undefined ? {} : { guestOs: os.name, guestFamily: familyOf(os.id) }),
    },
    dom,
    places,
  };
}

/** A name may look like another's UUID: then nobody can tell which is meant. */
async function lookUp(connection: Connection, vm: string, host: string): Promise<DomainRef> {
  if (!uuidPattern.test(vm)) {
    return (await connection.call('DomainLookupByName', { name: vm })).dom;
  }
  const byUuid = await orMissing(connection.call('DomainLookupByUUID', { uuid: vm.toLowerCase() }));
  const byName = await orMissing(connection.call('DomainLookupByName', { name: vm }));
  if (byUuid !== undefined && byName !== undefined && byUuid.dom.uuid !== byName.dom.uuid) {
    throw permanent({
      code: 'vm-ambiguous',
      message: `${vm} on ${host} is the UUID of ${byUuid.dom.name} and the name of ${byName.dom.uuid}`,
      remedy: 'Name the VM by the other of the two.',
      host,
    });
  }
  const found = byUuid ?? byName;
  if (found !== undefined) return found.dom;
  return (await connection.call('DomainLookupByUUID', { uuid: vm.toLowerCase() })).dom;
}

async function orMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN')) return undefined;
    throw error;
  }
}

/** Gives disks that are named by pool and volume their path. */
async function resolved(
  connection: Connection,
  places: ReadonlyMap<string, DiskSourcePlace>,
): Promise<Map<string, DiskSourcePlace>> {
  const found = new Map<string, DiskSourcePlace>();
  for (const [key, place] of places) {
    const { pool, volume } = place;
    if (place.path !== '' || pool === undefined || volume === undefined) found.set(key, place);
    else found.set(key, { ...place, ...(await placeOfVolume(connection, { pool, volume })) });
  }
  return found;
}

/** As libvirt reads them from the images; 0 where it cannot. */
async function sizesOf(
  connection: Connection,
  dom: DomainRef,
  disks: readonly ForeignDisk[],
): Promise<ForeignDisk[]> {
  const sized: ForeignDisk[] = [];
  for (const disk of disks) {
    try {
      const info = await connection.call('DomainGetBlockInfo', { dom, path: disk.key });
      const { capacity, allocation } = info;
      sized.push({ ...disk, capacityBytes: capacity, allocationBytes: allocation });
    } catch (error) {
      // An image's header is its guest's to write, where the definition says so: it may state any size at all.
      const isOdd = error instanceof LibvirtError || error instanceof ProtocolError;
      if (!isOdd || isRefusal(error, 'NO_DOMAIN')) throw error;
      sized.push(disk);
    }
  }
  return sized;
}
