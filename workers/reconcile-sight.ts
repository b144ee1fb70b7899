/** What a host holds of moves, by migration: folders, exports, and VMs that its guard holds for one. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MoveFolder } from '../activities/move-folder.ts';
import type { TargetMemory } from '../activities/move-folder.ts';
import { readMoveMemory } from '../activities/policy-memory.ts';
import type { HostParts } from '../activities/parts.ts';
import type { MoveMemory } from '../domain/orphans.ts';
import type { LedgerEntry } from '../domain/ownership.ts';

/** More than any host works on at once; what is beyond waits for the next round. */
const mostMoves = 1_000;
const folderName = /^[0-9a-zA-Z-]{1,64}$/;

/** One move as it lies on this host. */
export interface MoveSight {
  migrationId: string;
  folder: MoveFolder;
  /** Age of the folder by its last change, ms; undefined without one. */
  folderAgeMs?: number;
  /** Undefined if the host does not remember what move it is. */
  memory?: MoveMemory;
  source?: { wasRunning: boolean; autostart: boolean };
  target?: TargetMemory;
  /** Why its folder cannot be read; then nothing of it is believed. */
  trouble?: string;
  /** What is exported for it. */
  exported: string[];
  /** The VM that the guard holds for it, as `incoming` or `migrating-out`. */
  held?: LedgerEntry;
}

/** `exported`: every recorded export of the host, with its move. */
export async function lookAround(
  parts: HostParts,
  exported: readonly { moveId: string; diskName: string }[],
): Promise<MoveSight[]> {
  const { stateDir, ledger, name: host } = parts;
  const { entries } = await ledger.list();
  const held = entries.filter(
    ({ state, migrationId }) =>
      (state === 'incoming' || state === 'migrating-out') && folderName.test(migrationId),
  );
  const folders = await namesIn(join(stateDir, 'moves'));
  const ids = new Set([
    ...folders.filter((name) => folderName.test(name)),
    ...exported.map(({ moveId }) => moveId).filter((id) => folderName.test(id)),
    ...held.map(({ migrationId }) => migrationId),
  ]);
  return Promise.all(
    [...ids]
      .sort()
      .slice(0, mostMoves)
      .map(async (migrationId): Promise<MoveSight> => {
        const folder = new MoveFolder({ stateDir, migrationId, host });
        const folderAgeMs = await ageOf(folder.path);
        const holds = held.find((entry) => entry.migrationId === migrationId);
        const diskNames = exported
          .filter(({ moveId }) => moveId === migrationId)
          .map(({ diskName }) => diskName);
        return {
          migrationId,
          folder,
          exported: diskNames,
          ...(await readFolder(folder)),
          ...(folderAgeMs === undefined ? {} : { folderAgeMs }),
          ...(holds === undefined ? {} : { held: holds }),
        };
      }),
  );
}

/** One folder that is damaged must not hide the others. */
async function readFolder(
  folder: MoveFolder,
): Promise<Pick<MoveSight, 'memory' | 'source' | 'target' | 'trouble'>> {
  try {
    const [memory, source, target] = await Promise.all([
      readMoveMemory(folder),
      folder.read('source'),
      folder.read('target'),
    ]);
    return {
      ...(memory === undefined ? {} : { memory }),
      ...(source === undefined ? {} : { source }),
      ...(target === undefined ? {} : { target }),
    };
  } catch (error) {
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
}

async function ageOf(path: string): Promise<number | undefined> {
  try {
    return Math.max(0, Date.now() - (await stat(path)).mtimeMs);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
