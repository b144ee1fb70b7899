/** The way from a VM's disk to its bytes in a flat file of a datastore: descriptor, extent, lock, fingerprint. */
import { createHash } from 'node:crypto';
import { permanent, transient } from '../../domain/errors.ts';
import type { ForeignDiskHandle, ForeignVm } from '../../domain/foreign.ts';
import { VmState } from '../../domain/vm.ts';
import type { DatastoreFile, ExplainLoss } from './datastore-file.ts';
import { besides, parseDatastorePath } from './datastore-path.ts';
import type { DatastorePath } from './datastore-path.ts';
import { longestDescriptorBytes, parseDescriptor } from './descriptor.ts';
import type { VmdkDescriptor, VmdkExtent } from './descriptor.ts';
import type { DiskView } from './disks.ts';
import { FolderSource } from './folder-source.ts';
import { vmRef } from './inventory.ts';
import { stateOfVm } from './power.ts';
import { propertiesOf } from './properties.ts';
import type { PropertySet } from './properties.ts';
import type { VsphereSession } from './session.ts';
import { diskViewsOf } from './vm-facts.ts';
import { stateOf } from './vm-state.ts';

export interface BytesAccess {
  /** Knows the VM. */
  session: VsphereSession;
  /** Opens files where they are given out, for a VM whose properties were read. */
  files: FilesOf;
  parallelism: number;
  /** `through /folder`: for messages. */
  way: string;
}

export type FilesOf = (of: {
  found: PropertySet;
  explain: ExplainLoss;
  signal: AbortSignal | undefined;
}) => Promise<(path: DatastorePath) => DatastoreFile>;

/** What is read of a VM before one of its disks is opened. */
const diskProperties = [
  'parent',
  'config.hardware',
  'config.bootOptions',
  'config.changeVersion',
  'runtime.bootTime',
  'runtime.host',
  'runtime.powerState',
];
const flatTypes = ['VMFS', 'FLAT'];

/** The disk among the VM's; rejects with VmFerryError: `disk-not-found`, `vm-not-found`. */
export async function lookAtDisk(
  session: VsphereSession,
  vm: ForeignVm,
  key: string,
  signal?: AbortSignal,
): Promise<{ found: PropertySet; view: DiskView }> {
  const what = `open disk ${key} of ${vm.name} (${vm.id})`;
  const found = await propertiesOf(session, vmRef(vm.id), diskProperties, { what, signal });
  const view = diskViewsOf(found).find((disk) => disk.key === key);
  if (view !== undefined) return { found, view };
  throw permanent({
    code: 'disk-not-found',
    message: `${vm.name} (${vm.id}) has no disk ${key}`,
    remedy: 'Look at its disks again: they changed meanwhile.',
    host: session.host,
  });
}

/**
 * Rejects with VmFerryError: `disk-not-found`, `vsphere-disk-locked`, `vsphere-disk-unreadable`, `vm-not-found`,
 * `vsphere-descriptor-invalid`, `vsphere-path-invalid`, and those of the session and of the way.
 */
export async function openFlatDisk(
  access: BytesAccess,
  vm: ForeignVm,
  key: string,
  signal?: AbortSignal,
): Promise<ForeignDiskHandle> {
  const { session, parallelism } = access;
  const { found, view } = await lookAtDisk(session, vm, key, signal);
  const unfit = (why: string): Error => unreadable(access, view, why);
  assertFlat(vm, view, unfit);
  const open = await access.files({ found, explain: explainer(session, vm, view), signal });
  const path = parseDatastorePath(view.path);
  const text = await open(path).readAll(longestDescriptorBytes, signal);
  const descriptor = parseDescriptor(text.toString('latin1'), view.path);
  const extent = onlyExtent(descriptor, unfit);
  const file = open(besides(path, extent.file));
  const { sizeBytes, modified, etag } = await file.look(signal);
  if (sizeBytes < extent.offset + extent.length || extent.length !== view.capacityBytes) {
    throw unfit(
      `it has ${view.capacityBytes} bytes, its descriptor says ${extent.length}, and its file has ${sizeBytes}`,
    );
  }
  return {
    source: new FolderSource({
      file,
      startBytes: extent.offset,
      sizeBytes: extent.length,
      parallelism,
      // The session is the platform's, and so are the connections.
      close: () => Promise.resolve(),
    }),
    fingerprint: fingerprintOf({ vm, view, found }, [
      ...[descriptor.contentId, sizeBytes, modified, etag],
    ]),
  };
}

/**
 * What VDDK does not tell of a disk's state: the content ID of its descriptor, which changes with the first write after
 * each opening. Rejects with VmFerryError, as `openFlatDisk` does; `vsphere-disk-locked` too if the VM is not off.
 */
export async function lookByDescriptor(
  { session, files }: Pick<BytesAccess, 'session' | 'files'>,
  { vm, key }: { vm: ForeignVm; key: string },
  signal?: AbortSignal,
): Promise<{ found: PropertySet; view: DiskView; marks: (string | number)[] }> {
  const { found, view } = await lookAtDisk(session, vm, key, signal);
  const explain = explainer(session, vm, view);
  await assertOff(found, explain);
  const open = await files({ found, explain, signal });
  const path = parseDatastorePath(view.path);
  const text = await open(path).readAll(longestDescriptorBytes, signal);
  const { contentId } = parseDescriptor(text.toString('latin1'), view.path);
  return { found, view, marks: [contentId, view.capacityBytes] };
}

/** Of what was read of the VM; rejects with VmFerryError `vsphere-disk-locked`. */
export async function assertOff(found: PropertySet, explain: ExplainLoss): Promise<void> {
  if (stateOf(found.text('runtime.powerState')) === VmState.shutOff) return;
  const fault = await explain('by the state of its VM', undefined);
  if (fault !== undefined) throw fault;
}

/** Of the disk's state; `marks` are what its bytes are known by. */
export const fingerprintOf = (
  { vm, view, found }: { vm: ForeignVm; view: DiskView; found: PropertySet },
  marks: readonly (string | number)[],
): string => {
  const all = [
    ...[vm.uuid, view.path, view.changeId, ...marks],
    ...[found.text('config.changeVersion'), found.text('runtime.bootTime')],
  ];
  return createHash('sha256').update(JSON.stringify(all)).digest('hex');
};

export type Unfit = (why: string) => Error;

export const unreadable = (
  { session, way }: Pick<BytesAccess, 'session' | 'way'>,
  view: DiskView,
  why: string,
): Error =>
  permanent({
    code: 'vsphere-disk-unreadable',
    message: `${view.path} cannot be read ${way}: ${why}`,
    remedy: 'Remove the snapshots (consolidate), or read it by VDDK.',
    host: session.host,
  });

/** Throws what `unfit` makes. */
export function assertFlat(vm: ForeignVm, view: DiskView, unfit: Unfit): void {
  if (view.encrypted) throw unfit(`${vm.name} has it encrypted`);
  if (view.raw) throw unfit('it is a raw device mapping');
  if (view.hasParent) throw unfit('it lies on a snapshot or is a linked clone');
}

function onlyExtent({ extents, parentContentId }: VmdkDescriptor, unfit: Unfit): VmdkExtent {
  const [extent, ...others] = extents;
  if (extent === undefined || others.length > 0) throw unfit(`it has ${extents.length} extents`);
  if (parentContentId.toLowerCase() !== 'ffffffff')
    throw unfit('it lies on a snapshot or is a linked clone');
  if (!flatTypes.includes(extent.type)) throw unfit(`its extent is of the type ${extent.type}`);
  return extent;
}

/** A file is withheld most often because its VM runs: an ESXi locks it then. Servers do not say so. */
export const explainer =
  (session: VsphereSession, vm: ForeignVm, view: DiskView): ExplainLoss =>
  async (said, cause) => {
    const state = await stateOfVm(session, vm.id);
    if (state === VmState.shutOff) return undefined;
    return transient({
      code: 'vsphere-disk-locked',
      message: `${view.path} is locked: ${vm.name} (${vm.id}) is not off but ${state} (${said})`,
      remedy: 'Power the VM off; an ESXi gives nobody else the disks of one that runs.',
      host: session.host,
      cause,
    });
  };
