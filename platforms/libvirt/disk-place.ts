/** Pointing a `<disk>` to another place: what belongs to the old one goes, whatever else it says stays. */
import type { Element } from '@xmldom/xmldom';
import type { NetworkPlace, PlaceKind, SecretRef } from '../../domain/vm.ts';
import { readNetworkPlace } from './domain-network.ts';
import { XmlError, attribute, childElements, elementAt, removeElement } from './xml.ts';

/** A file or device by its path, or what QEMU reaches over the network. */
export interface ElementPlace {
  kind: PlaceKind;
  /** Absolute path; not used for a network disk. */
  path: string;
  /** Needed for a network disk. */
  network?: NetworkPlace;
}

/** Attributes of `<source>` that say where a disk lies, or how that one place is reached. */
const placeAttributes = [
  ...['file', 'dev', 'dir', 'protocol', 'name', 'pool', 'volume', 'mode', 'query', 'type'],
  ...['managed', 'namespace', 'socket', 'tls', 'tlsHostname'],
];

/** Children of `<source>` of the same kind. Encryption is in the bytes and goes with them. */
const placeChildren = [
  ...['host', 'auth', 'snapshot', 'config', 'initiator', 'cookies', 'ssl', 'readahead'],
  ...['timeout', 'reconnect', 'nfs', 'identity', 'knownHosts', 'reservations', 'address', 'slices'],
];

/** Throws `XmlError` if a network disk comes without its place. */
export function setElementPlace(disk: Element, place: ElementPlace): void {
  const source = sourceOf(disk);
  // The number that a running QEMU gave the image.
  source.removeAttribute('index');
  if (place.kind === 'network') {
    if (place.network === undefined) throw new XmlError('a network disk has no place');
    setNetworkPlace(disk, source, place.network);
    return;
  }
  if (attribute(disk, 'type') !== place.kind) {
    removePlace(disk, source);
    disk.setAttribute('type', place.kind);
  }
  source.setAttribute(place.kind === 'file' ? 'file' : 'dev', place.path);
}

function setNetworkPlace(disk: Element, source: Element, place: NetworkPlace): void {
  if (place.protocol === 'other') throw new XmlError('a disk cannot be put to an unknown protocol');
  const isNetwork = attribute(disk, 'type') === 'network';
  // Two spellings of one place are one: then nothing is touched.
  if (isNetwork && isSamePlace(readNetworkPlace(disk, source), place)) return;
  removePlace(disk, source);
  if (!isNetwork) {
    // libvirt knows these two for files and devices only.
    source.removeAttribute('startupPolicy');
    for (const label of childElements(source, 'seclabel')) removeElement(label);
  }
  disk.setAttribute('type', 'network');
  source.setAttribute('protocol', place.protocol);
  source.setAttribute('name', place.name);
  for (const { name, port } of place.hosts) {
    const host = addChild(source, 'host');
    host.setAttribute('name', name);
    if (port !== undefined) host.setAttribute('port', String(port));
  }
  if (place.auth === undefined) return;
  const auth = addChild(source, 'auth');
  auth.setAttribute('username', place.auth.username);
  const type = place.protocol === 'rbd' ? 'ceph' : place.protocol;
  setSecret(addChild(auth, 'secret'), place.auth.secret, type);
}

const isSamePlace = (left: NetworkPlace, right: NetworkPlace): boolean =>
  JSON.stringify(inOrder(left)) === JSON.stringify(inOrder(right));

const inOrder = ({ protocol, name, hosts, auth }: NetworkPlace): unknown[] => [
  ...[protocol, name, hosts.map((host) => [host.name, host.port ?? null])],
  ...[auth?.username, auth?.secret.uuid, auth?.secret.usageType, auth?.secret.usage],
];

function setSecret(element: Element, { uuid, usageType, usage }: SecretRef, type: string): void {
  element.setAttribute('type', usageType ?? type);
  if (uuid !== undefined) element.setAttribute('uuid', uuid);
  else element.setAttribute('usage', usage ?? '');
}

function removePlace(disk: Element, source: Element): void {
  for (const name of placeAttributes) source.removeAttribute(name);
  for (const name of placeChildren) {
    for (const child of childElements(source, name)) removeElement(child);
  }
  for (const auth of childElements(disk, 'auth')) removeElement(auth);
}

/** An empty drive has no source. */
const sourceOf = (disk: Element): Element => elementAt(disk, 'source') ?? addChild(disk, 'source');

/** Children of a domain have no namespace; the parent's must not be inherited from a prefix. */
function addChild(parent: Element, name: string): Element {
  const document = parent.ownerDocument;
  if (document === null) throw new XmlError('an element belongs to no document');
  const made = document.createElementNS(null, name);
  parent.appendChild(made);
  return made;
}
