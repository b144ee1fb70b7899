import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Debian keeps daemons out of the PATH of people who are not root. */
const extraFolders = ['/usr/sbin', '/sbin'];

/** Where a program lies; undefined if nowhere. */
export async function whichProgram(name: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...extraFolders]) {
    const path = join(folder, name);
    const there = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  return undefined;
}

/** Those of the programs that this machine has not. */
export async function findPrograms(names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map(whichProgram));
  return names.filter((_, at) => found[at] === undefined);
}
