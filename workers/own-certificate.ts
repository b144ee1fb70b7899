/** This host's own client certificate, looked at before it is shown to others: their refusals are terse. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { HostConfig } from '../config/schema.ts';
import { needsOperator } from '../domain/errors.ts';
import { readRevocationLists } from './revoked-exports.ts';

/** PEM texts for the NBD client. */
export interface ClientTrust {
  ca: string;
  cert: string;
  key: string;
  /** Revocation lists, one PEM text each; none if the host has no such file. */
  crl: string[];
}

/**
 * Read anew for each connection: certificates are renewed under a running worker. Throws `certificate-unreadable`,
 * `certificate-expired`, `certificate-mismatched`, `revocations-unreadable`, with the host and the file.
 */
export async function readClientTrust(
  { tls, name: host }: Pick<HostConfig, 'tls' | 'name'>,
  now = new Date(),
): Promise<ClientTrust> {
  const read = async (path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      throw unusable(host, path, cause);
    }
  };
  const [ca, cert, key] = await Promise.all([read(tls.ca), read(tls.cert), read(tls.key)]);
  const parse = <T>(path: string, make: () => T): T => {
    try {
      return make();
    } catch (cause) {
      throw unusable(host, path, cause);
    }
  };
  parse(tls.ca, () => new X509Certificate(ca));
  const certificate = parse(tls.cert, () => new X509Certificate(cert));
  const privateKey = parse(tls.key, () => createPrivateKey(key));
  const until = new Date(certificate.validTo);
  if (until.getTime() <= now.getTime()) {
    throw needsOperator({
      code: 'certificate-expired',
      message: `the certificate ${tls.cert} of ${host} has expired at ${until.toISOString()}`,
      remedy: `Renew it (\`vmferry pki renew ${host}\`, then \`vmferry pki install\` on ${host}), then \`vmferry retry\`. Nothing has to be restarted.`,
      host,
    });
  }
  if (!certificate.checkPrivateKey(privateKey)) {
    throw needsOperator({
      code: 'certificate-mismatched',
      message: `the key ${tls.key} of ${host} does not belong to the certificate ${tls.cert}`,
      remedy: `Lay out both of one issue: \`vmferry pki install\` on ${host}; then \`vmferry retry\`.`,
      host,
    });
  }
  return { ca, cert, key, crl: await readRevocationLists({ tls, name: host }) };
}

const unusable = (host: string, path: string, cause: unknown) =>
  needsOperator({
    code: 'certificate-unreadable',
    message: `${path} on ${host} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: `Put the fleet's certificates there (\`vmferry pki install\`), readable by the worker; then \`vmferry retry\`.`,
    host,
    cause,
  });
