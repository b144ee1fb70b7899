/** The list of revoked certificates by which this host judges other hosts' exports, and its verdicts in words. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { HostConfig } from '../config/schema.ts';
import { VmFerryError, needsOperator } from '../domain/errors.ts';

type Host = Pick<HostConfig, 'tls' | 'name'>;

/** Beside the authority's certificate, under the name that QEMU and `vmferry pki install` give it. */
const listPath = ({ tls }: Host): string => join(dirname(tls.ca), 'ca-crl.pem');

/**
 * The lists in the file, one PEM text each, since Node reads no more of one text; none if there is no file. Read anew
 * for each connection, as certificates are. Throws `revocations-unreadable`: a list that says nothing admits nobody.
 */
export async function readRevocationLists(host: Host): Promise<string[]> {
  const path = listPath(host);
  try {
    const text = await readFile(path, 'latin1');
    const lists = text.match(/-----BEGIN X509 CRL-----.+?-----END X509 CRL-----/gs) ?? [];
    if (lists.length === 0) throw new Error('it holds no list');
    createSecureContext({ crl: lists });
    return lists.map((list) => `${list}\n`);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw needsOperator({
      code: 'revocations-unreadable',
      message: `the list of revoked certificates ${path} on ${host.name} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy:
        'Lay out that of the fleet (`vmferry pki install`), readable by the worker; then `vmferry retry`. Nothing has to be restarted.',
      host: host.name,
      cause,
    });
  }
}

/**
 * A refusal of an export's certificate as a person sees it, if it was the list that spoke: `certificate-revoked`,
 * `revocations-expired`, `revocations-unusable`. Other errors pass unchanged.
 */
export function revocationFault(error: unknown, host: Host, exporter: string): unknown {
  const verdict = error instanceof VmFerryError ? verdictOf(error) : '';
  const said = wordsOf(verdict, listPath(host), { exporter, host: host.name });
  return said === undefined ? error : needsOperator({ ...said, host: host.name, cause: error });
}

/** OpenSSL's name of what it found, below the words of ours and of the NBD client. */
const verdictOf = ({ cause }: Error): string => {
  const below = cause instanceof Error ? cause.cause : undefined;
  return below instanceof Error && 'code' in below ? String(below.code) : '';
};

const wordsOf = (
  verdict: string,
  list: string,
  { exporter, host }: { exporter: string; host: string },
): { code: string; message: string; remedy: string } | undefined => {
  switch (verdict) {
    case 'CERT_REVOKED':
      return {
        code: 'certificate-revoked',
        message: `the certificate that ${exporter} shows was revoked, says ${list} on ${host}`,
        remedy: `Make sure that it is ${exporter} itself that answers; \`vmferry pki list\` tells what was revoked. If it is, give it a new key (\`vmferry pki issue ${exporter} --force\`, with its addresses; \`vmferry pki install\` there), then \`vmferry retry\`.`,
      };
    case 'CRL_HAS_EXPIRED':
      return {
        code: 'revocations-expired',
        message: `the list of revoked certificates ${list} on ${host} has expired: nothing tells whether the certificate of ${exporter} still counts`,
        remedy: `Lay out the authority's newest list as ${list}, then \`vmferry retry\`. Nothing has to be restarted.`,
      };
    case 'CRL_NOT_YET_VALID':
    case 'CRL_SIGNATURE_FAILURE':
    case 'UNABLE_TO_GET_CRL':
      return {
        code: 'revocations-unusable',
        message: `the list of revoked certificates ${list} on ${host} does not fit the certificate of ${exporter}: ${verdict}`,
        remedy: `Check that the certificate and the list are of the same fleet CA, and the clock of ${host}: \`vmferry pki install\` lays out both.`,
      };
    default:
      return undefined;
  }
};
