/** Mutual TLS in front of a dev server, which has none: it admits what an authority signed, and can turn certificates away. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';

export interface FrontOptions {
  /** `host:port` of the plain server. */
  upstream: string;
  ca: string;
  cert: string;
  key: string;
}

export class TlsFront implements AsyncDisposable {
  readonly address: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #open = new Map<TLSSocket, { serial: string; inner: Socket }>();
  readonly #refused = new Set<string>();

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async open({ upstream, ca, cert, key }: FrontOptions): Promise<TlsFront> {
    const server = createServer({
      ...{ ca, cert, key, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] },
    });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const front = new TlsFront(server);
    const [host, port] = upstream.split(':');
    server.on('secureConnection', (socket) => {
      front.#carry(socket, connect({ host: host ?? '', port: Number(port) }));
    });
    return front;
  }

  /** Serial numbers of the certificates that are connected now. */
  serials(): Set<string> {
    return new Set([...this.#open.values()].map(({ serial }) => serial));
  }

  /** Cuts what a certificate has open, and lets it in no more: as a server does once it has expired. */
  turnAway(serial: string): void {
    this.#refused.add(serial);
    for (const [socket, one] of this.#open) if (one.serial === serial) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#open.keys()) socket.destroy();
    await closed;
  }

  #carry(socket: TLSSocket, inner: Socket): void {
    const { serialNumber: serial } = socket.getPeerCertificate();
    const end = (): void => {
      this.#open.delete(socket);
      socket.destroy();
      inner.destroy();
    };
    for (const one of [socket, inner]) one.on('error', end).on('close', end);
    this.#open.set(socket, { serial, inner });
    if (this.#refused.has(serial)) end();
    else socket.pipe(inner).pipe(socket);
  }
}
