import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unsafe } from '../domain/errors.ts';
import type { MoveRef } from './contract.ts';
import type { HostParts } from './parts.ts';

/**
 * Moves that are over on this host, `<stateDir>/ended/<migrationId>`: an attempt that hung (a frozen host, a lost
 * heartbeat) may wake up long after its move was undone, and must not begin it anew. Asked and set under the VM's lock.
 */
const folderOfEnded = ({ stateDir }: HostParts): string => join(stateDir, 'ended');

/** An attempt that slept longer than this finds its worker restarted or its host rebuilt, ms. */
const keptMs = 60 * 24 * 3_600_000;

export async function markEnded(parts: HostParts, { migrationId }: MoveRef): Promise<void> {
  const folder = folderOfEnded(parts);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const mark = await open(join(folder, migrationId), 'w', 0o600);
  try {
    await mark.sync();
  } finally {
    await mark.close();
  }
  const holder = await open(folder, 'r');
  try {
    await holder.sync();
  } finally {
    await holder.close();
  }
  await forgetOld(folder);
}

async function forgetOld(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > keptMs) await rm(path, { force: true });
  }
}

/** Throws `move-ended` if the move was undone or committed on this host. */
export async function refuseIfEnded(parts: HostParts, ref: MoveRef): Promise<void> {
  const mark = await stat(join(folderOfEnded(parts), ref.migrationId)).catch((error: unknown) => {
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
