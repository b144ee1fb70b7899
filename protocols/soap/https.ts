/** HTTPS to one server on connections that stay: bounded answers, a limit on every wait. */
import { request } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { errorText, SoapError, SoapErrorKind } from './errors.ts';
import { RangePool } from './ranges.ts';
import type { RangeAnswer, RangeRequest } from './ranges.ts';
import { PinnedServer, PinningAgent } from './trust.ts';
import type { TlsTrust } from './trust.ts';

export interface HttpsServerOptions {
  /** `https://vcenter.example:8443`; what follows the port is not looked at. */
  url: string;
  trust: TlsTrust;
  /** As `PinnedServerOptions`. */
  localAddress?: string | undefined;
  /** Likewise for `readRange`; `localAddress` if absent. */
  rangeAddress?: string | undefined;
  /** Most requests at once; 4 if absent. */
  connections?: number;
  /** 15 s if absent. */
  connectTimeoutMs?: number;
}

export interface HttpsRequest {
  method: 'GET' | 'POST';
  path: string;
  headers?: Record<string, string>;
  body?: string;
  /** Longest silence, and for the answer to begin. */
  silenceMs: number;
  signal?: AbortSignal | undefined;
  /** In place of the path in messages, where it is a secret. */
  shown?: string;
}

/** An answer whose body is on its way; it has to be read or dropped, or its connection is never free again. */
export interface HttpsAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The whole body. Rejects with `SoapError`: malformed (more than that), lost, timeout, aborted. */
  readAll(maxBytes: number): Promise<Buffer>;
  /** Fills `into` with a body that has exactly that length. Rejects likewise. */
  readInto(into: Uint8Array): Promise<void>;
  /**
   * The body as it comes, however large; `silenceMs` is the longest wait for the next piece of it, whatever its reader
   * takes in between. Throws as `readInto` does, but for a body that ends early where its length was not told.
   */
  chunks(silenceMs: number): AsyncGenerator<Buffer>;
  /** Ends the connection unless the body is short. */
  drop(): void;
}

const longestHeaderBytes = 16 * 1024;

/** Throws `SoapError` (invalid) if the address or the thumbprint is malformed. */
export class HttpsServer {
  /** For messages: `host:port`. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly #server: PinnedServer;
  readonly #agent: PinningAgent;
  readonly #ranges: RangePool;

  constructor(options: HttpsServerOptions) {
    const url = URL.parse(options.url);
    if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      // Not shown: whoever puts a password there does not want it in a log.
      throw new SoapError(
        SoapErrorKind.invalid,
        'the address is no https URL without user and password',
      );
    }
    this.host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    this.port = url.port === '' ? 443 : Number(url.port);
    this.name = `${this.host}:${this.port}`;
    const { trust, localAddress, rangeAddress = localAddress } = options;
    const { connections = 4, connectTimeoutMs = 15_000 } = options;
    const there = { host: this.host, port: this.port, trust, connectTimeoutMs };
    this.#server = new PinnedServer({ ...there, localAddress });
    this.#agent = new PinningAgent(this.#server, connections);
    this.#ranges = new RangePool(
      new PinnedServer({ ...there, localAddress: rangeAddress }),
      connections,
    );
  }

  /**
   * Reads a range with a third of the work of `send`, on connections of its own. Resolves when it is in `into`, or with
   * another status than 206. Rejects with `SoapError` like `send` and `readInto`; malformed if its length is not told.
   */
  readRange(options: RangeRequest): Promise<RangeAnswer> {
    return this.#ranges.read(options);
  }

  /**
   * Resolves when the answer's headers are there. Rejects with `SoapError`: unreachable, thumbprint-mismatch, untrusted,
   * lost, timeout, aborted. Not repeated here: what the server made of a request that was lost is not known.
   */
  send(options: HttpsRequest): Promise<HttpsAnswer> {
    const { signal, silenceMs, body } = options;
    const { promise, resolve, reject } = Promise.withResolvers<HttpsAnswer>();
    const outgoing = request({
      agent: this.#agent,
      host: this.host,
      port: this.port,
      method: options.method,
      path: options.path,
      headers: {
        ...options.headers,
        ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }),
      },
      maxHeaderSize: longestHeaderBytes,
    });
    const fail = (cause: unknown): void => reject(this.#errorFor(cause, options));
    const giveUp = (): void => void outgoing.destroy(new Error('given up'));
    const tooLate = (): void => void outgoing.destroy(new Silence(silenceMs));
    // Of the whole wait for the first answer, a place among the connections included; the body has its own.
    const timer = setTimeout(tooLate, silenceMs);
    outgoing.once('response', (answer) => {
      clearTimeout(timer);
      outgoing.setTimeout(silenceMs, tooLate);
      resolve(new Answer(answer, (cause) => this.#errorFor(cause, options)));
    });
    // Stays for good: an error may come after the answer began, and is then the body's too.
    outgoing.on('error', fail);
    outgoing.once('close', () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    });
    if (signal?.aborted === true) giveUp();
    else signal?.addEventListener('abort', giveUp, { once: true });
    outgoing.end(body);
    return promise;
  }

  /** SHA-1 of the certificate that it shows and that is trusted, as OpenSSL prints it. Rejects as `send` does. */
  thumbprintSha1(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.connect({}, (error, socket) => {
        if (error !== undefined) {
          reject(error);
          return;
        }
        resolve(socket.getPeerCertificate().fingerprint);
        socket.destroy();
      });
    });
  }

  /** Ends every connection, those with a request on its way too. */
  close(): void {
    this.#agent.destroy();
    this.#ranges.close();
  }

  #errorFor(cause: unknown, { method, path, shown = path, signal }: HttpsRequest): SoapError {
    if (cause instanceof SoapError) return cause;
    // The query may be long and says nothing new.
    const what = `${method} ${shown.split('?', 1)[0] ?? ''} at ${this.name}`;
    if (signal?.aborted === true) {
      return new SoapError(SoapErrorKind.aborted, `${what} was given up`, { cause: signal.reason });
    }
    if (cause instanceof Silence) {
      return new SoapError(SoapErrorKind.timeout, `${what}: ${cause.message}`, { cause });
    }
    return new SoapError(SoapErrorKind.lost, `${what} was cut off: ${errorText(cause)}`, { cause });
  }
}

class Silence extends Error {
  constructor(limitMs: number) {
    super(`the server said nothing for ${limitMs / 1000} s`);
  }
}

class Answer implements HttpsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly #message: IncomingMessage;
  readonly #errorFor: (cause: unknown) => SoapError;

  constructor(message: IncomingMessage, errorFor: (cause: unknown) => SoapError) {
    this.status = message.statusCode ?? 0;
    this.headers = message.headers;
    this.#message = message;
    this.#errorFor = errorFor;
    // Whoever reads the body hears of it again.
    message.on('error', () => undefined);
  }

  async readAll(maxBytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    await this.#read((chunk) => {
      size += chunk.length;
      if (size > maxBytes) return `the answer has more than ${maxBytes} bytes`;
      chunks.push(chunk);
      return undefined;
    });
    return Buffer.concat(chunks);
  }

  async readInto(into: Uint8Array): Promise<void> {
    let at = 0;
    await this.#read((chunk) => {
      if (at + chunk.length > into.length) {
        return `the answer has more than the ${into.length} bytes that were asked for`;
      }
      into.set(chunk, at);
      at += chunk.length;
      return undefined;
    });
    if (at === into.length) return;
    const message = `the answer has ${at} bytes, not the ${into.length} that were asked for`;
    throw new SoapError(SoapErrorKind.malformed, message);
  }

  async *chunks(silenceMs: number): AsyncGenerator<Buffer> {
    const message = this.#message;
    // Of the socket, which is silent too while nobody takes what came.
    message.setTimeout(0);
    const pieces: AsyncIterator<Buffer, undefined> = message[Symbol.asyncIterator]();
    try {
      for (;;) {
        const timer = setTimeout(() => message.destroy(new Silence(silenceMs)), silenceMs);
        const next = await pieces.next().finally(() => clearTimeout(timer));
        if (next.done === true) return;
        yield next.value;
      }
    } catch (error) {
      throw this.#errorFor(error);
    } finally {
      message.destroy();
    }
  }

  drop(): void {
    this.#message.destroy();
  }

  /** `take` says what is wrong with a chunk, if anything is. */
  #read(take: (chunk: Buffer) => string | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const message = this.#message;
    message.on('data', (chunk: Buffer) => {
      const trouble = take(chunk);
      if (trouble === undefined) return;
      reject(new SoapError(SoapErrorKind.malformed, trouble));
      message.destroy();
    });
    message.once('end', () => resolve(undefined));
    message.once('error', (cause) => reject(this.#errorFor(cause)));
    message.once('close', () => reject(this.#errorFor(new Error('it closed the connection'))));
    return promise;
  }
}
