/** What is carried to a machine: a folder as QEMU reads it, which serves libvirt and Temporal as well. */
import { join } from 'node:path';
import type { Authority } from './authority.ts';
import { privateMode, publicMode, writeWhole } from './files.ts';
import { Role } from './roles.ts';
import type { Subject } from './roles.ts';

/** Files of a pair by role: a host has both ends of a connection, with one key. */
const pairNames = (role: Role): { cert: string; key: string }[] => {
  const of = (end: string) => ({ cert: `${end}-cert.pem`, key: `${end}-key.pem` });
  if (role === Role.host) return [of('server'), of('client')];
  return [of(role === Role.client ? 'client' : 'server')];
};

/** Folder of a name: hosts by their names, others with their role. */
const bundleFolder = (
  authority: Authority,
  { role, name }: Pick<Subject, 'role' | 'name'>,
): string => join(authority.files.bundles, role === Role.host ? name : `${role}-${name}`);

/** Writes a bundle, or with no `key` renews the certificates of one. What is replaced is replaced whole, file by file. */
export async function writeBundle(
  authority: Authority,
  subject: Pick<Subject, 'role' | 'name'>,
  pair: { cert: string; key?: string },
): Promise<string> {
  const folder = bundleFolder(authority, subject);
  const { caCert, crl } = await authority.trust();
  const put = (name: string, text: string, mode: number): Promise<void> =>
    writeWhole(join(folder, name), text, { mode, replace: true });
  await put('ca-cert.pem', caCert, publicMode);
  await put('ca-crl.pem', crl, publicMode);
  for (const { cert, key } of pairNames(subject.role)) {
    if (pair.key !== undefined) await put(key, pair.key, privateMode);
    await put(cert, pair.cert, publicMode);
  }
  return folder;
}
