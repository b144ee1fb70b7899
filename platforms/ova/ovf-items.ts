/** The hardware of a machine as an OVF lists it: items, one a device, in the terms of CIM's allocation settings. */
import type { Element } from '@xmldom/xmldom';
import { malformed } from './faults.ts';
import { attribute, child, childText, children, ovfChildren, parts } from './ovf-xml.ts';

/** CIM_ResourceAllocationSettingData.ResourceType, those that matter here. */
export const ResourceType = {
  other: 1,
  cpu: 3,
  memory: 4,
  ide: 5,
  scsi: 6,
  ethernet: 10,
  cd: 15,
  dvd: 16,
  disk: 17,
  storage: 20,
} as const;

/** A device. Texts are as they were written; empty if they were not. */
export interface OvfItem {
  id: string;
  type: number;
  /** `lsilogic`, `VmxNet3`, `AHCI`. */
  subtype: string;
  parent: string;
  /** The controller's own place, and the device's on its controller. */
  address: string;
  addressOnParent: string;
  hostResource: string;
  connection: string;
  quantity: string;
  units: string;
  automatic: boolean;
  element: Element;
}

/** A machine's hardware. */
export interface OvfHardware {
  section: Element | undefined;
  items: OvfItem[];
}

const maxItems = 4096;

/**
 * Items of the machine as it is deployed without further words: those of its default configuration, and of a range the
 * one that states the value. `path` is for errors. Throws `ova-malformed`.
 */
export function hardwareOf(root: Element, system: Element, path: string): OvfHardware {
  const [section] = parts(system, 'VirtualHardwareSection');
  if (section === undefined) return { section, items: [] };
  const configuration = defaultConfiguration(root);
  const byId = new Map<string, OvfItem>();
  const items: OvfItem[] = [];
  const elements = ovfChildren(section).filter(({ localName }) => itemNames.has(localName ?? ''));
  if (elements.length > maxItems)
    throw malformed(path, `a machine has more than ${maxItems} devices`);
  for (const element of elements) {
    const only = attribute(element, 'configuration');
    if (only !== '' && !only.split(/\s+/).includes(configuration)) continue;
    const bound = attribute(element, 'bound');
    if (bound !== '' && bound !== 'normal') continue;
    const item = itemOf(element);
    const before = item.id === '' ? undefined : byId.get(item.id);
    // One of a configuration takes the place of the general one with its ID.
    if (before !== undefined) items[items.indexOf(before)] = item;
    else items.push(item);
    byId.set(item.id, item);
  }
  return { section, items };
}

const itemNames = new Set(['Item', 'StorageItem', 'EthernetPortItem']);

function itemOf(element: Element): OvfItem {
  const text = (name: string): string => childText(element, name, 'cim');
  return {
    // oVirt writes it as OVF 0.9 did.
    id: text('InstanceID') || text('InstanceId'),
    type: Number(text('ResourceType')) || 0,
    subtype: text('ResourceSubType'),
    parent: text('Parent'),
    address: text('Address'),
    addressOnParent: text('AddressOnParent'),
    hostResource: text('HostResource'),
    connection: text('Connection'),
    quantity: text('VirtualQuantity'),
    units: text('AllocationUnits') || text('VirtualQuantityUnits'),
    automatic: text('AutomaticAllocation').toLowerCase() !== 'false',
    element,
  };
}

function defaultConfiguration(root: Element): string {
  const all = parts(root, 'DeploymentOptionSection').flatMap((one) =>
    children(one, 'Configuration'),
  );
  const chosen = all.find((one) => /^(?:true|1)$/.test(attribute(one, 'default'))) ?? all[0];
  return attribute(chosen, 'id');
}

/** What VMware adds to a machine or to a device, `<vmw:Config vmw:key= vmw:value=>`, by key in lower case. */
export function vmwareSettings(section: Element | undefined): Map<string, string> {
  const found = new Map<string, string>();
  if (section === undefined) return found;
  for (const name of ['Config', 'ExtraConfig']) {
    for (const one of children(section, name, 'vmware')) {
      const key = attribute(one, 'key', 'vmware').toLowerCase();
      found.set(key, attribute(one, 'value', 'vmware'));
    }
  }
  return found;
}

/** The description that VirtualBox adds of its own; its inner elements have no namespace of theirs. */
export const virtualBoxHardware = (system: Element): Element | undefined => {
  const machine = child(system, 'Machine', 'virtualbox');
  return machine && (child(machine, 'Hardware') ?? child(machine, 'Hardware', 'virtualbox'));
};
