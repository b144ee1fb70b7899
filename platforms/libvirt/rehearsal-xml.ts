/**
 * The definition of a rehearsal: what the target would start, made to touch nothing of this host. Devices stay by name
 * or not at all, so that one which is thought of later is left out until somebody has thought about it here, too.
 */
import { createHash } from 'node:crypto';
import type { Document, Element } from '@xmldom/xmldom';
import {
  attribute,
  childElements,
  elementAt,
  escapeXml,
  parseXml,
  removeElement,
  serializeXml,
  XmlError,
} from './xml.ts';

/** What a rehearsal is called by libvirt: found again by it, whatever became of who began it. */
export interface RehearsalName {
  name: string;
  uuid: string;
}

const namespace = 'urn:vmferry:domain:1';
const prefix = 'vmferry-rehearsal-';

/** No VM of anybody: nothing is to be moved, counted or listed of it. */
export const isRehearsal = ({ name }: Pick<RehearsalName, 'name'>): boolean =>
  /^vmferry-rehearsal-[0-9a-f]{12}$/.test(name);

const uuidOf = (text: string): string => {
  const hex = createHash('sha256').update(text).digest('hex');
  // Marked as one that follows no time and no host (version 8, variant 1).
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
  ];
  return [...parts, hex.slice(20, 32)].join('-');
};

/** One a cached VM, by the cache's key: its own UUID, never the VM's. */
export const rehearsalName = (key: string): RehearsalName => {
  const uuid = uuidOf(`rehearsal/${key}`);
  return { name: `${prefix}${uuid.replaceAll('-', '').slice(-12)}`, uuid };
};

/** A segment of its own for the cards that the plan puts on one network. */
export interface RehearsalNetwork {
  name: string;
  /** At most 15 characters, as the kernel takes them. */
  bridge: string;
}

const rehearsalNetwork = ({ name }: RehearsalName, index: number): RehearsalNetwork => {
  const network = `${name}-${index}`;
  const digest = createHash('sha256').update(network).digest('hex');
  return { name: network, bridge: `vfr${digest.slice(0, 12)}` };
};

/** This host's address on a segment, for a check that speaks with the guest. */
export interface HostAddress {
  address: string;
  prefix: number;
}

/** A network without a way out: no forwarding, no DHCP, no names. */
export const networkXml = (network: RehearsalNetwork, host?: HostAddress): string =>
  [
    `<network><name>${escapeXml(network.name)}</name>`,
    `<bridge name='${escapeXml(network.bridge)}' stp='off' delay='0'/>`,
    host === undefined
      ? ''
      : `<dns enable='no'/><ip address='${escapeXml(host.address)}' prefix='${host.prefix}'/>`,
    '</network>',
  ].join('');

export interface RehearsalDefinition {
  as: RehearsalName;
  migrationId: string;
  domainType: 'kvm' | 'qemu';
  /** The throw-away images: the only files that a disk may be. */
  images: readonly string[];
  /** The log of the serial console on this host. */
  consolePath: string;
}

/** A definition, and the segments that its cards want. */
export interface RehearsalDomain {
  as: RehearsalName;
  xml: string;
  networks: RehearsalNetwork[];
  /** Which card is on which of them, by its place. */
  cards: { mac: string; segment: number }[];
}

/** All that a guest has which is this host's own to give, without anything that leads out of it. */
const devices: Readonly<Record<string, (device: Element) => boolean>> = {
  emulator: () => true,
  controller: () => true,
  input: (device) => ['tablet', 'mouse', 'keyboard'].includes(attribute(device, 'type')),
  video: () => true,
  memballoon: () => true,
  tpm: (device) => attribute(elementAt(device, 'backend'), 'type') === 'emulator',
  rng: (device) => attribute(elementAt(device, 'backend'), 'model') === 'random',
  disk: () => true,
  interface: () => true,
  serial: () => true,
  console: (device) => attribute(elementAt(device, 'target'), 'type') === 'serial',
  channel: (device) => attribute(elementAt(device, 'target'), 'type') === 'virtio',
};

/** Of the rest of a definition: what the guest is, nothing that binds it to a host. */
const parts = [
  ...['memory', 'currentMemory', 'vcpu', 'os', 'features', 'cpu', 'clock'],
  ...['on_poweroff', 'on_reboot', 'on_crash', 'devices'],
];

/** Throws `XmlError` where a disk is no throw-away image: then nothing is started. */
export function rehearsalDomain(xml: string, options: RehearsalDefinition): RehearsalDomain {
  const document = parseXml(xml, { root: 'domain' });
  const root = document.documentElement;
  const held = root === null ? undefined : elementAt(root, 'devices');
  if (root === null || held === undefined) throw new XmlError('it has no devices');
  root.setAttribute('type', options.domainType);
  for (const part of childElements(root)) if (!parts.includes(part.nodeName)) removeElement(part);
  prepend(document, root, options);
  if (options.domainType === 'qemu') withoutKvm(root);
  for (const name of ['nvram', 'loader'])
    for (const each of childElements(elementAt(root, 'os') ?? root, name)) removeElement(each);
  for (const device of childElements(held))
    if (devices[device.nodeName]?.(device) !== true) removeElement(device);
  for (const disk of childElements(held, 'disk')) discardable(disk, options.images);
  for (const [at, serial] of childElements(held, 'serial').entries())
    asTerminal(document, serial, at === 0 ? options.consolePath : undefined);
  for (const console of childElements(held, 'console')) asTerminal(document, console);
  for (const channel of childElements(held, 'channel')) asChannel(channel);
  const { networks, cards } = apart(document, childElements(held, 'interface'), options.as);
  return { as: options.as, xml: serializeXml(document), networks, cards };
}

/** Its own name, and whose it is. */
function prepend(
  document: Document,
  root: Element,
  { as, migrationId }: RehearsalDefinition,
): void {
  const metadata = `<metadata><vmferry:rehearsal xmlns:vmferry='${namespace}'><vmferry:migration>${escapeXml(migrationId)}</vmferry:migration></vmferry:rehearsal></metadata>`;
  const made = parseXml(
    `<domain><name>${escapeXml(as.name)}</name><uuid>${as.uuid}</uuid>${metadata}</domain>`,
    { root: 'domain' },
  ).documentElement;
  const first = root.firstChild;
  for (const element of made === null ? [] : childElements(made))
    root.insertBefore(document.importNode(element, true), first);
}

/** What only KVM has: a definition for it can be played by emulation, several times as slow. */
function withoutKvm(root: Element): void {
  const cpu = elementAt(root, 'cpu');
  for (const name of ['mode', 'check', 'match', 'migratable']) cpu?.removeAttribute(name);
  for (const child of cpu === undefined ? [] : childElements(cpu))
    if (child.nodeName !== 'topology') removeElement(child);
  const features = elementAt(root, 'features');
  for (const name of ['hyperv', 'kvm'])
    for (const each of features === undefined ? [] : childElements(features, name))
      removeElement(each);
  const clock = elementAt(root, 'clock');
  for (const timer of clock === undefined ? [] : childElements(clock, 'timer'))
    if (['hypervclock', 'kvmclock'].includes(attribute(timer, 'name'))) removeElement(timer);
}

/** A throw-away image that no power cut has to be survived by, or an empty drive. */
function discardable(disk: Element, images: readonly string[]): void {
  const source = elementAt(disk, 'source');
  if (source === undefined) {
    if (attribute(disk, 'device') === 'cdrom') return;
    throw new XmlError('it has a disk without an image');
  }
  const file = attribute(source, 'file');
  if (attribute(disk, 'type') !== 'file' || !images.includes(file))
    throw new XmlError(`its disk ${file} is no throw-away image`);
  elementAt(disk, 'driver')?.setAttribute('cache', 'unsafe');
}

/** A terminal of nobody; with a path, what the guest writes is kept there. */
function asTerminal(document: Document, device: Element, path?: string): void {
  device.setAttribute('type', 'pty');
  for (const name of ['source', 'protocol', 'log'])
    for (const each of childElements(device, name)) removeElement(each);
  if (path === undefined) return;
  const log = document.createElementNS(null, 'log');
  log.setAttribute('file', path);
  log.setAttribute('append', 'off');
  device.appendChild(log);
}

/** A socket of libvirt's own choice. */
function asChannel(channel: Element): void {
  channel.setAttribute('type', 'unix');
  for (const each of childElements(channel, 'source')) removeElement(each);
}

/** Cards keep address and model, by which the guest knows them; each planned network becomes a segment of its own. */
function apart(
  document: Document,
  elements: readonly Element[],
  as: RehearsalName,
): Pick<RehearsalDomain, 'networks' | 'cards'> {
  const segments: string[] = [];
  const cards = elements.map((card) => {
    const planned = elementAt(card, 'source');
    const key = `${attribute(card, 'type')}/${attribute(planned, 'bridge')}${attribute(planned, 'network')}`;
    if (!segments.includes(key)) segments.push(key);
    const segment = segments.indexOf(key);
    for (const child of childElements(card))
      if (!['mac', 'model', 'link'].includes(child.nodeName)) removeElement(child);
    for (const { name } of Array.from(card.attributes)) card.removeAttribute(name);
    card.setAttribute('type', 'network');
    const source = document.createElementNS(null, 'source');
    source.setAttribute('network', rehearsalNetwork(as, segment).name);
    card.appendChild(source);
    return { mac: attribute(elementAt(card, 'mac'), 'address'), segment };
  });
  return { networks: segments.map((_, segment) => rehearsalNetwork(as, segment)), cards };
}
