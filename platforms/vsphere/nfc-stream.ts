/** A leased disk as a stream: from the vCenter, or from the ESXi that the lease names and whose certificate it tells. */
import { needsOperator, transient } from '../../domain/errors.ts';
import { HttpsServer, SoapError, SoapErrorKind } from '../../protocols/soap/index.ts';
import type { TlsTrust } from '../../protocols/soap/index.ts';
import { vsphereFault } from './faults.ts';
import { openGrainStream } from './grain-stream.ts';
import type { GrainStream } from './grain-stream.ts';
import type { LeasedDisk } from './nfc-lease.ts';
import type { VsphereLogin, VsphereSession } from './session.ts';

export interface NfcAccess {
  session: VsphereSession;
  login: Pick<VsphereLogin, 'trust' | 'localAddress'>;
  /** For messages: `[ds1] web/web.vmdk`. */
  what: string;
}

/** A stream that was begun, and how to end it. */
export interface NfcStream extends GrainStream {
  /** As a person sees what the stream throws; what is passing is `transient`. */
  fault: (error: unknown) => unknown;
  close(): Promise<void>;
}

/** To the next piece: an ESXi looks for data in a thin disk for long. */
const silenceMs = 120_000;

/** Rejects with VmFerryError: `source-unreachable`, `tls-thumbprint-mismatch`, `tls-untrusted`, `vsphere-protocol-broken`. */
export async function openNfcStream(
  access: NfcAccess,
  disk: LeasedDisk,
  signal: AbortSignal,
): Promise<NfcStream> {
  const url = addressOf(disk, access.session);
  const own = isOf(url, access.session) ? undefined : serverAt(url, disk, access);
  const server = own ?? access.session.server;
  const fault = (error: unknown): unknown => faultOf(error, access.what, server.name);
  try {
    const answer = await server.send({
      method: 'GET',
      path: `${url.pathname}${url.search}`,
      // Whoever knows it may read the disk.
      shown: '/nfc',
      // The login is for whom it was made with alone.
      headers: own === undefined ? { Cookie: access.session.cookie } : {},
      silenceMs,
      signal,
    });
    if (answer.status !== 200) {
      answer.drop();
      const message = `${server.name} answered HTTP ${answer.status}`;
      throw new SoapError(SoapErrorKind.http, message, { status: answer.status });
    }
    const stream = await openGrainStream(answer.chunks(silenceMs), access.what);
    const close = async (): Promise<void> => {
      answer.drop();
      await stream.grains.return(undefined);
      own?.close();
    };
    return { ...stream, fault, close };
  } catch (error) {
    own?.close();
    throw fault(error);
  }
}

/** A star stands for the server that was asked: an ESXi does not know by which name. */
function addressOf({ url }: LeasedDisk, { host, server }: VsphereSession): URL {
  const name = server.host.includes(':') ? `[${server.host}]` : server.host;
  const found = URL.parse(
    url.replace(/^https:\/\/\*(?::\d{1,5})?\//, `https://${name}:${server.port}/`),
  );
  if (found?.protocol === 'https:') return found;
  const message = 'the lease gives the disk out at no https address';
  throw vsphereFault(
    { what: 'export by NFC', host },
    new SoapError(SoapErrorKind.malformed, message),
  );
}

const portOf = ({ port }: URL): number => (port === '' ? 443 : Number(port));

const isOf = (url: URL, { server }: VsphereSession): boolean =>
  url.hostname.replace(/^\[(.*)\]$/, '$1') === server.host.toLowerCase() &&
  portOf(url) === server.port;

function serverAt(
  url: URL,
  { thumbprint }: LeasedDisk,
  { login: { trust, localAddress }, session }: NfcAccess,
): HttpsServer {
  const pinned = pinOf(thumbprint) ?? ('ca' in trust || 'insecure' in trust ? trust : undefined);
  if (pinned !== undefined)
    return new HttpsServer({ url: url.origin, trust: pinned, localAddress, connections: 1 });
  throw needsOperator({
    code: 'tls-untrusted',
    message: `${session.host} has a disk given out by ${url.host}, and tells no thumbprint of its certificate`,
    remedy: "Give the authority's certificate (`ca`) that vouches for the ESXi hosts, too.",
    host: session.host,
  });
}

/** The vCenter is trusted, and with it what it tells of its hosts. */
function pinOf(thumbprint: string): TlsTrust | undefined {
  const digits = thumbprint.replaceAll(/[:\s]/g, '').length;
  if (digits === 40) return { sha1: thumbprint };
  return digits === 64 ? { sha256: thumbprint } : undefined;
}

function faultOf(error: unknown, disk: string, host: string): unknown {
  const isHttp = error instanceof SoapError && error.kind === SoapErrorKind.http;
  if (!isHttp) return vsphereFault({ what: `read ${disk} by NFC`, host }, error);
  return transient({
    code: 'source-unreachable',
    message: `could not read ${disk} by NFC: ${error.message}`,
    remedy: 'It is tried again by itself, with a new lease.',
    host,
    cause: error,
  });
}
