/** The other devices of a VM: cards, drives, and what cannot come along. */
import type { XmlElement } from '../../protocols/soap/index.ts';
import type { ForeignNic } from '../../domain/foreign.ts';
import { childOf, textOf, typeOf } from '../../protocols/soap/index.ts';
import { isTrueAt, nameOf, plainAt } from './numbers.ts';

const models: Readonly<Record<string, string>> = {
  VirtualVmxnet3: 'vmxnet3',
  VirtualVmxnet3Vrdma: 'vmxnet3',
  VirtualVmxnet2: 'vmxnet2',
  VirtualVmxnet: 'vmxnet',
  VirtualE1000: 'e1000',
  VirtualE1000e: 'e1000e',
  VirtualPCNet32: 'pcnet32',
  VirtualSriovEthernetCard: 'sriov',
};

/** In the order of the machine; `nameOfNetwork` knows distributed port groups and opaque networks by their keys. */
export const nicsOf = (
  devices: readonly XmlElement[],
  nameOfNetwork: (key: string) => string,
): ForeignNic[] =>
  devices.flatMap((device) => {
    const model = models[typeOf(device)];
    if (model === undefined) return [];
    return [
      {
        key: plainAt(device, 'key'),
        mac: macOf(textOf(device, 'macAddress')),
        network: networkOf(childOf(device, 'backing'), nameOfNetwork),
        model,
        // Of a VM that is off no card is connected; what counts is whether it would be.
        connected:
          isTrueAt(device, 'connectable', 'connected') ||
          isTrueAt(device, 'connectable', 'startConnected'),
      },
    ];
  });

/** What cards name their distributed port groups by. */
export const portGroupsOf = (devices: readonly XmlElement[]): string[] =>
  devices
    .map((device) => plainAt(device, 'backing', 'port', 'portgroupKey'))
    .filter((key) => key !== '');

/** Lower case, colons; empty if it is none. */
export function macOf(text: string): string {
  const mac = text.toLowerCase().replaceAll('-', ':');
  return /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/.test(mac) ? mac : '';
}

function networkOf(
  backing: XmlElement | undefined,
  nameOfNetwork: (key: string) => string,
): string {
  const group = plainAt(backing, 'port', 'portgroupKey');
  if (group !== '') return nameOfNetwork(group);
  const opaque = plainAt(backing, 'opaqueNetworkId');
  return opaque === '' ? nameOf(textOf(backing, 'deviceName')) : nameOfNetwork(opaque);
}

/** Paths of media; an empty drive, or one of a client or a host, is an empty string. */
export const cdromsOf = (devices: readonly XmlElement[]): string[] =>
  devices
    .filter((device) => typeOf(device) === 'VirtualCdrom')
    .map((device) => plainAt(device, 'backing', 'fileName'));

const fixed: Readonly<Record<string, (device: XmlElement) => string>> = {
  VirtualPCIPassthrough: (device) => `PCI passthrough ${idOf(device)}`,
  VirtualSriovEthernetCard: (device) => `SR-IOV network card ${idOf(device)}`,
  VirtualSCSIPassthrough: (device) => `SCSI passthrough ${idOf(device)}`,
  VirtualUSB: (device) => `USB device of the host ${idOf(device)}`,
  VirtualParallelPort: () => 'parallel port of the host',
};

const idOf = (device: XmlElement): string =>
  [
    plainAt(device, 'backing', 'id') ||
      plainAt(device, 'backing', 'vgpu') ||
      plainAt(device, 'sriovBacking', 'physicalFunctionBacking', 'id') ||
      plainAt(device, 'backing', 'deviceName') ||
      plainAt(device, 'deviceInfo', 'label'),
  ]
    .join('')
    .trim();

export const fixedDevicesOf = (devices: readonly XmlElement[]): string[] =>
  devices.flatMap((device) => fixed[typeOf(device)]?.(device).trim() ?? []);

export const hasTpm = (devices: readonly XmlElement[]): boolean =>
  devices.some((device) => typeOf(device) === 'VirtualTPM');
