/** UEFI firmware that libvirt chooses by itself (`<os firmware='efi'>`), and what a host offers for a machine. */
import type { Element } from '@xmldom/xmldom';
import type { MachineOffer } from '../../domain/host.ts';
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

/** Undefined if the host has no such machine. */
export async function readMachineOffer(
  connection: Connection,
  machine: Pick<VmFacts, 'domainType' | 'arch' | 'machine'>,
): Promise<MachineOffer | undefined> {
  const capabilities = await readDomainCapabilities(connection, machine);
  return capabilities === '' ? undefined : machineOfferOf(capabilities);
}

/** Throws `XmlError` if it is no `<domainCapabilities>`. */
export function machineOfferOf(xml: string): MachineOffer {
  const bounds = { root: 'domainCapabilities', maxBytes: maxCapabilitiesBytes };
  const root = parseXml(xml, bounds).documentElement;
  if (root === null) throw new XmlError('it is empty');
  const os = elementAt(root, 'os');
  const loader = os && elementAt(os, 'loader');
  const isUefi = choicesOf(os, 'firmware')?.includes('efi') === true;
  const secure = choicesOf(loader, 'secure');
  const tpm = elementAt(root, 'devices', 'tpm');
  // Older versions tell of no TPM at all; where there is no program to emulate one, only the host's own chip is left.
  const backends = attribute(tpm, 'supported') === 'no' ? [] : choicesOf(tpm, 'backendModel');
  return {
    efiLoaders: isUefi ? valuesOf(loader) : [],
    ...(secure === undefined ? {} : { secureBoot: secure.includes('yes') }),
    ...(backends === undefined ? {} : { tpm: backends.includes('emulator') }),
  };
}

/** What libvirt takes for an attribute or element; undefined if it does not say. */
const choicesOf = (element: Element | undefined, name: string): string[] | undefined => {
  const found =
    element && childElements(element, 'enum').find((one) => attribute(one, 'name') === name);
  return found && valuesOf(found);
};

const valuesOf = (element: Element | undefined): string[] =>
  element === undefined ? [] : childElements(element, 'value').map(textOf);
