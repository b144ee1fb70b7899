/** Nonces for all disks of a VM, whatever they lie on: see `nonce.ts` for the files, here is what libvirt has to do. */
import { basename, join } from 'node:path';
import type { NetworkPlace, VmDisk } from '../../domain/vm.ts';
import { LibvirtError, ListPoolsFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, PoolRef } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import { isRefusal } from './faults.ts';
import { isThere } from './is-there.ts';
import { rbdImage } from './network-place.ts';
import { newWord, noncePrefix, removeFileNonces, seesFileNonce, writeFileNonce } from './nonce.ts';
import type { PooledPlace } from './pool-place.ts';
import { startTimeOf } from './process.ts';
import { describePool } from './storage.ts';
import { escapeXml } from './xml.ts';

/** A nonce as the source tells the target of it. */
export interface StorageWord {
  disk: string;
  path: string;
  network?: NetworkPlace;
  value: string;
}

/** An RBD image of this size takes no room: it is never written. */
const nonceImageBytes = 4 * 1024 * 1024;
const poolTimeoutMs = 120_000;
const lookPrefix = 'vmferry-look-';

export class StorageProof {
  readonly #host: LibvirtHost;

  constructor(host: LibvirtHost) {
    this.#host = host;
  }

  /** A word beside each disk whose storage takes one; disks of one folder or RBD pool share one. Finds its own again. */
  async write(migrationId: string, disks: readonly VmDisk[]): Promise<StorageWord[]> {
    const words: StorageWord[] = [];
    const images = new Map<string, string>();
    for (const disk of disks) {
      if (disk.kind === 'file' && disk.path !== '') {
        const nonce = await writeFileNonce(migrationId, disk.path);
        if (nonce !== undefined) words.push({ disk: disk.name, ...nonce });
      } else if (disk.network?.protocol === 'rbd') {
        const { network } = disk;
        const key = rbdKey(network);
        const value = images.get(key) ?? (await this.#writeImage(migrationId, network));
        if (value === undefined) continue;
        images.set(key, value);
        words.push({ disk: disk.name, path: disk.path, network, value });
      }
    }
    return words;
  }

  /** Where this host sees the disk beside that word: at the same path, or in the folder of `pool`; else undefined. */
  async find(nonce: StorageWord, disk: VmDisk, poolName: string): Promise<PooledPlace | undefined> {
    const { network } = disk;
    if (network !== undefined) {
      if (network.protocol !== 'rbd' || !(await this.#seesImage(nonce, network))) return undefined;
      return { kind: 'network', path: disk.path, network };
    }
    if (disk.kind !== 'file') return undefined;
    const folder = await this.#folderOf(poolName);
    const places = [disk.path, ...(folder === '' ? [] : [join(folder, basename(disk.path))])];
    for (const path of places) {
      if (await seesFileNonce(nonce, path)) return { kind: 'file', path };
    }
    return undefined;
  }

  /** Removes the words of this move, also those that an attempt left which was killed. */
  async remove(migrationId: string, disks: readonly VmDisk[]): Promise<void> {
    const seen = new Set<string>();
    for (const disk of disks) {
      if (disk.kind === 'file' && disk.path !== '') await removeFileNonces(migrationId, disk.path);
      if (disk.network?.protocol !== 'rbd' || seen.has(rbdKey(disk.network))) continue;
      seen.add(rbdKey(disk.network));
      const prefix = noncePrefix(migrationId);
      await this.#inRbd(disk.network, async (connection, pool) => {
        for (const name of await wordsIn(connection, pool, prefix)) {
          const { vol } = await connection.call('StorageVolLookupByName', { pool, name });
          await connection.call('StorageVolDelete', { vol }, { timeoutMs: poolTimeoutMs });
        }
      });
    }
    await this.#host.use(async (connection) => endPools(connection, noncePrefix(migrationId)));
  }

  /**
   * Ends the pools with which a killed worker looked for a word; for the start of a worker. One that somebody defined is
   * not ours, and that of a process which lives (a worker that is being relieved) is in use. Gives their number.
   */
  async endOrphans(): Promise<number> {
    const flags = ListPoolsFlag.transient | ListPoolsFlag.rbd;
    return this.#host.use(async (connection) => {
      const call = { needResults: 1, flags };
      const { pools } = await connection.call('ConnectListAllStoragePools', call);
      let ended = 0;
      for (const pool of pools) {
        if (!isNamed(pool.name, lookPrefix, 16)) continue;
        const pid = Number.parseInt(pool.name.slice(lookPrefix.length).slice(0, 8), 16);
        if (pid !== process.pid && startTimeOf(pid) !== undefined) continue;
        await endPool(connection, pool);
        ended += 1;
      }
      return ended;
    });
  }

  async #writeImage(migrationId: string, place: NetworkPlace): Promise<string | undefined> {
    const prefix = noncePrefix(migrationId);
    return this.#inRbd(
      place,
      async (connection, pool) => {
        const [found] = await wordsIn(connection, pool, prefix);
        if (found !== undefined) return found.slice(prefix.length);
        const value = newWord();
        const xml = `<volume><name>${prefix}${value}</name><capacity unit='bytes'>${nonceImageBytes}</capacity></volume>`;
        await connection.call('StorageVolCreateXML', { pool, xml }, { timeoutMs: poolTimeoutMs });
        return value;
      },
      prefix,
    );
  }

  async #seesImage({ value }: StorageWord, place: NetworkPlace): Promise<boolean> {
    if (!/^[0-9a-f]{64}$/.test(value)) return false;
    const { image } = rbdImage(place.name);
    const seen = await this.#inRbd(place, async (connection, pool) => {
      const names = await imageNames(connection, pool);
      return names.includes(image) && names.some((name) => isWordOf(name, value));
    });
    return seen === true;
  }

  /**
   * A pool of our own over Ceph's, for a moment: libvirt knows how to log in, and sees the storage as it is now. Undefined
   * where this host cannot reach it: no driver, no server, no secret; then the disk is not seen from here.
   */
  async #inRbd<T>(
    place: NetworkPlace,
    act: (connection: Connection, pool: PoolRef) => Promise<T>,
    prefix = lookPrefix,
  ): Promise<T | undefined> {
    return this.#host.use(async (connection) => {
      let pool: PoolRef;
      try {
        const xml = rbdPoolXml(place, poolName(prefix));
        const timeout = { timeoutMs: poolTimeoutMs };
        ({ pool } = await connection.call('StoragePoolCreateXML', { xml }, timeout));
      } catch (error) {
        if (error instanceof LibvirtError) return undefined;
        throw error;
      }
      try {
        return await act(connection, pool);
      } finally {
        await endPool(connection, pool);
      }
    });
  }

  async #folderOf(name: string): Promise<string> {
    if (name === '') return '';
    return this.#host.use(async (connection) => {
      try {
        const { pool } = await connection.call('StoragePoolLookupByName', { name });
        const { path } = await describePool(connection, pool);
        return path.startsWith('/') && (await isThere(path)) ? path : '';
      } catch (error) {
        if (isRefusal(error, 'NO_STORAGE_POOL')) return '';
        throw error;
      }
    });
  }
}

/** Sixteen digits after the prefix: the worker's process, so that its heir knows what was left, and eight by chance. */
const poolName = (prefix: string): string =>
  `${prefix}${process.pid.toString(16).padStart(8, '0')}${newWord().slice(0, 8)}`;

const rbdKey = (place: NetworkPlace): string =>
  JSON.stringify([rbdImage(place.name).pool, place.hosts]);

/** `vmferry-<migration>-<word>`; the reader need not know the move. */
const isWordOf = (name: string, word: string): boolean =>
  name.startsWith('vmferry-') && name.endsWith(`-${word}`);

async function imageNames(connection: Connection, pool: PoolRef): Promise<string[]> {
  const { vols } = await connection.call('StoragePoolListAllVolumes', { pool, needResults: 1 });
  return vols.map(({ name }) => name);
}

/** Names of that move alone: a longer ID that begins alike has more before its random part. */
const wordsIn = async (connection: Connection, pool: PoolRef, prefix: string): Promise<string[]> =>
  (await imageNames(connection, pool)).filter((name) => isNamed(name, prefix, 64));

const isNamed = (name: string, prefix: string, digits: number): boolean =>
  name.startsWith(prefix) && new RegExp(`^[0-9a-f]{${digits}}$`).test(name.slice(prefix.length));

/** Its volumes' allocation is not counted: that reads through every image. */
function rbdPoolXml({ name, hosts, auth }: NetworkPlace, asName: string): string {
  const servers = hosts.map(
    (host) =>
      `<host name='${escapeXml(host.name)}'${host.port === undefined ? '' : ` port='${host.port}'`}/>`,
  );
  const { uuid, usage = '' } = auth?.secret ?? {};
  const by = uuid === undefined ? `usage='${escapeXml(usage)}'` : `uuid='${escapeXml(uuid)}'`;
  const login =
    auth === undefined
      ? ''
      : `<auth type='ceph' username='${escapeXml(auth.username)}'><secret ${by}/></auth>`;
  return `<pool type='rbd'><name>${asName}</name><refresh><volume allocation='capacity'/></refresh>
<source>${servers.join('')}<name>${escapeXml(rbdImage(name).pool)}</name>${login}</source></pool>`;
}

/** Pools of this move that a killed worker left. */
async function endPools(connection: Connection, prefix: string): Promise<void> {
  const { pools } = await connection.call('ConnectListAllStoragePools', { needResults: 1 });
  for (const pool of pools) if (isNamed(pool.name, prefix, 16)) await endPool(connection, pool);
}

async function endPool(connection: Connection, pool: PoolRef): Promise<void> {
  try {
    await connection.call('StoragePoolDestroy', { pool });
  } catch (error) {
    if (!isRefusal(error, 'NO_STORAGE_POOL')) throw error;
  }
}
