/** Where an authority keeps what. */
import { join } from 'node:path';

/** Folder of the authority on the machine that signs. */
export const defaultAuthorityDir = '/etc/vmferry/pki';

export interface AuthorityFiles {
  caCert: string;
  /** PKCS #8, encrypted if a passphrase was given. */
  caKey: string;
  /** What was revoked, as QEMU, libvirt and Node read it. */
  crl: string;
  /** Why and when, as JSON; the list above is made of it. */
  revoked: string;
  /** Every certificate that was ever signed, by serial number. */
  issued: string;
  /** What to carry to whom: a folder a name. */
  bundles: string;
}

/** The paths below the authority's folder. */
export const authorityFiles = (dir: string): AuthorityFiles => ({
  caCert: join(dir, 'ca-cert.pem'),
  caKey: join(dir, 'ca-key.pem'),
  crl: join(dir, 'ca-crl.pem'),
  revoked: join(dir, 'revoked.json'),
  issued: join(dir, 'issued'),
  bundles: join(dir, 'bundles'),
});
