import { readdir } from 'node:fs/promises';
import { z } from 'zod';
import type { MoveMemory } from '../domain/orphans.ts';
import type { MoveFolder } from './move-folder.ts';

/** The file of a move's folder that says what the move is, who asked for it, and on which server it began. */
const memoryFile = 'move.json';

const memorySchema = z.object({
  moveId: z.string().min(1),
  migrationId: z.string().min(1),
  vm: z.object({ name: z.string(), uuid: z.string() }),
  role: z.enum(['source', 'target']),
  peer: z.string(),
  operator: z.string(),
  server: z.object({ clusterId: z.string(), namespaceId: z.string() }),
  firstSeenAt: z.string(),
});

/** Undefined if there is none, or if it is not whole: then nothing is done on its word. */
export async function readMoveMemory(folder: MoveFolder): Promise<MoveMemory | undefined> {
  const data = await folder.readFile(memoryFile);
  if (data.length === 0) return undefined;
  try {
    return memorySchema.safeParse(JSON.parse(data.toString('utf8'))).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Written once, before anything else of the move: what was seen first stays. */
export async function rememberMove(folder: MoveFolder, memory: MoveMemory): Promise<void> {
  if ((await readMoveMemory(folder)) !== undefined) return;
  await folder.writeFile(memoryFile, Buffer.from(JSON.stringify(memory)));
}

/** The folder goes if it holds nothing but the move's name: nothing was made here, or all is undone. */
export async function forgetIfAlone(folder: MoveFolder): Promise<void> {
  const names = await namesIn(folder);
  if (names.length === 1 && names[0] === memoryFile) await folder.remove();
}

/** Everything but the small records of what the move is and did: the rest may hold secrets and serves nobody. */
export async function removeTemporaryFiles(folder: MoveFolder): Promise<void> {
  for (const name of await namesIn(folder))
    if (!name.endsWith('.json')) await folder.removeFile(name);
}

async function namesIn(folder: MoveFolder): Promise<string[]> {
  return readdir(folder.path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
}
