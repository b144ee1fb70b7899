import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { unsafe } from '../domain/errors.ts';
import { realIo } from '../guard/durable.ts';
import type { MoveRef } from './contract.ts';
import { assertMigrationId } from './move-folder.ts';
import type { HostParts } from './parts.ts';

/**
 * Moves that are over on this host, `<stateDir>/ended/<migrationId>`: an attempt that hung (a frozen host, a lost
 * heartbeat) may wake up long after its move was undone, and must not begin it anew. Asked and set under the VM's lock.
 */
const folderOfEnded = ({ stateDir }: Pick<HostParts, 'stateDir'>): string =>
  join(stateDir, 'ended');

function markOf(parts: HostParts, { migrationId }: MoveRef): string {
  assertMigrationId(migrationId);
  return join(folderOfEnded(parts), migrationId);
}

/** An attempt that slept longer than this finds its worker restarted or its host rebuilt, ms. */
const keptMs = 60 * 24 * 3_600_000;

export async function markEnded(parts: HostParts, ref: MoveRef): Promise<void> {
  const path = markOf(parts, ref);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await realIo.writeAndSync(path, Buffer.alloc(0), 0o600);
  await realIo.syncFolder(dirname(path));
}

/** Removes marks that are older than any attempt; for the host's cleaner, not for the way of a move. */
export async function forgetLongEnded(parts: Pick<HostParts, 'stateDir'>): Promise<void> {
  const folder = folderOfEnded(parts);
  const names = await readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > keptMs) await rm(path, { force: true });
  }
}

/** Throws `move-ended` if the move was undone or committed on this host. */
export async function refuseIfEnded(parts: HostParts, ref: MoveRef): Promise<void> {
  const mark = await stat(markOf(parts, ref)).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (mark === undefined) return;
  throw unsafe({
    code: 'move-ended',
    message: `an attempt for ${ref.vm.name} came after its move had ended on ${parts.name}; it was refused`,
    remedy:
      'Nothing was changed, and there is nothing to do: it was the late work of a move that is over.',
    host: parts.name,
  });
}
