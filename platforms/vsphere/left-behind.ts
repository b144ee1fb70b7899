/** What a killed process of this user left in the folder for what is temporary. */
import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Names that are the prefix and so many random signs. Others may make what is called alike there: that is passed over. */
export async function leftBehind(
  prefix: string,
  randomSigns: number,
): Promise<{ path: string; facts: Stats }[]> {
  const found: { path: string; facts: Stats }[] = [];
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix) || name.length !== prefix.length + randomSigns) continue;
    const path = join(tmpdir(), name);
    const facts = await lstat(path).catch(() => undefined);
    if (facts !== undefined && facts.uid === process.getuid?.()) found.push({ path, facts });
  }
  return found;
}
