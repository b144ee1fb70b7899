/** Volumes on the target: made through libvirt, so that ownership and security labels are right. */
import { access, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { permanent, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { DiskFormat } from '../../domain/vm.ts';
import type { Connection, PoolRef, VolumeRef } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import { isRefusal } from './faults.ts';
import { imageWriters } from './image-writers.ts';
import { describePool, refreshActivePools, volumeAt, volumeNamed } from './storage.ts';
import { attribute, elementAt, parseXml, sizeBytesOf } from './xml.ts';

export interface VolumeRequest {
  pool: string;
  /** File name in the pool. */
  name: string;
  capacityBytes: number;
  format: DiskFormat;
  /** Whether the move's own record says that this volume is its own; any other that exists is refused. */
  ownedByMove: boolean;
}

export interface EnsuredVolume {
  path: string;
  /** Unique on the host, by libvirt. */
  key: string;
  /** Whether it was made just now: it reads as zeroes then. */
  created: boolean;
}

/** libvirt writes no file but waits for `qemu-img create` or for slow storage. */
const createTimeoutMs = 120_000;
const deleteTimeoutMs = 120_000;

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
   * The volume, found or made: sparse, of that format and capacity.
   * Throws `pool-missing`, `volume-name-unusable`, `volume-exists`, `volume-mismatch`, `target-disk-full`.
   */
  async ensure(request: VolumeRequest): Promise<EnsuredVolume> {
    const host = this.#host.name;
    assertName(request.name, host);
    return this.#host.use(async (connection) => {
      const { pool, volume } = await volumeNamed(connection, request);
      if (volume !== undefined) {
        if (!request.ownedByMove) throw exists(request, host);
        await assertSame(connection, volume, { request, host });
        return { ...(await place(connection, volume)), created: false };
      }
      const { path: folder } = await describePool(connection, pool);
      // libvirt 9.0 would take over a file that its refresh left out, e.g. a folder or one without permission.
      if (await isThere(`${folder}/${request.name}`)) throw exists(request, host);
      const made = await createVolume(connection, pool, request);
      return { ...(await place(connection, made)), created: true };
    });
  }

  /**
   * Deletes the volume at a path. `gone`: nothing is there. `unmanaged`: no pool of libvirt has it, so it stays.
   * Throws `disk-in-use` if anybody has it open to write.
   */
  async delete(path: string, format: DiskFormat): Promise<'deleted' | 'gone' | 'unmanaged'> {
    const host = this.#host.name;
    return this.#host.use(async (connection) => {
      await refreshActivePools(connection);
      const volume = await volumeAt(connection, path);
      if (volume === undefined) return (await isThere(path)) ? 'unmanaged' : 'gone';
      const writers = await imageWriters({ path, format }, { host });
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
  request: VolumeRequest,
): Promise<VolumeRef> {
  const { name, capacityBytes, format } = request;
  const compat = format === 'qcow2' ? '<compat>1.1</compat>' : '';
  const xml = `<volume>
  <name>${escapeXml(name)}</name>
  <capacity unit='bytes'>${capacityBytes}</capacity>
  <allocation unit='bytes'>0</allocation>
  <target><format type='${format}'/>${compat}</target>
</volume>`;
  const { vol } = await connection.call(
    'StorageVolCreateXML',
    { pool, xml },
    { timeoutMs: createTimeoutMs },
  );
  return vol;
}

async function place(
  connection: Connection,
  vol: VolumeRef,
): Promise<{ path: string; key: string }> {
  const { path } = await connection.call('StorageVolGetPath', { vol });
  return { path, key: vol.key };
}

/** A volume of this move that an older attempt made has to be what this attempt would make. */
async function assertSame(
  connection: Connection,
  vol: VolumeRef,
  { request, host }: { request: VolumeRequest; host: string },
): Promise<void> {
  const { xml } = await connection.call('StorageVolGetXMLDesc', { vol });
  const root = parseXml(xml, { root: 'volume' }).documentElement;
  if (root === null) return;
  const capacityBytes = sizeBytesOf(elementAt(root, 'capacity'), 'bytes');
  const format = attribute(elementAt(root, 'target', 'format'), 'type');
  // What was written into a raw volume may look like another format to libvirt; its size cannot lie.
  const isSame =
    capacityBytes === request.capacityBytes &&
    (format === request.format || request.format === 'raw');
  if (isSame) return;
  throw unsafe({
    code: 'volume-mismatch',
    message: `volume ${request.pool}/${request.name} on ${host} has ${capacityBytes} bytes as ${format}; this move made it with ${request.capacityBytes} as ${request.format}`,
    remedy:
      'Somebody changed it. Find out who; if nothing needs it, delete it, then start the move again.',
    host,
  });
}

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

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const exists = ({ pool, name }: VolumeRequest, host: string): VmFerryError =>
  permanent({
    code: 'volume-exists',
    message: `${host} already has a volume ${pool}/${name} that this move did not make`,
    remedy: 'If nothing needs it, delete it there; else name another pool with --pool.',
    host,
  });

const inUse = (path: string, at: { host: string; writers: string[] }): VmFerryError =>
  unsafe({
    code: 'disk-in-use',
    message: `${path} on ${at.host} is not deleted: ${at.writers.join('; ')}`,
    remedy: 'End what the message names if it must not use the disk, then `vmferry retry`.',
    host: at.host,
  });
