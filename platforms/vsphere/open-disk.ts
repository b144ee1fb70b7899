/** The way from a VM's disk to its bytes by /folder: descriptor, extent, lock, fingerprint. */
import { createHash } from 'node:crypto';
import { permanent, transient } from '../../domain/errors.ts';
import type { ForeignDiskHandle, ForeignVm } from '../../domain/foreign.ts';
import { VmState } from '../../domain/vm.ts';
import { besides, parseDatastorePath } from './datastore-path.ts';
import { longestDescriptorBytes, parseDescriptor } from './descriptor.ts';
import type { VmdkDescriptor, VmdkExtent } from './descriptor.ts';
import type { DiskView } from './disks.ts';
import { FolderFile } from './folder-file.ts';
import { FolderSource } from './folder-source.ts';
import { vmRef } from './inventory.ts';
import { InventoryPaths } from './paths.ts';
import { stateOfVm } from './power.ts';
import { propertiesOf } from './properties.ts';
import type { PropertySet } from './properties.ts';
import { referenceIn } from './references.ts';
import type { VsphereSession } from './session.ts';
import { diskViewsOf } from './vm-facts.ts';

export interface BytesAccess {
  /** Knows the VM. */
  session: VsphereSession;
  /** The ESXi that gives out the bytes, where that is not the vCenter. */
  direct?: VsphereSession | undefined;
  parallelism: number;
}

const properties = [
  'parent',
  'config.hardware',
  'config.bootOptions',
  'config.changeVersion',
  'runtime.bootTime',
];
/** Of every ESXi that is asked by itself. */
const ownDatacenter = 'ha-datacenter';
const flatTypes = ['VMFS', 'FLAT'];

/**
 * Rejects with VmFerryError: `disk-not-found`, `vsphere-disk-locked`, `vsphere-disk-unreadable`, `vm-not-found`,
 * `vsphere-descriptor-invalid`, `vsphere-path-invalid`, and those of the session.
 */
export async function openFolderDisk(
  access: BytesAccess,
  vm: ForeignVm,
  key: string,
  signal?: AbortSignal,
): Promise<ForeignDiskHandle> {
  const { session, direct, parallelism } = access;
  const what = `open disk ${key} of ${vm.name} (${vm.id})`;
  const found = await propertiesOf(session, vmRef(vm.id), properties, { what, signal });
  const view = diskViewsOf(found).find((disk) => disk.key === key);
  if (view === undefined) {
    throw permanent({
      code: 'disk-not-found',
      message: `${vm.name} (${vm.id}) has no disk ${key}`,
      remedy: 'Look at its disks again: they changed meanwhile.',
      host: session.host,
    });
  }
  assertFlat(session, vm, view);
  const place = {
    session: direct ?? session,
    datacenter: direct === undefined ? await datacenterOf(session, found, signal) : ownDatacenter,
    explain: explainer(session, vm, view),
  };
  const path = parseDatastorePath(view.path);
  const descriptorFile = new FolderFile({ ...place, path });
  const text = await descriptorFile.readAll(longestDescriptorBytes, signal);
  const descriptor = parseDescriptor(text.toString('latin1'), view.path);
  const extent = onlyExtent(session, view, descriptor);
  const file = new FolderFile({ ...place, path: besides(path, extent.file) });
  const stamp = await file.look(signal);
  if (stamp.sizeBytes < extent.offset + extent.length || extent.length !== view.capacityBytes) {
    throw unreadable(
      session,
      view,
      `it has ${view.capacityBytes} bytes, its descriptor says ${extent.length}, and its file has ${stamp.sizeBytes}`,
    );
  }
  const { sizeBytes, modified, etag } = stamp;
  const marks = [
    ...[vm.uuid, view.path, view.changeId, descriptor.contentId, sizeBytes, modified, etag],
    ...[found.text('config.changeVersion'), found.text('runtime.bootTime')],
  ];
  return {
    source: new FolderSource({
      file,
      startBytes: extent.offset,
      sizeBytes: extent.length,
      parallelism,
      // The session is the platform's, and so are the connections.
      close: () => Promise.resolve(),
    }),
    fingerprint: createHash('sha256').update(JSON.stringify(marks)).digest('hex'),
  };
}

async function datacenterOf(
  session: VsphereSession,
  found: PropertySet,
  signal?: AbortSignal,
): Promise<string> {
  const parent = referenceIn(found.get('parent'));
  const { datacenter } = await new InventoryPaths(session).of('', parent, signal);
  return datacenter || ownDatacenter;
}

const unreadable = (session: VsphereSession, view: DiskView, why: string): Error =>
  permanent({
    code: 'vsphere-disk-unreadable',
    message: `${view.path} cannot be read through /folder: ${why}`,
    remedy: 'Remove the snapshots (consolidate), or read it by VDDK.',
    host: session.host,
  });

function assertFlat(session: VsphereSession, vm: ForeignVm, view: DiskView): void {
  if (view.encrypted) throw unreadable(session, view, `${vm.name} has it encrypted`);
  if (view.raw) throw unreadable(session, view, 'it is a raw device mapping');
  if (view.hasParent) throw unreadable(session, view, 'it lies on a snapshot or is a linked clone');
}

function onlyExtent(
  session: VsphereSession,
  view: DiskView,
  { extents, parentContentId }: VmdkDescriptor,
): VmdkExtent {
  const [extent, ...others] = extents;
  if (extent === undefined || others.length > 0)
    throw unreadable(session, view, `it has ${extents.length} extents`);
  if (parentContentId.toLowerCase() !== 'ffffffff') {
    throw unreadable(session, view, 'it lies on a snapshot or is a linked clone');
  }
  if (!flatTypes.includes(extent.type))
    throw unreadable(session, view, `its extent is of the type ${extent.type}`);
  return extent;
}

/** A file is withheld most often because its VM runs: an ESXi locks it then. Servers do not say so. */
const explainer =
  (session: VsphereSession, vm: ForeignVm, view: DiskView) =>
  async (status: number, cause: unknown): Promise<Error | undefined> => {
    const state = await stateOfVm(session, vm.id);
    if (state === VmState.shutOff) return undefined;
    return transient({
      code: 'vsphere-disk-locked',
      message: `${view.path} is locked: ${vm.name} (${vm.id}) is not off but ${state} (HTTP ${status})`,
      remedy: 'Power the VM off; an ESXi gives nobody else the disks of one that runs.',
      host: session.host,
      cause,
    });
  };
