/** Opens the byte stream to a daemon: a unix socket, TLS, or a stream that the caller has. */
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, checkServerIdentity } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { CertificateRejected, ConnectFailed } from './errors.ts';

/** Mutual TLS, as libvirtd's `listen_tls` wants it. Certificates and key are PEM texts. */
export interface TlsEndpoint {
  readonly host: string;
  /** 16514 unless it is given. */
  readonly port?: number;
  readonly ca: string | Uint8Array;
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  /** The name that the daemon's certificate must carry, where it is not `host`. */
  readonly servername?: string;
}

/** Where the daemon is: exactly one of the three. */
export type Endpoint =
  { readonly unixPath: string } | { readonly tls: TlsEndpoint } | { readonly stream: Duplex };

const TLS_PORT = 16_514;

/** For messages: where a connection goes to. */
export function endpointName(endpoint: Endpoint): string {
  if ('unixPath' in endpoint) return endpoint.unixPath;
  if ('tls' in endpoint) return `${endpoint.tls.host}:${endpoint.tls.port ?? TLS_PORT} (TLS)`;
  return 'a stream';
}

/** Opens the stream; rejects with `ConnectFailed` or `CertificateRejected`, and when `signal` fires. */
export async function openTransport(endpoint: Endpoint, signal: AbortSignal): Promise<Duplex> {
  const name = endpointName(endpoint);
  if ('stream' in endpoint) return endpoint.stream;
  if ('tls' in endpoint) return await openTls(endpoint.tls, { name, signal });
  const socket = createConnection({ path: endpoint.unixPath });
  await settled(socket, { name, signal, event: 'connect' });
  return socket;
}

async function openTls(
  { host, port = TLS_PORT, ca, cert, key, servername }: TlsEndpoint,
  { name, signal }: { name: string; signal: AbortSignal },
): Promise<Duplex> {
  const pem = (value: string | Uint8Array): string | Buffer =>
    typeof value === 'string' ? value : Buffer.from(value);
  const socket = connectTls({
    host,
    port,
    ca: pem(ca),
    cert: pem(cert),
    key: pem(key),
    minVersion: 'TLSv1.2',
    ...(servername === undefined ? {} : { servername }),
    checkServerIdentity: (_name, certificate) =>
      checkServerIdentity(servername ?? host, certificate),
  });
  await settled(socket, { name, signal, event: 'secureConnect' });
  socket.setNoDelay(true);
  await readWelcome(socket, { name, signal });
  return socket;
}

/**
 * libvirtd sends one byte, 1, once it has accepted the client's certificate; else it hangs up. In
 * TLS 1.3 the client's side of the handshake ends before that, so only here a refusal is seen.
 */
async function readWelcome(
  socket: TLSSocket,
  { name, signal }: { name: string; signal: AbortSignal },
): Promise<void> {
  try {
    await settled(socket, { name, signal, event: 'readable' });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new CertificateRejected({ endpoint: name, whose: 'client', cause: causeOf(error) });
  }
  const byte = socket.read(1) as Buffer | null;
  if (byte?.[0] !== 1) {
    socket.destroy();
    throw new CertificateRejected({ endpoint: name, whose: 'client' });
  }
}

const causeOf = (error: unknown): unknown => (error instanceof Error ? error.cause : undefined);

interface Wait {
  readonly name: string;
  readonly signal: AbortSignal;
  readonly event: string;
}

/** Waits for an event of the socket, its failure, or the signal; a failed socket is destroyed. */
async function settled(socket: Duplex, { name, signal, event }: Wait): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onEvent = (): void => resolve(undefined);
  const onError = (error: Error): void => reject(error);
  const onClose = (): void => reject(new Error('the daemon closed the connection'));
  const onAbort = (): void => reject(signal.reason as Error);
  socket.once(event, onEvent).once('error', onError).once('close', onClose);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await promise;
  } catch (error) {
    // A socket may fail once more while it is destroyed; without a listener that would be fatal.
    socket.on('error', () => undefined).destroy();
    if (isUntrusted(error))
      throw new CertificateRejected({ endpoint: name, whose: 'server', cause: error });
    throw new ConnectFailed(name, error);
  } finally {
    socket.off(event, onEvent).off('error', onError).off('close', onClose);
    signal.removeEventListener('abort', onAbort);
  }
}

/** OpenSSL's codes for a certificate that does not verify, and Node's for one of another name. */
const UNTRUSTED =
  /^(?:UNABLE_TO_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_ALTNAME|INVALID_CA|HOSTNAME_MISMATCH)/;

function isUntrusted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && UNTRUSTED.test(String(error.code));
}
