/** Notes of leases that are held, in the folder for what is temporary: who is killed leaves them to whoever sweeps. */
import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { leftBehind } from './left-behind.ts';
import type { ManagedRef } from './references.ts';

export interface Note {
  readonly path: string;
  /** `host:port` that gave the lease. */
  readonly host: string;
  /** Its ID there. */
  readonly lease: string;
  remove(): Promise<void>;
}

const noteSchema = z.object({ host: z.string(), lease: z.string().min(1).max(256) });
const suffixBytes = 6;
const longestBytes = 4_096;

const prefixOf = (label: string): string => `vmferry-nfc-${label}-`;

const noteAt = (path: string, { host, lease }: { host: string; lease: string }): Note => ({
  ...{ path, host, lease },
  remove: () => rm(path, { force: true }),
});

export async function leaveNote(label: string, host: string, { id }: ManagedRef): Promise<Note> {
  const name = prefixOf(label) + randomBytes(suffixBytes).toString('hex');
  const note = { host, lease: id };
  const path = join(tmpdir(), name);
  await writeFile(path, JSON.stringify(note), { flag: 'wx', mode: 0o600 });
  return noteAt(path, note);
}

/** Those of a label that nobody removed. */
export async function leftNotes(label: string): Promise<Note[]> {
  const found: Note[] = [];
  for (const { path, facts } of await leftBehind(prefixOf(label), 2 * suffixBytes)) {
    if (!facts.isFile() || facts.size > longestBytes) continue;
    found.push(noteAt(path, parsed(await readFile(path, 'utf8'))));
  }
  return found;
}

/** One that was cut off in writing names no lease. */
function parsed(text: string): { host: string; lease: string } {
  try {
    return noteSchema.parse(JSON.parse(text));
  } catch {
    return { host: '', lease: '' };
  }
}
