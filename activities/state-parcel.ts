import { createHash } from 'node:crypto';
import { unsafe } from '../domain/errors.ts';
import type { EnsureStateInput, ExportEndpoint, OfferStateInput, Parcel } from './contract.ts';
import { blockBytes, offerBytes } from './offer.ts';
import { whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';

/** The export and the file of the move's folder that hold the parcel: it may hold secrets. */
const stateExport = 'state';
export const offeredState = 'state.raw';
/** Largest parcel that is taken over, bytes. */
const maxParcelBytes = 64 * 1024 * 1024;

/** What libvirt keeps of the stopped VM beside definition and disks, shown to the target's certificate alone. */
export async function offerState(
  parts: HostParts,
  input: OfferStateInput,
  signal: AbortSignal,
): Promise<Parcel> {
  const { hypervisor } = parts;
  const { vm, disks } = input;
  const options = {
    ref: input,
    states: ['migrating-out'] as const,
    operation: 'offer the state',
    signal,
  };
  return whileOurs(parts, options, async () => {
    const parcel = await hypervisor.packState(vm.uuid, { snapshots: allShared(disks) });
    const endpoint = await offerBytes(parts, input, {
      name: stateExport,
      file: offeredState,
      bytes: parcel,
    });
    return { endpoint, hash: hashOf(parcel), sizeBytes: parcel.length };
  });
}

/** Snapshots live in the images: their metadata is worth something only where the images themselves stay. */
const allShared = (disks: OfferStateInput['disks']): boolean =>
  disks.every(({ how }) => how === 'shared');

/** Takes the parcel over and puts it where this host's libvirt looks for it. */
export async function ensureState(
  parts: HostParts,
  input: EnsureStateInput,
  signal: AbortSignal,
): Promise<void> {
  const { parcel } = input;
  const bytes = await readParcel(parts, parcel, signal);
  const options = {
    ref: input,
    states: ['incoming'] as const,
    operation: 'take over the state',
    signal,
  };
  await whileOurs(parts, options, () => parts.hypervisor.unpackState(input.vm.uuid, bytes));
}

async function readParcel(
  { dataPlane, name }: HostParts,
  { endpoint, hash, sizeBytes }: Parcel,
  signal: AbortSignal,
): Promise<Buffer> {
  if (sizeBytes > maxParcelBytes) throw damaged(name, endpoint, 'it is too large');
  const remote = await dataPlane.openRemote(endpoint, { signal, host: name, isSmall: true });
  try {
    if (remote.sizeBytes < sizeBytes) throw damaged(name, endpoint, 'it is cut short');
    const whole = Buffer.alloc(Math.ceil(sizeBytes / blockBytes) * blockBytes);
    if (whole.length > 0) await remote.read(0, whole, signal);
    const bytes = whole.subarray(0, sizeBytes);
    if (hashOf(bytes) !== hash) throw damaged(name, endpoint, 'its hash differs');
    return bytes;
  } finally {
    await remote.close();
  }
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const damaged = (host: string, { serverName }: ExportEndpoint, why: string) =>
  unsafe({
    code: 'state-damaged',
    message: `what ${host} read of the VM's state from ${serverName} is not what was offered: ${why}`,
    remedy:
      'Something between the hosts answers in the place of the source. Check addresses and certificates.',
    host,
  });
