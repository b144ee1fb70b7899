/** libvirt's secrets: found by what a definition says of them, read where libvirt gives them out, made where missing. */
import { needsOperator } from '../../domain/errors.ts';
import type { SecretRef } from '../../domain/vm.ts';
import { SecretUsageType } from '../../protocols/libvirt/index.ts';
import type { Connection, SecretRef as LibvirtSecret } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import { isRefusal } from './faults.ts';
import type { ReadSecret } from './served-image.ts';
import { attribute, elementAt, parseXml, serializeXml } from './xml.ts';

/** A secret with its value, as it crosses between hosts. */
export interface SecretContent {
  uuid: string;
  /** `none`, or what the secret is for: `ceph`, `iscsi`, `volume`, `tls`, `vtpm`. */
  usageType: string;
  usage: string;
  /** Not kept on disk by libvirt. */
  ephemeral: boolean;
  value: Uint8Array;
}

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The secret that a definition means; undefined if this host's libvirt has none such. */
async function findSecret(
  connection: Connection,
  { uuid, usageType = '', usage = '' }: SecretRef,
): Promise<LibvirtSecret | undefined> {
  const type = usageNumber(usageType);
  try {
    if (uuid !== undefined) {
      // What is no UUID names no secret; the encoder would refuse it less kindly.
      if (!uuidPattern.test(uuid)) return undefined;
      return (await connection.call('SecretLookupByUUID', { uuid })).secret;
    }
    if (type === undefined || usage === '') return undefined;
    const found = await connection.call('SecretLookupByUsage', { usageType: type, usageId: usage });
    return found.secret;
  } catch (error) {
    if (isRefusal(error, 'NO_SECRET')) return undefined;
    throw error;
  }
}

const usageNumber = (type: string): number | undefined =>
  Object.entries(SecretUsageType).find(([name]) => name === type)?.[1];

type ReadValue =
  | { kind: 'value'; value: Uint8Array }
  /** The secret is there, its value was never set, or was ephemeral and is lost. */
  | { kind: 'unset' }
  /** Private, or not for us: libvirt uses it and gives it to nobody. */
  | { kind: 'kept' };

async function readValue(connection: Connection, secret: LibvirtSecret): Promise<ReadValue> {
  try {
    const { value } = await connection.call('SecretGetValue', { secret });
    return { kind: 'value', value };
  } catch (error) {
    if (isRefusal(error, 'NO_SECRET')) return { kind: 'unset' };
    const isKept = (['INVALID_SECRET', 'ACCESS_DENIED', 'OPERATION_DENIED'] as const).some((name) =>
      isRefusal(error, name),
    );
    if (isKept) return { kind: 'kept' };
    throw error;
  }
}

/**
 * Values for QEMU's programs, which open network disks as libvirt would. Rejects if this host's libvirt has no such
 * secret, or keeps it to itself.
 */
export const secretReader =
  (host: LibvirtHost): ReadSecret =>
  async (ref: SecretRef) =>
    host.use(async (connection) => {
      const secret = await findSecret(connection, ref);
      if (secret === undefined) throw new Error(`${host.name} has no secret ${nameOf(ref)}`);
      return (await connection.call('SecretGetValue', { secret })).value;
    });

const nameOf = ({ uuid, usageType = '', usage = '' }: SecretRef): string =>
  uuid ?? `for ${usageType} ${usage}`;

/** Each reference, and whether this host gives the value out. */
export async function readableSecrets(
  connection: Connection,
  refs: readonly SecretRef[],
): Promise<(SecretRef & { readable: boolean })[]> {
  const found: (SecretRef & { readable: boolean })[] = [];
  for (const ref of refs) {
    const secret = await findSecret(connection, ref);
    const read = secret && (await readValue(connection, secret));
    found.push({ ...ref, readable: read?.kind === 'value' });
  }
  return found;
}

/** Of these secrets the ones that are not there or have no value; a private one is taken to have its value. */
export async function missingSecrets(
  connection: Connection,
  refs: readonly SecretRef[],
): Promise<SecretRef[]> {
  const missing: SecretRef[] = [];
  for (const ref of refs) {
    const secret = await findSecret(connection, ref);
    if (secret === undefined || (await readValue(connection, secret)).kind === 'unset')
      missing.push(ref);
  }
  return missing;
}

/** Those of the references that can be taken along; the others the target must have by itself. */
export async function readSecrets(
  connection: Connection,
  refs: readonly SecretRef[],
): Promise<SecretContent[]> {
  const contents = new Map<string, SecretContent>();
  for (const ref of refs) {
    const secret = await findSecret(connection, ref);
    if (secret === undefined) continue;
    const read = await readValue(connection, secret);
    if (read.kind !== 'value') continue;
    const { xml } = await connection.call('SecretGetXMLDesc', { secret });
    const root = parseXml(xml, { root: 'secret' }).documentElement ?? undefined;
    const type = Object.entries(SecretUsageType).find(([, code]) => code === secret.usageType);
    contents.set(secret.uuid, {
      uuid: secret.uuid,
      usageType: type?.[0] ?? 'none',
      usage: secret.usageId,
      ephemeral: attribute(root, 'ephemeral') === 'yes',
      value: read.value,
    });
  }
  return [...contents.values()];
}

/**
 * Makes a secret that this host does not have, or gives a value to one that has none; one with a value stays as it
 * is, be it another: it is this host's. Safe to run twice. Throws `secret-in-the-way`.
 */
export async function ensureSecret(
  connection: Connection,
  content: SecretContent,
  host: string,
): Promise<void> {
  const { uuid, usageType, usage, value } = content;
  const found = await findSecret(connection, { uuid });
  if (found === undefined && usageType !== 'none') {
    const other = await findSecret(connection, { usageType, usage });
    if (other !== undefined) throw secretInTheWay(content, { host, other: other.uuid });
  }
  const secret =
    found ?? (await connection.call('SecretDefineXML', { xml: secretXml(content) })).secret;
  if ((await readValue(connection, secret)).kind !== 'unset') return;
  await connection.call('SecretSetValue', { secret, value });
}

/** Never private: it was given out where it comes from, and the next move has to read it again. */
function secretXml({ uuid, usageType, usage, ephemeral }: SecretContent): string {
  const document = parseXml('<secret private="no"><uuid/></secret>', { root: 'secret' });
  const root = document.documentElement;
  const uuidElement = root === null ? undefined : elementAt(root, 'uuid');
  if (root === null || uuidElement === undefined) return '';
  root.setAttribute('ephemeral', ephemeral ? 'yes' : 'no');
  uuidElement.textContent = uuid;
  if (usageType !== 'none') {
    const element = document.createElement('usage');
    element.setAttribute('type', usageType);
    const name = document.createElement(usageNames[usageType] ?? 'name');
    name.textContent = usage;
    element.appendChild(name);
    root.appendChild(element);
  }
  return serializeXml(document);
}

/** The element that names what a secret is for; the others call it `name`. */
const usageNames: Readonly<Record<string, string>> = { volume: 'volume', iscsi: 'target' };

const secretInTheWay = (
  { uuid, usageType, usage }: SecretContent,
  { host, other }: { host: string; other: string },
) =>
  needsOperator({
    code: 'secret-in-the-way',
    message: `${host} has the secret ${other} for ${usageType} ${usage}; the VM names ${uuid} for the same, and libvirt allows one`,
    remedy: `Give the VM that UUID, or undefine the secret on ${host} if nothing needs it, then \`vmferry retry\`.`,
    host,
  });
