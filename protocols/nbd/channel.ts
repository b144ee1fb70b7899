import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  checkServerIdentity,
  connect as connectTls,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import type { Conversation } from './demand.ts';
import { NbdError, NbdErrorKind, protocolError } from './errors.ts';
import { readInto } from './read-into.ts';

/** A byte stream that leads to an NBD server already, such as a channel of an SSH session. */
export interface NbdStream {
  /** Ours from here on: it is read, written and in the end destroyed. */
  readonly stream: Duplex;
  /** How it is called in messages. */
  readonly name: string;
}

/** Where an NBD server is: TCP, a unix socket, or the other end of a stream, which serves one connection. */
export type NbdAddress =
  { readonly host: string; readonly port: number } | { readonly path: string } | NbdStream;

/** How an address is shown in messages. */
export const describeAddress = (address: NbdAddress): string => {
  if ('stream' in address) return address.name;
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
};

/** A prepared TLS context and the name or IP address that the server's certificate must carry. */
export interface ChannelTls {
  readonly context: SecureContext;
  readonly serverName: string;
}

export interface ChannelOptions {
  address: NbdAddress;
  tls?: ChannelTls;
  conversation: Conversation<unknown>;
  /** Called once, whatever ends the channel. */
  onEnd(error: NbdError): void;
}

const errorText = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error);

/**
 * Carries one conversation over one socket. On a plain socket the kernel writes straight into the
 * buffers that the conversation asks for, and over TLS the decryption does.
 */
export class Channel {
  readonly #options: ChannelOptions;
  readonly #plain: Duplex;
  readonly #onPlainData = (chunk: Buffer): void => this.#feed(chunk);
  #socket: Duplex;
  #into: Uint8Array = new Uint8Array(0);
  #tlsState: 'none' | 'shaking-hands' | 'silent' | 'open' = 'none';
  #connected = false;
  #ended = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    // The first demand has to stand before the socket asks for a buffer.
    this.#advance();
    const { address } = options;
    this.#plain = 'stream' in address ? this.#adopt(address.stream) : this.#dial(address);
    this.#socket = this.#plain;
    this.#watch(this.#plain);
  }

  /** Sends the parts in order; what the kernel does not take yet refers to the caller's buffers. */
  write(...parts: Uint8Array[]): void {
    if (this.#ended) return;
    this.#socket.cork();
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
  }

  /** Closes at once; nothing is written from or read into anybody's buffer afterwards. */
  end(error: NbdError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.#plain.destroy();
    this.#options.onEnd(error);
  }

  /** Writes what is queued, then closes; resolves when closed. The caller bounds the wait. */
  async finish(): Promise<void> {
    if (this.#ended) return;
    await new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end();
    });
  }

  #dial(address: Exclude<NbdAddress, NbdStream>): Duplex {
    const socket = connectSocket({
      ...address,
      noDelay: true,
      onread: { buffer: () => this.#into, callback: (count) => this.#filled(count) },
    });
    return socket.once('connect', () => (this.#connected = true));
  }

  #adopt(stream: Duplex): Duplex {
    this.#connected = true;
    if (stream.destroyed) queueMicrotask(() => this.end(this.#explain(undefined)));
    return stream.on('data', this.#onPlainData);
  }

  #watch(socket: Duplex): void {
    socket.on('error', (error) => this.end(this.#explain(error)));
    socket.on('end', () => this.end(this.#explain(undefined)));
    socket.on('close', () => this.end(this.#explain(undefined)));
  }

  #explain(error: unknown): NbdError {
    const where = describeAddress(this.#options.address);
    const text = error === undefined ? 'the server closed the connection' : errorText(error);
    const make = (kind: NbdErrorKind, message: string) =>
      new NbdError(kind, message, error === undefined ? {} : { cause: error });
    if (!this.#connected) {
      return make(NbdErrorKind.unreachable, `cannot reach NBD server ${where}: ${text}`);
    }
    if (this.#tlsState === 'shaking-hands') {
      return make(NbdErrorKind.tls, `TLS handshake with NBD server ${where} failed: ${text}`);
    }
    if (this.#tlsState === 'silent') {
      // With TLS 1.3 the server judges the client's certificate after the client is done.
      const message = `NBD server ${where} did not admit this client's certificate: ${text}`;
      return make(NbdErrorKind.tls, message);
    }
    return make(NbdErrorKind.closed, `connection to NBD server ${where} was lost: ${text}`);
  }

  /** Runs the conversation up to its next wish to read; false if reading has to stop here. */
  #advance(): boolean {
    for (;;) {
      const step = this.#options.conversation.next();
      if (step.done === true) throw new Error('an NBD conversation ended by itself');
      const demand = step.value;
      if (demand.kind === 'write') {
        this.write(demand.bytes);
      } else if (demand.kind === 'start-tls') {
        this.#startTls();
        return false;
      } else if (demand.into.length > 0) {
        this.#into = demand.into;
        return true;
      }
    }
  }

  #filled(count: number): boolean {
    if (this.#ended) return false;
    if (this.#tlsState === 'silent') this.#tlsState = 'open';
    this.#into = this.#into.subarray(count);
    return this.#into.length > 0 || this.#goOn();
  }

  #goOn(): boolean {
    try {
      return this.#advance();
    } catch (error) {
      this.end(error instanceof NbdError ? error : this.#explain(error));
      return false;
    }
  }

  #startTls(): void {
    const { tls } = this.#options;
    if (tls === undefined) throw new Error('TLS was negotiated without a TLS context');
    this.#tlsState = 'shaking-hands';
    this.#plain.off('data', this.#onPlainData);
    const socket: TLSSocket = connectTls({
      socket: this.#plain,
      secureContext: tls.context,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: true,
      // Checked against the given name whatever address was dialled; also takes IP addresses, unlike SNI.
      checkServerIdentity: (_host, certificate) => checkServerIdentity(tls.serverName, certificate),
    });
    this.#socket = socket;
    this.#watch(socket);
    socket.once('secureConnect', () => {
      this.#tlsState = 'silent';
      // Nothing is said before the server's certificate has been checked.
      this.#goOn();
      const filled = (count: number) => this.#filled(count);
      if (readInto(socket, { buffer: () => this.#into, callback: filled })) return;
      socket.on('data', (chunk: Buffer) => this.#feed(chunk));
    });
  }

  #feed(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#ended) {
      const count = Math.min(rest.length, this.#into.length);
      this.#into.set(count === rest.length ? rest : rest.subarray(0, count));
      rest = rest.subarray(count);
      if (this.#filled(count) || rest.length === 0) continue;
      // In the clear, somebody on the way could have put them there.
      this.end(protocolError('bytes behind the answer to STARTTLS'));
    }
  }
}
