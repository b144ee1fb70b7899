/** What was revoked: as a record for people, and as the signed list that QEMU, libvirt and Node read. */
import type { webcrypto } from 'node:crypto';
import { backdateMs, x509 } from './sign.ts';
import { permanent } from '../domain/errors.ts';
import { readIfThere } from './files.ts';
import { signing } from './keys.ts';

export interface Revocation {
  /** Upper-case hexadecimal. */
  serial: string;
  /** ISO 8601, UTC. */
  at: string;
  /** In a person's words. */
  reason: string;
}

/** The record; empty if there is none. Throws `pki-revocations-damaged`. */
export async function readRevocations(path: string): Promise<Revocation[]> {
  const text = await readIfThere(path);
  if (text === undefined) return [];
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray(parsed) && parsed.every(isRevocation)) return parsed;
  } catch {
    // Said below in words that name the file.
  }
  throw permanent({
    code: 'pki-revocations-damaged',
    message: `${path} is not what \`vmferry pki revoke\` writes`,
    remedy: 'Bring it back from a copy: without it, a new list would forget what was revoked.',
  });
}

const isRevocation = (value: unknown): value is Revocation =>
  typeof value === 'object' &&
  value !== null &&
  ['serial', 'at', 'reason'].every(
    (key) => typeof (value as Record<string, unknown>)[key] === 'string',
  );

/** The signed list as PEM, good as long as the authority itself: a list that ends would stop every connection. */
export async function revocationList(options: {
  caPem: string;
  key: webcrypto.CryptoKey;
  revocations: readonly Revocation[];
  now: Date;
}): Promise<string> {
  const { caPem, key, revocations, now } = options;
  const ca = new x509.X509Certificate(caPem);
  const list = await x509.X509CrlGenerator.create({
    issuer: ca.subject,
    // Clocks differ, and a list from the future is refused like a certificate from the future.
    thisUpdate: new Date(Math.max(ca.notBefore.getTime(), now.getTime() - backdateMs)),
    nextUpdate: ca.notAfter,
    signingAlgorithm: signing,
    signingKey: key,
    extensions: [await x509.AuthorityKeyIdentifierExtension.create(await ca.publicKey.export())],
    entries: revocations.map(({ serial, at }) => ({
      serialNumber: serial,
      revocationDate: new Date(at),
    })),
  });
  // Not the library's own PEM: its label is one that neither GnuTLS nor OpenSSL knows.
  const base64 = Buffer.from(list.rawData)
    .toString('base64')
    .replaceAll(/(.{64})(?=.)/g, '$1\n');
  return `-----BEGIN X509 CRL-----\n${base64}\n-----END X509 CRL-----\n`;
}
