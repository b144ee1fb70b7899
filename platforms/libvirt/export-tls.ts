import { randomUUID } from 'node:crypto';
import { mkdir, readFile, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dhParams, dhParamsFile } from '../../domain/dh-group.ts';
import { isThere } from './is-there.ts';

/** What qemu-nbd reads of a folder as a server; of these the list of revocations need not be there. */
export const serverTlsFiles = [
  'ca-cert.pem',
  'ca-crl.pem',
  'server-cert.pem',
  'server-key.pem',
] as const;
const needed = serverTlsFiles.filter((name) => name !== 'ca-crl.pem');

/**
 * The folder that exports take their certificates from: `tlsDir` itself where it has Diffie-Hellman parameters, else
 * one below `stateDir` that shows the same files and has them, since QEMU would make its own at each start.
 */
export async function exportTlsDir(options: { tlsDir: string; stateDir: string }): Promise<string> {
  const { tlsDir, stateDir } = options;
  if (await isThere(join(tlsDir, dhParamsFile))) return tlsDir;
  // What is missing is to be told of by the name that people know.
  for (const name of needed) if (!(await isThere(join(tlsDir, name)))) return tlsDir;
  const folder = join(stateDir, 'export-tls');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of serverTlsFiles) {
    const target = join(tlsDir, name);
    const shown = await readlink(join(folder, name)).catch(() => '');
    if (shown !== target) await put(folder, name, (draft) => symlink(target, draft));
  }
  const params = await readFile(join(folder, dhParamsFile), 'utf8').catch(() => '');
  if (params !== dhParams)
    await put(folder, dhParamsFile, (draft) => writeFile(draft, dhParams, { mode: 0o600 }));
  return folder;
}

/** In one step: two exports may start at a time. */
async function put(
  folder: string,
  name: string,
  make: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = join(folder, `.${name}.${randomUUID()}`);
  await make(draft);
  await rename(draft, join(folder, name));
}
