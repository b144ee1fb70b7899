/** Pools and volumes, as both sides of a move need them. */
import type { PoolFacts } from '../../domain/host.ts';
import { ListPoolsFlag, LibvirtError, PoolState } from '../../protocols/libvirt/index.ts';
import type { Connection, PoolRef, VolumeRef } from '../../protocols/libvirt/index.ts';
import { isRefusal } from './faults.ts';
import { attribute, elementAt, parseXml, textOf } from './xml.ts';

/** A pool's own refresh reads every volume's header: a large pool on slow storage takes its time. */
const refreshTimeoutMs = 120_000;

/**
 * Makes libvirt look at a pool's storage again; its memory of volumes and room is as old as the last look.
 * A pool that cannot be refreshed now (busy with a volume's making, say) is used as libvirt remembers it.
 */
async function refreshPool(connection: Connection, pool: PoolRef): Promise<void> {
  try {
    await connection.call('StoragePoolRefresh', { pool }, { timeoutMs: refreshTimeoutMs });
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
  }
}

const listPools = async (connection: Connection, flags: number): Promise<readonly PoolRef[]> =>
  (await connection.call('ConnectListAllStoragePools', { needResults: 1, flags })).pools;

export async function refreshActivePools(connection: Connection): Promise<void> {
  const pools = await listPools(connection, ListPoolsFlag.active);
  await Promise.all(pools.map((pool) => refreshPool(connection, pool)));
}

/** Every pool, refreshed if it is active. One that goes away meanwhile is left out. */
export async function readPools(connection: Connection): Promise<PoolFacts[]> {
  const found = await Promise.all(
    (await listPools(connection, 0)).map(async (pool) => {
      try {
        return await readPool(connection, pool);
      } catch (error) {
        if (!isRefusal(error, 'NO_STORAGE_POOL')) throw error;
        return undefined;
      }
    }),
  );
  return found.filter((pool) => pool !== undefined);
}

async function readPool(connection: Connection, pool: PoolRef): Promise<PoolFacts> {
  const before = await connection.call('StoragePoolGetInfo', { pool });
  const active = before.state === PoolState.running || before.state === PoolState.degraded;
  if (active) await refreshPool(connection, pool);
  const { capacity, available } = await connection.call('StoragePoolGetInfo', { pool });
  const { type, path } = await describePool(connection, pool);
  return {
    name: pool.name,
    type,
    active,
    path,
    capacityBytes: capacity,
    availableBytes: available,
  };
}

/** The pool's type, e.g. `dir`, and the folder of its volumes; of an RBD pool `rbd:<Ceph's pool>`. */
export async function describePool(
  connection: Connection,
  pool: PoolRef,
): Promise<{ type: string; path: string }> {
  const { xml } = await connection.call('StoragePoolGetXMLDesc', { pool });
  const root = parseXml(xml, { root: 'pool' }).documentElement;
  if (root === null) return { type: '', path: '' };
  const type = attribute(root, 'type');
  return type === 'rbd'
    ? { type, path: `rbd:${textOf(elementAt(root, 'source', 'name'))}` }
    : { type, path: textOf(elementAt(root, 'target', 'path')) };
}

/** The volume at a path, by libvirt's memory; undefined if no pool has it. */
export async function volumeAt(
  connection: Connection,
  path: string,
): Promise<VolumeRef | undefined> {
  try {
    return (await connection.call('StorageVolLookupByPath', { path })).vol;
  } catch (error) {
    // A path that no active pool covers and one that a pool does not list are the same to us.
    if (isRefusal(error, 'NO_STORAGE_VOL') || isRefusal(error, 'NO_STORAGE_POOL')) return undefined;
    throw error;
  }
}

/** The volume of that name; undefined if the pool has none. Throws `NO_STORAGE_POOL` of libvirt. */
export async function volumeNamed(
  connection: Connection,
  { pool: poolName, name }: { pool: string; name: string },
): Promise<{ pool: PoolRef; volume: VolumeRef | undefined }> {
  const { pool } = await connection.call('StoragePoolLookupByName', { name: poolName });
  await refreshPool(connection, pool);
  try {
    const { vol } = await connection.call('StorageVolLookupByName', { pool, name });
    return { pool, volume: vol };
  } catch (error) {
    if (isRefusal(error, 'NO_STORAGE_VOL')) return { pool, volume: undefined };
    throw error;
  }
}
