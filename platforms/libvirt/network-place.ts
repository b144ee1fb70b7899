/** Disks that only QEMU reaches: how they are called, and how QEMU is told to open them. */
import { permanent } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import type { NetworkPlace } from '../../domain/vm.ts';

/** The ID of the one secret that an image may need; see `ServedImage.network`. */
export const imageSecretId = 'disk0';

const maxHosts = 16;
const maxNameBytes = 2048;
const defaultIscsiPort = 3260;

/**
 * What names a network disk for people and for the guard: `rbd:pool/image`, `iscsi:<iqn>/<lun>`, `nfs:<path>`. LUN 0
 * is written out, as libvirt lets it be left out. The storage's address is not part of it: a host may be known by
 * several, and one disk must not pass for two.
 */
export function networkPath({ protocol, name }: Pick<NetworkPlace, 'protocol' | 'name'>): string {
  if (protocol !== 'iscsi') return `${protocol}:${name}`;
  const { target, lun } = iscsiTarget(name);
  return `iscsi:${target}/${lun}`;
}

/** libvirt's `<source protocol='iscsi' name='iqn.../LUN'>`; the LUN is 0 if it is not there. */
export function iscsiTarget(name: string): { target: string; lun: number } {
  const slash = name.lastIndexOf('/');
  const tail = slash === -1 ? '' : name.slice(slash + 1);
  const hasLun = /^\d{1,5}$/.test(tail);
  return hasLun
    ? { target: name.slice(0, slash), lun: Number(tail) }
    : { target: slash !== -1 && tail === '' ? name.slice(0, slash) : name, lun: 0 };
}

/** libvirt's name of an RBD image: `pool/image`, or `pool/namespace/image`. */
export function rbdImage(name: string): { pool: string; namespace?: string; image: string } {
  const [pool = '', ...rest] = name.split('/');
  const image = rest.pop() ?? '';
  const namespace = rest.join('/');
  return namespace === '' ? { pool, image } : { pool, namespace, image };
}

/**
 * QEMU's options for the storage below the image format, without a secret's value: `driver=rbd,pool=...`.
 * Throws `network-disk-unsupported`.
 */
export function protocolOptions(
  place: NetworkPlace,
  host: string,
): readonly (readonly [string, string])[] {
  const { name, hosts } = place;
  const isBounded = Buffer.byteLength(name) <= maxNameBytes && hosts.length <= maxHosts;
  const texts = [name, ...hosts.map((each) => each.name), place.auth?.username ?? ''];
  // eslint-disable-next-line no-control-regex -- control characters are what it keeps out
  if (!isBounded || name === '' || texts.some((text) => /[\u0000-\u001F]/.test(text))) {
    throw unsupported(place, { host, why: 'its name or its servers are not usable' });
  }
  switch (place.protocol) {
    case 'rbd':
      return rbdOptions(place, host);
    case 'iscsi':
      return iscsiOptions(place, host);
    case 'nfs':
      return nfsOptions(place, host);
    case 'nbd':
      return nbdOptions(place, host);
    case 'other':
      throw unsupported(place, { host, why: 'its protocol is not one that vmferry knows' });
  }
}

function rbdOptions(place: NetworkPlace, host: string): [string, string][] {
  const { pool, namespace, image } = rbdImage(place.name);
  if (pool === '' || image === '')
    throw unsupported(place, { host, why: 'it names no pool and image' });
  return [
    ['driver', 'rbd'],
    ['pool', pool],
    ...(namespace === undefined ? [] : [['namespace', namespace] as [string, string]]),
    ['image', image],
    ...place.hosts.flatMap(({ name, port }, at): [string, string][] => [
      [`server.${at}.host`, name],
      // Monitors have two protocols; without a port libvirt and QEMU mean the older one.
      [`server.${at}.port`, String(port ?? 6789)],
    ]),
    ...loginOptions(place, { user: 'user', secret: 'key-secret' }),
  ];
}

function iscsiOptions(place: NetworkPlace, host: string): [string, string][] {
  const { target, lun } = iscsiTarget(place.name);
  const [portal] = place.hosts;
  if (portal === undefined) throw unsupported(place, { host, why: 'it names no server' });
  const address = portal.name.includes(':') ? `[${portal.name}]` : portal.name;
  return [
    ['driver', 'iscsi'],
    ['transport', 'tcp'],
    ['portal', `${address}:${portal.port ?? defaultIscsiPort}`],
    ['target', target],
    ['lun', String(lun)],
    ...loginOptions(place, { user: 'user', secret: 'password-secret' }),
  ];
}

function nfsOptions(place: NetworkPlace, host: string): [string, string][] {
  const [server] = place.hosts;
  if (server === undefined || !place.name.startsWith('/'))
    throw unsupported(place, { host, why: 'it names no server, or no absolute path there' });
  return [
    ['driver', 'nfs'],
    ['server.type', 'inet'],
    ['server.host', server.name],
    ['path', place.name],
  ];
}

function nbdOptions(place: NetworkPlace, host: string): [string, string][] {
  const [server] = place.hosts;
  if (server === undefined) throw unsupported(place, { host, why: 'it names no server' });
  return [
    ['driver', 'nbd'],
    ['server.type', 'inet'],
    ['server.host', server.name],
    ['server.port', String(server.port ?? 10_809)],
    ['export', place.name],
  ];
}

const loginOptions = (
  { auth }: NetworkPlace,
  names: { user: string; secret: string },
): [string, string][] =>
  auth === undefined
    ? []
    : [
        [names.user, auth.username],
        [names.secret, imageSecretId],
      ];

const unsupported = (
  place: NetworkPlace,
  { host, why }: { host: string; why: string },
): VmFerryError =>
  permanent({
    code: 'network-disk-unsupported',
    message: `${host} cannot open the network disk ${place.protocol}:${place.name.slice(0, 200)}: ${why}`,
    remedy: 'Move its data to storage that vmferry knows: a file, a device, RBD, iSCSI or NFS.',
    host,
  });
