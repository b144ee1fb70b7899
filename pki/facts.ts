/** What a certificate says, for people and for checks. */
import { X509Certificate } from 'node:crypto';
import { permanent } from '../domain/errors.ts';
import { roleAndNameOf } from './roles.ts';
import type { Subject } from './roles.ts';

export interface CertificateFacts extends Subject {
  /** Upper-case hexadecimal. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** Reads a certificate of this fleet. Throws `pki-certificate-foreign` for any other, naming `path`. */
export function factsOf(pem: string, path: string): CertificateFacts {
  const certificate = parse(pem, path);
  const subject = roleAndNameOf(certificate.subject);
  if (subject === undefined) throw foreign(path);
  const names = (certificate.subjectAltName ?? '').split(', ');
  const of = (prefix: string): string[] =>
    names.filter((one) => one.startsWith(prefix)).map((one) => one.slice(prefix.length));
  return {
    ...subject,
    dns: of('DNS:').filter((one) => one !== subject.name),
    addresses: of('IP Address:'),
    serial: certificate.serialNumber,
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
  };
}

function parse(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw foreign(path, cause);
  }
}

const foreign = (path: string, cause?: unknown) =>
  permanent({
    code: 'pki-certificate-foreign',
    message: `${path} is no certificate that \`vmferry pki\` made`,
    remedy: 'Issue a new one with `vmferry pki issue`.',
    ...(cause === undefined ? {} : { cause }),
  });
