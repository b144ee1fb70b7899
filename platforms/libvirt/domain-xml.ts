/**
 * A domain's definition as a document: read, changed in small places, written back. Whatever vmferry does
 * not know (comments, foreign namespaces, elements of newer libvirt versions) stays as it was.
 */
import { createHash } from 'node:crypto';
import type { Document, Element } from '@xmldom/xmldom';
import type { DiskFormat } from '../../domain/vm.ts';
import { setElementPlace } from './disk-place.ts';
import type { ElementPlace } from './disk-place.ts';
import { diskElements, readDomainFacts } from './domain-facts.ts';
import type { DefinedFacts } from './domain-facts.ts';
import {
  attribute,
  childElements,
  elementAt,
  parseXml,
  removeElement,
  serializeXml,
} from './xml.ts';
import { XmlError, textOf } from './xml.ts';

/** Namespace of vmferry's element in a definition's `<metadata>`. */
export const metadataNamespace = 'urn:vmferry:domain:1';

/**
 * vmferry's note in a definition. A copy for people: the guard's ledger decides, never this, since a managed
 * save, a snapshot revert or a fresh define gets past it.
 */
export interface OwnershipNote {
  /** Host that owns the VM. */
  owner: string;
  epoch: number;
  /** Migration that wrote the note. */
  move: string;
  /** Token that lets one live migration in: the guard's hook asks for it. Never in a definition that is kept. */
  admit?: string;
}

/** A disk's new place on the target. */
export interface DiskPlace extends ElementPlace {
  /** Target name in the guest: `vda`. */
  name: string;
  /** The format there, if it changes. */
  format?: DiskFormat;
  /** Set for a disk that was not copied: its chain is still below it. */
  keepBacking?: true;
}

export interface MendOptions {
  /** Only the disks that get a new place; others stay as they are. */
  disks: readonly DiskPlace[];
  note: OwnershipNote;
  /** A clone's own identity. */
  identity?: { uuid: string; name: string };
  /** The emulator on the target; `default` lets libvirt choose by type, architecture and machine. */
  emulator?: 'default' | { path: string };
}

export class DomainDocument {
  readonly #document: Document;

  private constructor(document: Document) {
    this.#document = document;
  }

  /** Throws `XmlError` if the text is no `<domain>` within the bounds of `parseXml`. */
  static parse(xml: string): DomainDocument {
    return new DomainDocument(parseXml(xml, { root: 'domain' }));
  }

  toString(): string {
    return serializeXml(this.#document);
  }

  /** Throws `XmlError` if the definition lacks what every domain has. */
  facts(): DefinedFacts {
    return readDomainFacts(this.#root());
  }

  setUuid(uuid: string): void {
    this.#setText('uuid', uuid);
  }

  setName(name: string): void {
    this.#setText('name', name);
  }

  /** Sets or, with `default`, removes the emulator's path. */
  setEmulator(emulator: 'default' | { path: string }): void {
    const element = elementAt(this.#devices(), 'emulator');
    if (emulator === 'default') {
      if (element !== undefined) removeElement(element);
      return;
    }
    this.#ensureChild(this.#devices(), 'emulator').textContent = emulator.path;
  }

  /**
   * Points a disk to a file, a device or a network image. Where the kind changes, what belongs to the old place goes
   * (pool, protocol, servers, login, slices); encryption, security labels and what vmferry does not know stay.
   */
  setDiskPlace(name: string, place: ElementPlace): void {
    setElementPlace(this.#disk(name), place);
  }

  /** States the image's format, e.g. after a copy from qcow2 into a raw volume. */
  setDiskFormat(name: string, format: DiskFormat): void {
    const disk = this.#disk(name);
    // libvirt takes an unstated format as raw; what is so already is not written down anew.
    if ((attribute(elementAt(disk, 'driver'), 'type') || 'raw') === format) return;
    this.#ensureChild(disk, 'driver').setAttribute('type', format);
  }

  /**
   * Removes what the definition says of a backing chain. A copy holds the whole disk, so an old chain would
   * be wrong; with nothing said, libvirt reads the image's own header.
   */
  removeBackingStore(name: string): void {
    const disk = this.#disk(name);
    for (const child of ['backingStore', 'mirror']) {
      for (const element of childElements(disk, child)) removeElement(element);
    }
    // A qcow2's data in a file of its own comes into the copy, too.
    const dataStore = elementAt(disk, 'source', 'dataStore');
    if (dataStore !== undefined) removeElement(dataStore);
  }

  /** Writes vmferry's note, in place of an older one; other metadata stays. */
  setNote(note: OwnershipNote): void {
    const metadata = this.#ensureChild(this.#root(), 'metadata');
    for (const old of this.#notes()) removeElement(old);
    const element = this.#document.createElementNS(metadataNamespace, 'vmferry:vm');
    element.setAttributeNS('http://www.w3.org/2000/xmlns/', 'xmlns:vmferry', metadataNamespace);
    const values = {
      ...{ owner: note.owner, epoch: String(note.epoch), move: note.move },
      ...(note.admit === undefined ? {} : { admit: note.admit }),
    };
    for (const [key, value] of Object.entries(values)) {
      const child = this.#document.createElementNS(metadataNamespace, `vmferry:${key}`);
      child.textContent = value;
      element.appendChild(child);
    }
    metadata.appendChild(element);
  }

  /** vmferry's note; undefined if there is none or it makes no sense. */
  note(): OwnershipNote | undefined {
    const element = this.#notes()[0];
    if (element === undefined) return undefined;
    const value = (key: string): string =>
      textOf(childElements(element).find((child) => child.localName === key));
    const epoch = Number(value('epoch') || Number.NaN);
    return Number.isSafeInteger(epoch)
      ? { owner: value('owner'), epoch, move: value('move') }
      : undefined;
  }

  /**
   * Removes what only a running domain has: its ID, aliases that libvirt gave, names of taps and terminals,
   * dynamic security labels. A definition read as inactive has none of these.
   */
  removeRuntimeParts(): void {
    const root = this.#root();
    root.removeAttribute('id');
    for (const label of childElements(root, 'seclabel')) {
      if (attribute(label, 'type') === 'dynamic') removeElement(label);
    }
    for (const device of childElements(this.#devices())) removeRuntimePartsOf(device);
  }

  /** All that a definition needs before it can live on the target. */
  mendForTarget(options: MendOptions): void {
    this.removeRuntimeParts();
    if (options.identity !== undefined) {
      this.setUuid(options.identity.uuid);
      this.setName(options.identity.name);
    }
    if (options.emulator !== undefined) this.setEmulator(options.emulator);
    this.#placeDisks(options.disks);
    this.setNote(options.note);
  }

  /** What the definition of a running guest needs for its arrival on the target: all that the guest sees stays. */
  mendForArrival(options: { disks: readonly DiskPlace[]; note: OwnershipNote }): void {
    this.#placeDisks(options.disks);
    this.setNote(options.note);
  }

  /** SHA-256 of the text, hex: two definitions with one digest are the same. */
  digest(): string {
    return createHash('sha256').update(this.toString()).digest('hex');
  }

  #placeDisks(disks: readonly DiskPlace[]): void {
    for (const disk of disks) {
      this.setDiskPlace(disk.name, disk);
      if (disk.keepBacking !== true) this.removeBackingStore(disk.name);
      if (disk.format !== undefined) this.setDiskFormat(disk.name, disk.format);
    }
  }

  #root(): Element {
    const root = this.#document.documentElement;
    if (root === null) throw new XmlError('it has no root element');
    return root;
  }

  #devices(): Element {
    return this.#ensureChild(this.#root(), 'devices');
  }

  #disk(name: string): Element {
    const disk = diskElements(this.#devices()).get(name);
    if (disk === undefined) throw new XmlError(`it has no disk ${name}`);
    return disk;
  }

  #notes(): Element[] {
    const metadata = elementAt(this.#root(), 'metadata');
    return metadata === undefined
      ? []
      : childElements(metadata).filter((element) => element.namespaceURI === metadataNamespace);
  }

  #setText(name: string, text: string): void {
    this.#ensureChild(this.#root(), name).textContent = text;
  }

  #ensureChild(parent: Element, name: string): Element {
    const found = elementAt(parent, name);
    if (found !== undefined) return found;
    // Children of a domain have no namespace; the parent's must not be inherited from a prefix.
    const made = this.#document.createElementNS(null, name);
    parent.appendChild(made);
    return made;
  }
}

function removeRuntimePartsOf(device: Element): void {
  for (const alias of childElements(device, 'alias')) {
    // Names that a person gave begin with `ua-` and belong to the definition.
    if (!attribute(alias, 'name').startsWith('ua-')) removeElement(alias);
  }
  elementAt(device, 'source')?.removeAttribute('index');
  const target = elementAt(device, 'target');
  if (device.nodeName === 'interface' && /^(?:vnet|macvtap)\d+$/.test(attribute(target, 'dev'))) {
    target?.removeAttribute('dev');
    if (target?.attributes.length === 0 && childElements(target).length === 0)
      removeElement(target);
  }
  if (device.nodeName === 'console' || device.nodeName === 'serial') {
    device.removeAttribute('tty');
    if (attribute(device, 'type') === 'pty') elementAt(device, 'source')?.removeAttribute('path');
  }
}
