import type { ExportEndpoint, MoveRef } from './contract.ts';
import { folderOf } from './ours.ts';
import type { HostParts } from './parts.ts';

/** NBD clients read in blocks: what is offered is filled up with NUL to a whole number of them. */
export const blockBytes = 4096;

/** Shows bytes that may hold secrets to the target's certificate alone, by a file of the move's folder. */
export async function offerBytes(
  parts: HostParts,
  ref: MoveRef & { target: string },
  offer: { name: string; file: string; bytes: Buffer },
): Promise<ExportEndpoint> {
  const { migrationId, target } = ref;
  const { name, file, bytes } = offer;
  const padded = Buffer.alloc(Math.ceil(Math.max(bytes.length, 1) / blockBytes) * blockBytes);
  bytes.copy(padded);
  const path = await folderOf(parts, ref).writeFile(file, padded);
  return parts.dataPlane.ensureExport({ migrationId, name, path, format: 'raw', target });
}
