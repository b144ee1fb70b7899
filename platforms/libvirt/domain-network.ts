/** Network disks and secrets as a definition names them. */
import type { Element } from '@xmldom/xmldom';
import type { NetworkPlace, SecretRef } from '../../domain/vm.ts';
import { attribute, childElements, elementAt } from './xml.ts';

const protocols = ['rbd', 'iscsi', 'nfs', 'nbd'] as const;

/** The place of a `<source protocol=...>`; a login may stand beside the source or in it. */
export function readNetworkPlace(disk: Element, source: Element | undefined): NetworkPlace {
  const stated = attribute(source, 'protocol');
  const hosts = source === undefined ? [] : childElements(source, 'host').map(readHost);
  const auth = elementAt(disk, 'auth') ?? (source && elementAt(source, 'auth'));
  const secret = auth && elementAt(auth, 'secret');
  const place: NetworkPlace = {
    protocol: protocols.find((each) => each === stated) ?? 'other',
    name: attribute(source, 'name'),
    hosts,
  };
  return secret === undefined
    ? place
    : { ...place, auth: { username: attribute(auth, 'username'), secret: readSecretRef(secret) } };
}

/** A socket's path stands where others have a name. */
function readHost(element: Element): { name: string; port?: number } {
  const name = attribute(element, 'name') || attribute(element, 'socket');
  const port = Number(attribute(element, 'port'));
  return Number.isSafeInteger(port) && port > 0 ? { name, port } : { name };
}

/** A `<secret>` by its UUID, or by what it is for; an encryption's `passphrase` is kept for a volume. */
export function readSecretRef(element: Element): SecretRef {
  const uuid = attribute(element, 'uuid').toLowerCase();
  if (uuid !== '') return { uuid };
  const type = attribute(element, 'type');
  return {
    usageType: type === 'passphrase' ? 'volume' : type,
    usage: attribute(element, 'usage'),
  };
}

/** Every secret that a disk names: logins and keys of its encryption, also of its backing images. */
export const diskSecrets = (disk: Element): SecretRef[] =>
  distinctSecrets(
    descendants(disk)
      .filter(({ nodeName }) => nodeName === 'auth' || nodeName === 'encryption')
      .flatMap((element) => childElements(element, 'secret'))
      .map(readSecretRef),
  );

/** Whether any image of the chain is encrypted below the guest. */
export const isEncrypted = (disk: Element): boolean =>
  descendants(disk).some(({ nodeName }) => nodeName === 'encryption');

/** The disks' secrets and those that emulated TPMs and devices log in or are encrypted with. */
export function definitionSecrets(devices: Element | undefined): SecretRef[] {
  if (devices === undefined) return [];
  const tpms = childElements(devices, 'tpm').flatMap((tpm) => {
    const uuid = attribute(elementAt(tpm, 'backend', 'encryption'), 'secret').toLowerCase();
    return uuid === '' ? [] : [{ uuid }];
  });
  return distinctSecrets([...childElements(devices).flatMap(diskSecrets), ...tpms]);
}

/** Two references are one if they say the same; order stays. */
function distinctSecrets(refs: readonly SecretRef[]): SecretRef[] {
  return [...new Map(refs.map((ref) => [secretKey(ref), ref])).values()];
}

/** One text a reference, for comparing. */
export const secretKey = ({ uuid, usageType, usage }: SecretRef): string =>
  uuid ?? `${usageType ?? ''}:${usage ?? ''}`;

const descendants = (element: Element): Element[] => [
  element,
  ...childElements(element).flatMap(descendants),
];
