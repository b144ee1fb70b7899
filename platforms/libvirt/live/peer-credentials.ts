import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What this host's libvirtd shows to another's when it migrates there, and what it believes. PEM. */
export interface PeerCredentials {
  ca: Buffer;
  cert: Buffer;
  key: Buffer;
}

/** libvirt's own places below `fileRoot`. Throws what the file system says. */
export async function readPeerCredentials(fileRoot: string): Promise<PeerCredentials> {
  const read = (path: string): Promise<Buffer> => readFile(join(fileRoot, path));
  const [ca, cert, key] = await Promise.all([
    read('/etc/pki/CA/cacert.pem'),
    read('/etc/pki/libvirt/clientcert.pem'),
    read('/etc/pki/libvirt/private/clientkey.pem'),
  ]);
  return { ca, cert, key };
}
