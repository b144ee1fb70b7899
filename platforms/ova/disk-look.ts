/** What the image of a disk says of itself, or why it cannot be read: told before a move, not in its middle. */
import { VmFerryError } from '../../domain/errors.ts';
import { readPart } from './bytes.ts';
import { findDiskFile } from './disk-file.ts';
import { malformed, unsupported } from './faults.ts';
import { gunzipStart } from './gunzip.ts';
import { imageCapacity, startBytes } from './image.ts';
import type { OvfDisk } from './ovf-envelope.ts';
import type { OvaPackage } from './package.ts';

export interface DiskLook {
  /** Of the image; what the OVF states where the image cannot be asked. */
  capacityBytes: number;
  /** Bytes of the file in the package; 0 if there is none. */
  fileBytes: number;
  /** Why it cannot be moved. */
  fault?: VmFerryError;
}

/** Rejects only with the signal's reason and with what is no fault of the disk. */
export async function lookAtDisk(
  ova: OvaPackage,
  disk: OvfDisk,
  signal?: AbortSignal,
): Promise<DiskLook> {
  const { file, capacityBytes: stated } = disk;
  try {
    refuseParts(ova, disk);
    if (file === undefined) return { capacityBytes: stated, fileBytes: 0 };
    const what = ova.place(file.href);
    const { bytes } = await findDiskFile(ova, file);
    const length = Math.min(startBytes, bytes.sizeBytes);
    const start = file.gzip
      ? await gunzipStart(bytes, { what, length: startBytes, ...(signal && { signal }) })
      : await readPart(bytes, { offset: 0, length }, signal);
    const image = { start, bytes: file.gzip ? undefined : bytes };
    const capacityBytes = (await imageCapacity(image, disk.format, what)) ?? stated;
    return { capacityBytes, fileBytes: bytes.sizeBytes };
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    return { capacityBytes: stated, fileBytes: 0, fault: error };
  }
}

/** Throws `ova-unsupported` for a disk that is not whole, or that nobody here has the key of; `ova-malformed`. */
export function refuseParts(ova: OvaPackage, disk: OvfDisk): void {
  const { id, file, hasParent, encrypted, capacityBytes } = disk;
  const what = file === undefined ? `the disk ${id} of ${ova.path}` : ova.place(file.href);
  if (file === undefined && capacityBytes === 0) throw malformed(what, 'its OVF states no size');
  if (hasParent) {
    const why = 'it is what changed since another disk, not a whole one';
    throw unsupported(what, why, 'Delete the snapshots of the VM; export it again.');
  }
  if (encrypted) {
    throw unsupported(what, 'it is encrypted', 'Export the VM again without encryption.');
  }
}
