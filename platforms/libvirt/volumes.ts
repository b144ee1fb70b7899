/** Volumes on the target: made through libvirt, so that ownership and security labels are right. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { permanent, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { DiskFormat, NetworkPlace, PlaceKind } from '../../domain/vm.ts';
import type { Connection, PoolRef, VolumeRef } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import { isRefusal } from './faults.ts';
import { imageWriters } from './image-writers.ts';
import { isThere } from './is-there.ts';
import { placeOfVolume } from './pool-place.ts';
import type { PooledPlace } from './pool-place.ts';
import { describePool, refreshActivePools, volumeAt, volumeNamed } from './storage.ts';
import { attribute, elementAt, escapeXml, parseXml, sizeBytesOf, textOf } from './xml.ts';

export interface VolumeRequest {
  pool: string;
  /** Name in the pool: a file's, a logical volume's, an RBD image's. */
  name: string;
  capacityBytes: number;
  format: DiskFormat;
  /** `full`: all its room is taken at once, where the storage knows the difference. */
  allocation: 'thin' | 'full';
  /** The image of this host that it lies on, for a chain; qcow2 alone has one. Not with `full`. */
  backing?: { path: string; format: DiskFormat };
  /** Whether the move's own record says that this volume is its own; any other that exists is refused. */
  ownedByMove: boolean;
}

export interface EnsuredVolume extends PooledPlace {
  /** Unique on the host, by libvirt. */
  key: string;
  /** What the guest will see; more than asked for where the storage counts in larger units. */
  capacityBytes: number;
  /** Whether it was made just now: a file or an RBD image reads as zeroes then, a device may not. */
  created: boolean;
}

/** A volume by where it lies, or where that is not known by its names. */
export interface NamedVolume {
  kind: PlaceKind;
  /** As `VmDisk.path`; empty if not known. */
  path: string;
  network?: NetworkPlace;
  format: DiskFormat;
  pool?: string;
  volume?: string;
}

/**
 * Pool types in which volumes are made, and what they are. Not `disk`: libvirt gives partitions their names, so after
 * a crash nobody could tell which one a move had made. Not `iscsi`, `iscsi-direct`, `scsi`, `mpath`: they have no room of
 * their own to give, and a LUN that stands there is somebody's.
 */
const madeIn: Readonly<Record<string, PlaceKind>> = {
  dir: 'file',
  fs: 'file',
  netfs: 'file',
  logical: 'block',
  rbd: 'network',
};

/** libvirt writes no file but waits for `qemu-img create` or for slow storage; a full one may be written out. */
const createTimeoutMs = { thin: 120_000, full: 900_000 } as const;
const deleteTimeoutMs = 120_000;
/** VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA: with the whole capacity allocated, libvirt takes the data's room too. */
const preallocate = 1;
/** Storage that counts in extents rounds up by less than one; LVM's are 4 MiB unless somebody chose larger ones. */
const largestExtentBytes = 256 * 1024 * 1024;

export class Volumes {
  readonly #host: LibvirtHost;

  constructor(host: LibvirtHost) {
    this.#host = host;
  }

  /** Whether the pool has a volume of that name, after a look at its storage. Throws `pool-missing`. */
  async exists(pool: string, name: string): Promise<boolean> {
    return this.#host.use(
      async (connection) => (await volumeNamed(connection, { pool, name })).volume !== undefined,
    );
  }

  /**
   * The volume, found or made, of that format and capacity. Throws `pool-missing`, `pool-cannot-create`,
   * `format-unfit`, `volume-name-unusable`, `volume-exists`, `volume-mismatch`, `target-disk-full`.
   */
  async ensure(request: VolumeRequest): Promise<EnsuredVolume> {
    const host = this.#host.name;
    assertName(request.name, host);
    return this.#host.use(async (connection) => {
      const { pool, volume } = await volumeNamed(connection, request);
      if (volume !== undefined) {
        if (!request.ownedByMove) throw exists(request, host);
        return { ...(await ensured(connection, volume, { request, host })), created: false };
      }
      const { type, path: folder } = await describePool(connection, pool);
      const kind = madeIn[type];
      if (kind === undefined) throw cannotCreate(request, { host, type });
      if (kind !== 'file' && request.format !== 'raw') throw formatUnfit(request, { host, type });
      // libvirt 9.0 would take over a file that its refresh left out, e.g. a folder or one without permission.
      if (kind !== 'network' && (await isThere(`${folder}/${request.name}`)))
        throw exists(request, host);
      const made = await createVolume(connection, pool, { request, kind });
      return { ...(await ensured(connection, made, { request, host })), created: true };
    });
  }

  /**
   * Deletes a volume. `gone`: nothing is there. `unmanaged`: no pool of libvirt has it, so it stays.
   * Throws `disk-in-use` if anybody is known to have it open to write; RBD itself refuses while a client watches it.
   */
  async delete(wanted: NamedVolume): Promise<'deleted' | 'gone' | 'unmanaged'> {
    const host = this.#host.name;
    return this.#host.use(async (connection) => {
      const found = await find(connection, wanted);
      if (typeof found === 'string') return found;
      const { volume, place } = found;
      const { path, network } = place;
      const image = {
        path,
        format: wanted.format,
        ...(network === undefined ? {} : { network }),
      };
      const writers = await imageWriters(image, { host });
      if (writers.length > 0) throw inUse(path, { host, writers });
      try {
        await connection.call('StorageVolDelete', { vol: volume }, { timeoutMs: deleteTimeoutMs });
      } catch (error) {
        if (!isRefusal(error, 'NO_STORAGE_VOL')) throw error;
      }
      return 'deleted';
    });
  }
}

/** The volume by its names if they are given, else by its place; the two must not contradict each other. */
async function find(
  connection: Connection,
  wanted: NamedVolume,
): Promise<'gone' | 'unmanaged' | { volume: VolumeRef; place: PooledPlace }> {
  await refreshActivePools(connection);
  const volume = await volumeOf(connection, wanted);
  if (volume === undefined) {
    const isLeft = wanted.kind !== 'network' && wanted.path !== '' && (await isThere(wanted.path));
    return isLeft ? 'unmanaged' : 'gone';
  }
  const place = await placeOfVolume(connection, { pool: volume.pool, volume: volume.name });
  // Another volume under the name of ours is not ours.
  return wanted.path === '' || wanted.path === place.path ? { volume, place } : 'unmanaged';
}

async function volumeOf(
  connection: Connection,
  { kind, path, pool, volume }: NamedVolume,
): Promise<VolumeRef | undefined> {
  if (pool !== undefined && pool !== '' && volume !== undefined && volume !== '') {
    try {
      return (await volumeNamed(connection, { pool, name: volume })).volume;
    } catch (error) {
      if (!isRefusal(error, 'NO_STORAGE_POOL')) throw error;
    }
  }
  if (path === '') return undefined;
  // libvirt calls an RBD image `pool/image`, without the protocol.
  return volumeAt(connection, kind === 'network' ? path.replace(/^[a-z]+:/, '') : path);
}

/** Bytes that an unprivileged writer may still take in the file system of a path (or of its folder). */
export async function writableFreeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path).catch(async (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return statfs(dirname(path));
  });
  return bavail * bsize;
}

async function createVolume(
  connection: Connection,
  pool: PoolRef,
  { request, kind }: { request: VolumeRequest; kind: PlaceKind },
): Promise<VolumeRef> {
  const { name, capacityBytes, format, allocation, backing } = request;
  const compat = format === 'qcow2' ? '<compat>1.1</compat>' : '';
  // A logical volume of less than its capacity would be a snapshot of nothing, which dies when it is full.
  const isFull = allocation === 'full' || kind === 'block';
  const below =
    backing === undefined
      ? ''
      : `<backingStore><path>${escapeXml(backing.path)}</path><format type='${backing.format}'/></backingStore>`;
  const xml = `<volume>
  <name>${escapeXml(name)}</name>
  <capacity unit='bytes'>${capacityBytes}</capacity>
  <allocation unit='bytes'>${isFull ? capacityBytes : 0}</allocation>
  <target><format type='${format}'/>${compat}</target>${below}
</volume>`;
  const flags = isFull && format === 'qcow2' ? preallocate : 0;
  const { vol } = await connection.call(
    'StorageVolCreateXML',
    { pool, xml, flags },
    { timeoutMs: createTimeoutMs[allocation] },
  );
  return vol;
}

/** Where the volume lies; it has to be what this attempt would make, or at least as large where storage rounds up. */
async function ensured(
  connection: Connection,
  vol: VolumeRef,
  { request, host }: { request: VolumeRequest; host: string },
): Promise<Omit<EnsuredVolume, 'created'>> {
  const place = await placeOfVolume(connection, { pool: vol.pool, volume: vol.name });
  const { xml } = await connection.call('StorageVolGetXMLDesc', { vol });
  const root = parseXml(xml, { root: 'volume' }).documentElement ?? undefined;
  const capacityBytes = sizeBytesOf(root && elementAt(root, 'capacity'), 'bytes');
  const format = attribute(root && elementAt(root, 'target', 'format'), 'type');
  const more = capacityBytes - request.capacityBytes;
  const fits = more === 0 || (place.kind === 'block' && more > 0 && more < largestExtentBytes);
  const below = textOf(root && elementAt(root, 'backingStore', 'path'));
  const { backing } = request;
  if (backing !== undefined && below !== backing.path)
    throw liesElsewhere(request, { host, below, wanted: backing.path });
  // What was written into a raw volume may look like another format to libvirt; its size cannot lie.
  if (fits && (format === request.format || request.format === 'raw'))
    return { ...place, key: vol.key, capacityBytes };
  throw unsafe({
    code: 'volume-mismatch',
    message: `volume ${request.pool}/${request.name} on ${host} has ${capacityBytes} bytes as ${format}; this move made it with ${request.capacityBytes} as ${request.format}`,
    remedy:
      'Somebody changed it. Find out who; if nothing needs it, delete it, then start the move again.',
    host,
  });
}

const liesElsewhere = (
  { pool, name }: VolumeRequest,
  at: { host: string; below: string; wanted: string },
): VmFerryError =>
  unsafe({
    code: 'volume-mismatch',
    message: `volume ${pool}/${name} on ${at.host} lies on ${at.below === '' ? 'no image' : at.below}; this move made it on ${at.wanted}`,
    remedy:
      'Somebody changed it. Find out who; if nothing needs it, delete it, then start the move again.',
    host: at.host,
  });

function assertName(name: string, host: string): void {
  // eslint-disable-next-line no-control-regex -- control characters are what it keeps out
  const isUsable = !/[/\u0000-\u001F]/.test(name) && name !== '.' && name !== '..';
  if (isUsable && name !== '' && Buffer.byteLength(name) <= 200) return;
  throw permanent({
    code: 'volume-name-unusable',
    message: `${JSON.stringify(name.slice(0, 100))} cannot be the name of a volume on ${host}`,
    remedy:
      'Rename the disk at the source: one file name, without control characters, of at most 200 bytes.',
    host,
  });
}

const exists = ({ pool, name }: VolumeRequest, host: string): VmFerryError =>
  permanent({
    code: 'volume-exists',
    message: `${host} already has a volume ${pool}/${name} that this move did not make`,
    remedy: 'If nothing needs it, delete it there; else name another pool with --pool.',
    host,
  });

const cannotCreate = (
  { pool }: VolumeRequest,
  { host, type }: { host: string; type: string },
): VmFerryError =>
  permanent({
    code: 'pool-cannot-create',
    message: `no volume is made in pool ${pool} of ${host}: it is of type ${type === '' ? 'unknown' : type}`,
    remedy: 'Name a pool of type dir, fs, netfs, logical or rbd with --pool.',
    host,
  });

const formatUnfit = (
  { pool, name, format }: VolumeRequest,
  { host, type }: { host: string; type: string },
): VmFerryError =>
  permanent({
    code: 'format-unfit',
    message: `pool ${pool} of ${host} is of type ${type}: ${name} would have to be raw there, not ${format}`,
    remedy: 'Choose the format raw for this disk, or a pool of files.',
    host,
  });

const inUse = (path: string, at: { host: string; writers: string[] }): VmFerryError =>
  unsafe({
    code: 'disk-in-use',
    message: `${path} on ${at.host} is not deleted: ${at.writers.join('; ')}`,
    remedy: 'End what the message names if it must not use the disk, then `vmferry retry`.',
    host: at.host,
  });
