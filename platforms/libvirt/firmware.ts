/** UEFI firmware that libvirt chooses by itself (`<os firmware='efi'>`), and what a host has to choose from. */
import type { Element } from '@xmldom/xmldom';
import type { VmFacts } from '../../domain/vm.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { maxCapabilitiesBytes, readDomainCapabilities } from './domain-capabilities.ts';
import { XmlError, attribute, childElements, elementAt, parseXml, textOf } from './xml.ts';

/** Newer versions write down which file they chose and still ask their descriptors for it: then `loader` names it. */
export interface ChosenFirmware {
  loader: string;
}

/** Undefined where the definition leaves no UEFI firmware to libvirt. */
export function readChosenFirmware(domain: Element): ChosenFirmware | undefined {
  const os = elementAt(domain, 'os');
  if (attribute(os, 'firmware') !== 'efi') return undefined;
  return { loader: textOf(os && elementAt(os, 'loader')) };
}

/**
 * Files that the host's libvirt chooses from for such a machine, the preferred one first; none if it has no UEFI
 * firmware for it, undefined if it has no such machine.
 */
export async function readEfiLoaders(
  connection: Connection,
  machine: Pick<VmFacts, 'domainType' | 'arch' | 'machine'>,
): Promise<string[] | undefined> {
  const capabilities = await readDomainCapabilities(connection, machine);
  return capabilities === '' ? undefined : efiLoadersOf(capabilities);
}

/** Throws `XmlError` if it is no `<domainCapabilities>`. */
export function efiLoadersOf(xml: string): string[] {
  const bounds = { root: 'domainCapabilities', maxBytes: maxCapabilitiesBytes };
  const root = parseXml(xml, bounds).documentElement;
  if (root === null) throw new XmlError('it is empty');
  const os = elementAt(root, 'os');
  const loader = os && elementAt(os, 'loader');
  const kinds =
    os && childElements(os, 'enum').find((one) => attribute(one, 'name') === 'firmware');
  return valuesOf(kinds).includes('efi') ? valuesOf(loader) : [];
}

const valuesOf = (element: Element | undefined): string[] =>
  element === undefined ? [] : childElements(element, 'value').map(textOf);
