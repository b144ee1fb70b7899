/**
 * Ranges of large files by HTTP/1.1, into the caller's memory. Node's own client hands on a buffer and an event for each
 * TLS record and takes three times the processor time: this one knows GET, 206 and Content-Length, and nothing else.
 */
import type { TLSSocket } from 'node:tls';
import { errorText, SoapError, SoapErrorKind } from './errors.ts';
import type { PinnedServer } from './trust.ts';

export interface RangeRequest {
  path: string;
  headers: Readonly<Record<string, string>>;
  /** In the file. */
  offset: number;
  /** As many bytes as it has room for. */
  into: Uint8Array;
  silenceMs: number;
  signal?: AbortSignal | undefined;
}

export interface RangeAnswer {
  status: number;
  /** By their names in lower case. */
  headers: Readonly<Record<string, string>>;
}

const longestHeadBytes = 16 * 1024;
/** Node decrypts a record of 16 KiB at a time. */
const readBytes = 64 * 1024;

interface Pending {
  request: RangeRequest;
  /** What came of the answer's head; undefined once it is complete. */
  head: Buffer | undefined;
  answer: RangeAnswer;
  got: number;
  settle: (outcome: RangeAnswer | SoapError) => void;
}

/** One connection; one request at a time. */
class RangeConnection {
  readonly #name: string;
  readonly #socket: TLSSocket;
  #pending: Pending | undefined;
  #isOpen = true;

  private constructor(name: string, socket: TLSSocket) {
    this.#name = name;
    this.#socket = socket;
    socket.on('error', (error: Error) => this.#end(this.#lost(error)));
    socket.on('close', () => this.#end(this.#lost(new Error('it closed the connection'))));
    socket.on('end', () => this.#end(this.#lost(new Error('it closed the connection'))));
    // So that the end of what it sends is told.
    socket.resume();
  }

  static open(server: PinnedServer): Promise<RangeConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<RangeConnection>();
    let opened: RangeConnection | undefined;
    const buffer = Buffer.allocUnsafe(readBytes);
    const callback = (count: number): boolean => {
      opened?.take(buffer.subarray(0, count));
      return true;
    };
    server.connect({ onread: { buffer, callback } } as object, (error, socket) => {
      if (error !== undefined) {
        reject(error);
        return;
      }
      opened = new RangeConnection(server.name, socket);
      resolve(opened);
    });
    return promise;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  send(request: RangeRequest): Promise<RangeAnswer> {
    const { path, headers, offset, into, silenceMs, signal } = request;
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const range = `Range: bytes=${offset}-${offset + into.length - 1}`;
    const head = [`GET ${path} HTTP/1.1`, `Host: ${this.#name}`, range, ...lines];
    const { promise, resolve, reject } = Promise.withResolvers<RangeAnswer>();
    if (head.some((line) => /[\r\n]/.test(line))) {
      reject(new SoapError(SoapErrorKind.invalid, 'a header would hold a line break'));
      return promise;
    }
    const giveUp = (): void =>
      this.#end(this.#error(SoapErrorKind.aborted, 'it was given up', signal?.reason));
    const tooLate = (): void =>
      this.#end(this.#error(SoapErrorKind.timeout, `nothing came for ${silenceMs / 1000} s`));
    const settle = (outcome: RangeAnswer | SoapError): void => {
      this.#pending = undefined;
      this.#socket.setTimeout(0).off('timeout', tooLate);
      signal?.removeEventListener('abort', giveUp);
      if (outcome instanceof SoapError) reject(outcome);
      else resolve(outcome);
    };
    this.#pending = {
      request,
      head: Buffer.alloc(0),
      answer: { status: 0, headers: {} },
      got: 0,
      settle,
    };
    if (!this.#isOpen) {
      this.#pending = undefined;
      return Promise.reject(this.#lost(new Error('it is closed')));
    }
    this.#socket.setTimeout(silenceMs).once('timeout', tooLate);
    signal?.addEventListener('abort', giveUp, { once: true });
    if (signal?.aborted === true) giveUp();
    else this.#socket.write(`${head.join('\r\n')}\r\n\r\n`);
    return promise;
  }

  close(): void {
    this.#end(this.#lost(new Error('it was closed here')));
  }

  /** Some of what the server sent. The chunk is only good until this returns. */
  take(chunk: Buffer): void {
    const pending = this.#pending;
    // Nothing was asked.
    if (pending === undefined) {
      this.close();
      return;
    }
    const body = pending.head === undefined ? chunk : this.#takeHead(pending, pending.head, chunk);
    if (body === undefined || this.#pending === undefined) return;
    const { into } = pending.request;
    if (pending.got + body.length > into.length) {
      this.#end(this.#error(SoapErrorKind.malformed, 'the answer is longer than it says'));
      return;
    }
    into.set(body, pending.got);
    pending.got += body.length;
    if (pending.got < into.length) return;
    pending.settle(pending.answer);
    if (pending.answer.headers['connection']?.toLowerCase() === 'close') this.close();
  }

  /** What of the body came with it; undefined if the head is not complete, or says that there is no such body. */
  #takeHead(pending: Pending, before: Buffer, chunk: Buffer): Buffer | undefined {
    const all = Buffer.concat([before, chunk]);
    const end = all.indexOf('\r\n\r\n');
    if (end > longestHeadBytes || (end === -1 && all.length > longestHeadBytes)) {
      this.#end(this.#error(SoapErrorKind.malformed, 'the head of the answer is too long'));
      return undefined;
    }
    pending.head = all;
    if (end === -1) return undefined;
    pending.head = undefined;
    const answer = answerOf(all.toString('latin1', 0, end));
    if (answer === undefined) {
      this.#end(this.#error(SoapErrorKind.malformed, 'the answer is no HTTP/1.1'));
      return undefined;
    }
    pending.answer = answer;
    if (answer.status !== 206) {
      pending.settle(answer);
      // Its body is not worth reading.
      this.close();
      return undefined;
    }
    const length = answer.headers['content-length'];
    if (length !== String(pending.request.into.length) || 'transfer-encoding' in answer.headers) {
      const message = `the answer says that it has ${length ?? 'an unknown number of'} bytes`;
      this.#end(this.#error(SoapErrorKind.malformed, message));
      return undefined;
    }
    return all.subarray(end + 4);
  }

  #end(error: SoapError): void {
    this.#isOpen = false;
    const pending = this.#pending;
    this.#socket.destroy();
    pending?.settle(error);
  }

  #lost(cause: Error): SoapError {
    return this.#error(SoapErrorKind.lost, `it was cut off: ${errorText(cause)}`, cause);
  }

  #error(kind: SoapErrorKind, why: string, cause?: unknown): SoapError {
    return new SoapError(kind, `a range from ${this.#name}: ${why}`, { cause });
  }
}

/** Undefined if it is no head of an HTTP/1.1 answer. Of a header that is there twice the last one counts. */
function answerOf(head: string): RangeAnswer | undefined {
  const [first = '', ...lines] = head.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(first)?.[1];
  if (status === undefined) return undefined;
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(status), headers };
}

/** Some connections to one server; whoever finds all of them busy waits for a turn. */
export class RangePool {
  readonly #server: PinnedServer;
  readonly #all = new Set<RangeConnection>();
  readonly #idle: RangeConnection[] = [];
  readonly #waiting: (() => void)[] = [];
  #free: number;
  #isClosed = false;

  constructor(server: PinnedServer, connections: number) {
    this.#server = server;
    this.#free = connections;
  }

  /** As `HttpsServer.readRange` has it. */
  async read(request: RangeRequest): Promise<RangeAnswer> {
    await this.#turn();
    try {
      const connection = await this.#connection();
      try {
        return await connection.send(request);
      } finally {
        if (connection.isOpen) this.#idle.push(connection);
        else this.#all.delete(connection);
      }
    } finally {
      this.#free += 1;
      this.#waiting.shift()?.();
    }
  }

  /** Ends every connection; what is on its way is lost. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#all) connection.close();
    this.#all.clear();
    this.#idle.length = 0;
  }

  async #turn(): Promise<void> {
    while (this.#free === 0) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#free -= 1;
  }

  /** One that waits and is still open, or a new one. */
  async #connection(): Promise<RangeConnection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.isOpen) return idle;
      this.#all.delete(idle);
    }
    const opened = await RangeConnection.open(this.#server);
    this.#all.add(opened);
    // Closed while it was on its way: what is sent on it is lost, as all else was.
    if (this.#isClosed) opened.close();
    return opened;
  }
}
