/** Where a pool's volume lies, for those that a definition names by pool and volume only. */
import type { Element } from '@xmldom/xmldom';
import type { NetworkPlace, PlaceKind } from '../../domain/vm.ts';
import { VolumeType } from '../../protocols/libvirt/index.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { readSecretRef } from './domain-network.ts';
import { networkPath } from './network-place.ts';
import { attribute, childElements, elementAt, parseXml } from './xml.ts';

/** As `VolumePlace` of the verbs: kind, path, and what QEMU needs of a network volume. */
export interface PooledPlace {
  kind: PlaceKind;
  path: string;
  network?: NetworkPlace;
}

/** Looks a volume up by its names; libvirt's refusals come through. */
export async function placeOfVolume(
  connection: Connection,
  { pool: poolName, volume: volumeName }: { pool: string; volume: string },
): Promise<PooledPlace> {
  const { pool } = await connection.call('StoragePoolLookupByName', { name: poolName });
  const { vol } = await connection.call('StorageVolLookupByName', { pool, name: volumeName });
  const { path } = await connection.call('StorageVolGetPath', { vol });
  const { type } = await connection.call('StorageVolGetInfo', { vol });
  if (type === VolumeType.block) return { kind: 'block', path };
  if (type !== VolumeType.network) return { kind: 'file', path };
  const { xml } = await connection.call('StoragePoolGetXMLDesc', { pool });
  const root = parseXml(xml, { root: 'pool' }).documentElement ?? undefined;
  const network = placeInPool(root, { name: volumeName, path });
  return { kind: 'network', path: networkPath(network), network };
}

/**
 * A volume of a network pool as a disk would state it. An RBD volume's path is `pool/image`; a LUN's name ends with
 * its number (`unit:0:0:1`) and its target stands in the pool's source.
 */
export function placeInPool(
  pool: Element | undefined,
  volume: { name: string; path: string },
): NetworkPlace {
  const source = pool && elementAt(pool, 'source');
  const hosts = source === undefined ? [] : childElements(source, 'host').map(readHost);
  const auth = source && elementAt(source, 'auth');
  const secret = auth && elementAt(auth, 'secret');
  const login =
    secret === undefined
      ? {}
      : {
          auth: {
            username: attribute(auth, 'username'),
            secret: poolSecret(secret, attribute(auth, 'type')),
          },
        };
  switch (attribute(pool, 'type')) {
    case 'rbd':
      return { protocol: 'rbd', name: volume.path, hosts, ...login };
    case 'iscsi-direct': {
      const target = attribute(source && elementAt(source, 'device'), 'path');
      const lun = /(\d+)$/.exec(volume.name)?.[1] ?? '0';
      return { protocol: 'iscsi', name: `${target}/${lun}`, hosts, ...login };
    }
    default:
      return { protocol: 'other', name: volume.path, hosts, ...login };
  }
}

function readHost(element: Element): { name: string; port?: number } {
  const port = Number(attribute(element, 'port'));
  const name = attribute(element, 'name');
  return Number.isSafeInteger(port) && port > 0 ? { name, port } : { name };
}

/** In a pool the kind of login, not the secret, tells what the secret is for. */
const poolSecret = (secret: Element, login: string) => {
  const ref = readSecretRef(secret);
  return ref.uuid === undefined ? { ...ref, usageType: login === 'chap' ? 'iscsi' : login } : ref;
};
