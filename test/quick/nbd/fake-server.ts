import { createServer, type Server, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Pieces of the wire, written down here once more so that the client's own constants are put to the test. */
export const wire = {
  u16: (value: number) => Buffer.from([value >>> 8, value & 255]),
  u32: (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    return bytes;
  },
  u64: (value: number | bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return bytes;
  },
  hello: (flags = 3) => Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), wire.u16(flags)]),
  optionReply: (option: number, type: number, payload: Uint8Array = Buffer.alloc(0)) =>
    Buffer.concat([
      wire.u64(0x3e889045565a9n),
      wire.u32(option),
      wire.u32(type),
      wire.u32(payload.length),
      payload,
    ]),
  exportInfo: (size: number | bigint, flags: number) =>
    Buffer.concat([wire.u16(0), wire.u64(size), wire.u16(flags)]),
  blockSizeInfo: (minimum: number, preferred: number, maximum: number) =>
    Buffer.concat([wire.u16(3), wire.u32(minimum), wire.u32(preferred), wire.u32(maximum)]),
  metaContext: (id: number, name: string) => Buffer.concat([wire.u32(id), Buffer.from(name)]),
  simple: (cookie: bigint, error = 0, payload: Uint8Array = Buffer.alloc(0)) =>
    Buffer.concat([wire.u32(0x67446698), wire.u32(error), wire.u64(cookie), payload]),
  chunk: (cookie: bigint, type: number, payload: Uint8Array, done = true) =>
    Buffer.concat([
      wire.u32(0x668e33ef),
      wire.u16(done ? 1 : 0),
      wire.u16(type),
      wire.u64(cookie),
      wire.u32(payload.length),
      payload,
    ]),
  data: (offset: number, bytes: Uint8Array) => Buffer.concat([wire.u64(offset), bytes]),
  hole: (offset: number, length: number) => Buffer.concat([wire.u64(offset), wire.u32(length)]),
  error: (errno: number, text = '') =>
    Buffer.concat([wire.u32(errno), wire.u16(Buffer.byteLength(text)), Buffer.from(text)]),
  status: (context: number, ...extents: [number, number][]) =>
    Buffer.concat([
      wire.u32(context),
      ...extents.flatMap(([length, flags]) => [wire.u32(length), wire.u32(flags)]),
    ]),
};

export interface Request {
  flags: number;
  type: number;
  cookie: bigint;
  offset: number;
  length: number;
  payload: Buffer;
}

export interface FakeServerOptions {
  sizeBytes?: number;
  /** Transmission flags without the first bit. */
  flags?: number;
  structured?: boolean;
  contexts?: string[];
  blockSize?: [number, number, number];
  /** Takes the place of the honest answer to an option. */
  onOption?(option: number, payload: Buffer, socket: Socket): Uint8Array | undefined;
  /** Answers a command; nothing is sent for undefined. */
  onCommand?(request: Request, socket: Socket): Uint8Array | undefined;
  onConnect?(socket: Socket): boolean;
}

/** Turns a socket into exact reads. */
async function* exactly(socket: Socket): AsyncGenerator<Buffer, void, number> {
  let rest = Buffer.alloc(0);
  let wanted = yield rest;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= wanted) {
      const piece = rest.subarray(0, wanted);
      rest = rest.subarray(wanted);
      wanted = yield piece;
    }
  }
}

/** An NBD server that does what the test says, on a unix socket in a folder of its own. */
export class FakeServer {
  readonly path: string;
  readonly requests: Request[] = [];
  readonly options: number[] = [];
  connections = 0;
  readonly #folder: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #script: FakeServerOptions;

  private constructor(folder: string, script: FakeServerOptions) {
    this.#folder = folder;
    this.path = join(folder, 'nbd.sock');
    this.#script = script;
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
      // A client that hangs up in mid-word ends the talk; that is what the tests are about.
      this.#talk(socket).catch(() => socket.destroy());
    });
  }

  static async start(script: FakeServerOptions = {}): Promise<FakeServer> {
    const server = new FakeServer(await mkdtemp(join(tmpdir(), 'nbd-fake-')), script);
    await new Promise<void>((resolve) => server.#server.listen(server.path, resolve));
    return server;
  }

  /** Connections that nobody has ended. */
  get open(): number {
    return this.#sockets.size;
  }

  dropAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.dropAll();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.#folder, { recursive: true });
  }

  async #talk(socket: Socket): Promise<void> {
    if (this.#script.onConnect?.(socket) === true) return;
    const bytes = exactly(socket);
    await bytes.next();
    const take = async (length: number): Promise<Buffer> => {
      if (length === 0) return Buffer.alloc(0);
      const next = await bytes.next(length);
      if (next.done === true) throw new Error('the client hung up');
      return next.value;
    };
    socket.write(wire.hello());
    await take(4);
    for (;;) {
      const header = await take(16);
      const option = header.readUInt32BE(8);
      const payload = await take(header.readUInt32BE(12));
      this.options.push(option);
      const answer = this.#script.onOption?.(option, payload, socket);
      socket.write(answer ?? this.#answerOption(option));
      if (option === 7) break;
    }
    for (;;) {
      const header = await take(28);
      const type = header.readUInt16BE(6);
      const length = header.readUInt32BE(24);
      const request: Request = {
        flags: header.readUInt16BE(4),
        type,
        cookie: header.readBigUInt64BE(8),
        offset: Number(header.readBigUInt64BE(16)),
        length,
        payload: type === 1 ? await take(length) : Buffer.alloc(0),
      };
      this.requests.push(request);
      if (type === 2) return void socket.end();
      const answer = this.#script.onCommand?.(request, socket);
      if (answer) socket.write(answer);
    }
  }

  #answerOption(option: number): Buffer {
    const { sizeBytes = 1 << 20, flags = 0, structured = true, contexts, blockSize } = this.#script;
    const refuse = wire.optionReply(option, 0x80000001);
    const ack = wire.optionReply(option, 1);
    if (option === 8) return structured ? ack : refuse;
    if (option === 10) {
      const names = contexts ?? ['base:allocation'];
      const replies = names.map((name, id) =>
        wire.optionReply(10, 4, wire.metaContext(id + 1, name)),
      );
      return Buffer.concat([...replies, ack]);
    }
    if (option !== 7) return refuse;
    const infos = [wire.optionReply(7, 3, wire.exportInfo(sizeBytes, flags | 1))];
    if (blockSize) infos.push(wire.optionReply(7, 3, wire.blockSizeInfo(...blockSize)));
    return Buffer.concat([...infos, ack]);
  }
}
