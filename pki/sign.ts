/** What stands in the certificates. */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { signing, verifyingKey } from './keys.ts';
import { distinguishedName, Role } from './roles.ts';
import type { Subject } from './roles.ts';

x509.cryptoProvider.set(webcrypto);
export { x509 };

const dayMs = 86_400_000;
/** What is signed is valid this long before it is made, ms, because clocks differ. */
export const backdateMs = 3_600_000;

interface Period {
  now: Date;
  days: number;
}

/** The authority's own certificate, PEM; it may sign hosts, and no further authority. */
export async function signAuthority(
  name: string,
  options: Period & { privateKey: webcrypto.CryptoKey; publicKey: webcrypto.CryptoKey },
): Promise<string> {
  const { privateKey, publicKey, now, days } = options;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=${name}`,
    notBefore: new Date(now.getTime() - backdateMs),
    notAfter: new Date(now.getTime() + days * dayMs),
    signingAlgorithm: signing,
    keys: { privateKey, publicKey },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return pemOf(certificate);
}

/** A certificate for a name over a public key, PEM. */
export async function signCertificate(
  subject: Subject,
  options: Period & { publicKeyPem: string; caPem: string; caKey: webcrypto.CryptoKey },
): Promise<string> {
  const { publicKeyPem, caPem, caKey, now, days } = options;
  const ca = new x509.X509Certificate(caPem);
  const publicKey = await verifyingKey(publicKeyPem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: distinguishedName(subject),
    issuer: ca.subjectName,
    notBefore: new Date(Math.max(now.getTime() - backdateMs, ca.notBefore.getTime())),
    // A certificate that outlives its authority promises what nobody will believe.
    notAfter: new Date(Math.min(now.getTime() + days * dayMs, ca.notAfter.getTime())),
    signingAlgorithm: signing,
    publicKey,
    signingKey: caKey,
    extensions: [
      ...usages(subject),
      names(subject),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(await ca.publicKey.export()),
    ],
  });
  return pemOf(certificate);
}

function usages({ role }: Subject): x509.Extension[] {
  const { KeyUsageFlags, ExtendedKeyUsage } = x509;
  const both = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    // libvirt asks for key encipherment, though TLS 1.3 never uses it.
    new x509.KeyUsagesExtension(
      KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment,
      true,
    ),
    new x509.ExtendedKeyUsageExtension(role === Role.client ? [ExtendedKeyUsage.clientAuth] : both),
  ];
}

function names({ name, dns, addresses }: Subject): x509.Extension {
  return new x509.SubjectAlternativeNameExtension([
    ...[...new Set([name, ...dns])].map((value) => ({ type: 'dns' as const, value })),
    ...addresses.map((value) => ({ type: 'ip' as const, value })),
  ]);
}

const pemOf = (certificate: x509.X509Certificate): string => `${certificate.toString('pem')}\n`;

/** 126 random bits after a set one: positive, as the standard wants it, and never the same twice. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
