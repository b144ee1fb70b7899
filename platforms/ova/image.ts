/** Which image a file of an OVA holds, and the disk in it. Nothing but the file's own bytes is ever opened. */
import type { DiskSource } from '../../domain/platform.ts';
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { malformed, unsupported } from './faults.ts';
import { isQcow2, openQcow2, qcow2Capacity } from './qcow2.ts';
import { RawDisk } from './raw-disk.ts';
import { SparseDisk } from './sparse-disk.ts';
import { openVhd, vhdCapacity } from './vhd.ts';
import { openVmdk } from './vmdk-grains.ts';
import { dataElsewhere, isVmdk, vmdkCapacity } from './vmdk-header.ts';

/** What the OVF says of an image; `unknown` is found out by its first bytes. */
export type StatedFormat = 'vmdk' | 'vhd' | 'raw' | 'unknown';

/** Bytes from which an image is told. */
export const startBytes = 512;

type Kind = 'vmdk' | 'vhd' | 'qcow2' | 'raw';

const refusals: readonly { start: string; name: string }[] = [
  { start: 'vhdxfile', name: 'a VHDX image' },
  { start: 'COWD', name: "an image of ESX's own sparse kind" },
];

/**
 * A raw disk is told by what the OVF says: its first bytes are the guest's, who could make them look like an image.
 * Throws `ova-unsupported`, `ova-malformed`.
 */
function kindOf(start: Buffer, stated: StatedFormat, what: string): Kind {
  if (stated === 'raw') return 'raw';
  if (isVmdk(start)) return 'vmdk';
  if (stated !== 'vmdk' && isQcow2(start)) return 'qcow2';
  const text = start.toString('latin1');
  if (/^\s*# Disk DescriptorFile/i.test(text)) throw dataElsewhere(what, 'a descriptor');
  const refused = refusals.find((one) => text.startsWith(one.start));
  if (refused !== undefined) {
    const remedy =
      'Convert it to raw or stream-optimized VMDK (qemu-img convert), and the OVF with it.';
    throw unsupported(what, `it holds ${refused.name}`, remedy);
  }
  if (stated === 'vmdk') throw malformed(what, 'it is no VMDK, though its OVF says so');
  return stated === 'vhd' || text.startsWith('conectix') ? 'vhd' : 'raw';
}

/** The disk's size; of a gzipped image its start is given. Throws as `openImage`. */
export async function imageCapacity(
  { bytes, start }: { bytes: Bytes | undefined; start: Buffer },
  stated: StatedFormat,
  what: string,
): Promise<number | undefined> {
  switch (kindOf(start, stated, what)) {
    case 'vmdk':
      return vmdkCapacity(start, what);
    case 'qcow2':
      return qcow2Capacity(start, what);
    case 'vhd':
      return bytes && vhdCapacity(bytes, what);
    case 'raw':
      return bytes?.sizeBytes;
  }
}

/** `close` gives back what the bytes are of. Throws `ova-unsupported`, `ova-malformed`, `source-changed`. */
export async function openImage(
  bytes: Bytes,
  options: { stated: StatedFormat; what: string; close: () => Promise<void>; signal?: AbortSignal },
): Promise<DiskSource> {
  const { stated, what, close, signal } = options;
  const length = Math.min(startBytes, bytes.sizeBytes);
  const start = await readPart(bytes, { offset: 0, length }, signal);
  switch (kindOf(start, stated, what)) {
    case 'vmdk':
      return new SparseDisk(await openVmdk(bytes, what, signal), close);
    case 'qcow2':
      return new SparseDisk(await openQcow2(bytes, what, signal), close);
    case 'vhd':
      return openVhd(bytes, { what, close });
    case 'raw':
      return new RawDisk(bytes, close);
  }
}
