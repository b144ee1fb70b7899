/**
 * What libvirt keeps of a VM, as one run of bytes: a line that names the format, the length of an index (32 bits, big
 * end first), the index in JSON, then the contents in the index's order. It comes from another host and is hostile
 * input: bounded, checked whole before anything of it is used, and without a path in it.
 */
import { z } from 'zod';
import type { SecretContent } from './secrets.ts';
import type { SnapshotContent } from './snapshots.ts';

/** Everything together; a UEFI guest with a TPM has half a MiB. */
export const maxParcelBytes = 64 * 1024 ** 2;
export const maxParcelEntries = 64;

const formatLine = Buffer.from('vmferry state 1\n');
const maxIndexBytes = 64 * 1024;

/** Name of libvirt's folder for a TPM's state, by its version. */
export type TpmVersion = 'tpm2' | 'tpm1.2';

/** The state of an emulated TPM: the emulator's files, in one folder. */
export interface TpmContent {
  version: TpmVersion;
  files: { name: string; content: Uint8Array }[];
}

/** What a parcel holds. */
export interface StateContent {
  uuid: string;
  /** UEFI variables, raw or qcow2 as the definition says. */
  nvram?: Uint8Array;
  tpm?: TpmContent;
  secrets: SecretContent[];
  /** Parents before children. */
  snapshots: SnapshotContent[];
}

/** The bytes are no parcel, or not one within the bounds; `message` is a clause that says why. */
export class ParcelError extends Error {
  override readonly name = 'ParcelError';
}

/** A plain file name that begins with no dot: no path, no lock file, nothing hidden. */
export const isTpmFileName = (name: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name);

const bytes = z.int().nonnegative().max(maxParcelBytes);
const uuid = z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const entrySchema = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('nvram'), bytes }),
  z.strictObject({
    role: z.literal('tpm'),
    version: z.enum(['tpm2', 'tpm1.2']),
    name: z.string().refine(isTpmFileName),
    bytes,
  }),
  z.strictObject({
    role: z.literal('secret'),
    uuid,
    usageType: z.enum(['none', 'volume', 'ceph', 'iscsi', 'tls', 'vtpm']),
    usage: z.string().max(4096),
    ephemeral: z.boolean(),
    bytes: bytes.max(65_536),
  }),
  z.strictObject({ role: z.literal('snapshot'), current: z.boolean(), bytes }),
]);
type Entry = z.infer<typeof entrySchema>;
const indexSchema = z.strictObject({ uuid, entries: z.array(entrySchema).max(maxParcelEntries) });

/** Writes a parcel; throws `ParcelError` if it came out beyond the bounds. */
export function encodeParcel(state: StateContent): Buffer {
  const parts = partsOf(state);
  if (parts.length > maxParcelEntries) {
    throw new ParcelError(
      `it has ${parts.length} parts, more than the ${maxParcelEntries} allowed`,
    );
  }
  const index = Buffer.from(
    JSON.stringify({ uuid: state.uuid, entries: parts.map(({ entry }) => entry) }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(index.byteLength);
  const parcel = Buffer.concat([formatLine, length, index, ...parts.map(({ content }) => content)]);
  if (parcel.byteLength > maxParcelBytes || index.byteLength > maxIndexBytes) {
    throw new ParcelError(
      `it has ${parcel.byteLength} bytes, more than the ${maxParcelBytes} allowed`,
    );
  }
  return parcel;
}

interface Part {
  entry: Entry;
  content: Uint8Array;
}

function partsOf({ nvram, tpm, secrets, snapshots }: StateContent): Part[] {
  const variables: Part[] =
    nvram === undefined
      ? []
      : [{ entry: { role: 'nvram', bytes: nvram.byteLength }, content: nvram }];
  const files = (tpm?.files ?? []).map(({ name, content }): Part => {
    const version = tpm?.version ?? 'tpm2';
    return { entry: { role: 'tpm', version, name, bytes: content.byteLength }, content };
  });
  const values = secrets.map(({ value, ...secret }): Part => {
    const entry = { role: 'secret', ...secret, bytes: value.byteLength };
    return { entry: entrySchema.parse(entry), content: value };
  });
  const noted = snapshots.map(({ xml, current }): Part => {
    const content = Buffer.from(xml);
    return { entry: { role: 'snapshot', current, bytes: content.byteLength }, content };
  });
  return [...variables, ...files, ...values, ...noted];
}

/** Reads a parcel; throws `ParcelError` if anything of it is not as `encodeParcel` writes it. */
export function decodeParcel(parcel: Buffer): StateContent {
  const { index, contents } = openParcel(parcel);
  const state: StateContent = { uuid: index.uuid, secrets: [], snapshots: [] };
  let offset = 0;
  for (const entry of index.entries) {
    const content = contents.subarray(offset, offset + entry.bytes);
    if (content.byteLength !== entry.bytes) throw new ParcelError('it is cut off');
    offset += entry.bytes;
    addEntry(state, entry, content);
  }
  if (offset !== contents.byteLength) throw new ParcelError('it has bytes that its index lacks');
  return state;
}

function openParcel(parcel: Buffer): { index: z.infer<typeof indexSchema>; contents: Buffer } {
  if (parcel.byteLength > maxParcelBytes) throw new ParcelError('it is too large');
  const start = formatLine.byteLength + 4;
  if (parcel.byteLength < start || !parcel.subarray(0, formatLine.byteLength).equals(formatLine)) {
    throw new ParcelError('it is not in the format that this version knows');
  }
  const indexBytes = parcel.readUInt32BE(formatLine.byteLength);
  if (indexBytes > maxIndexBytes || start + indexBytes > parcel.byteLength) {
    throw new ParcelError('its index is cut off or too large');
  }
  const parsed = indexSchema.safeParse(parseJson(parcel.subarray(start, start + indexBytes)));
  if (!parsed.success) throw new ParcelError('its index is not understood');
  return { index: parsed.data, contents: parcel.subarray(start + indexBytes) };
}

function parseJson(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Adds one entry; what may be there once must not come twice, else the later would win in silence. */
function addEntry(state: StateContent, entry: Entry, content: Buffer): void {
  switch (entry.role) {
    case 'nvram':
      if (state.nvram !== undefined) throw new ParcelError('it has UEFI variables twice');
      state.nvram = content;
      return;
    case 'tpm': {
      const tpm = (state.tpm ??= { version: entry.version, files: [] });
      const isTwice = tpm.files.some(({ name }) => name === entry.name);
      if (isTwice || tpm.version !== entry.version)
        throw new ParcelError('it has the state of two TPMs');
      tpm.files.push({ name: entry.name, content });
      return;
    }
    case 'secret': {
      const { uuid, usageType, usage, ephemeral } = entry;
      if (state.secrets.some((secret) => secret.uuid === uuid))
        throw new ParcelError(`it has the secret ${uuid} twice`);
      state.secrets.push({ uuid, usageType, usage, ephemeral, value: content });
      return;
    }
    case 'snapshot':
      if (entry.current && state.snapshots.some(({ current }) => current))
        throw new ParcelError('it has two current snapshots');
      state.snapshots.push({ xml: content.toString('utf8'), current: entry.current });
  }
}
