/** Messages on the byte stream: a length, six header fields, a body. */
import { MAX_MESSAGE_BYTES, ProtocolError, XdrEncoder } from './xdr.ts';

/** The RPC programs that share a connection. */
export const Program = { remote: 0x2000_8086, keepAlive: 0x6b65_6570 } as const;

/** What a message is (virNetMessageType). */
export const MessageType = { call: 0, reply: 1, event: 2, stream: 3, streamHole: 6 } as const;

/** Whether a reply succeeded; streams continue (virNetMessageStatus). */
export const MessageStatus = { ok: 0, error: 1, continue: 2 } as const;

const VERSION = 1;
const LENGTH_BYTES = 4;
/** Length, program, version, procedure, type, serial, status. */
export const HEADER_BYTES = 28;

/** A message without its length and version; `body` is still encoded. */
export interface Frame {
  readonly program: number;
  readonly procedure: number;
  readonly type: number;
  /** The caller's number of a call and of its reply; 0 for events and keep-alive. */
  readonly serial: number;
  readonly status: number;
  readonly body: Uint8Array;
}

/** The bytes of a message; a body over the limit is a `ProtocolError`. */
export function encodeFrame(frame: Frame): Buffer {
  const bytes = HEADER_BYTES + frame.body.length;
  const to = new XdrEncoder();
  to.u32(bytes);
  to.u32(frame.program);
  to.u32(VERSION);
  to.i32(frame.procedure);
  to.i32(frame.type);
  to.u32(frame.serial);
  to.i32(frame.status);
  if (bytes > MAX_MESSAGE_BYTES) throw new ProtocolError(`a message of ${bytes} bytes is too long`);
  return Buffer.concat([to.finish(), frame.body], bytes);
}

/**
 * Cuts a byte stream into messages, however it was split. Memory grows only with bytes that came:
 * a length by itself allocates nothing, and one out of range is a `ProtocolError`.
 */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;
  #neededBytes = LENGTH_BYTES;

  /** Takes the next bytes, returns the messages that are complete with them. */
  *push(chunk: Uint8Array): Generator<Frame, void, undefined> {
    if (chunk.length === 0) return;
    this.#chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#bufferedBytes += chunk.length;
    while (this.#bufferedBytes >= this.#neededBytes) {
      const buffered = this.#join();
      const length = buffered.readUInt32BE(0);
      if (length < HEADER_BYTES || length > MAX_MESSAGE_BYTES) {
        throw new ProtocolError(`a message of ${length} bytes is no libvirt message`);
      }
      this.#neededBytes = length;
      if (this.#bufferedBytes < length) return;
      this.#keep(buffered.subarray(length));
      yield decodeFrame(buffered.subarray(0, length));
    }
  }

  /** Joins what came only once a length or a whole message is there, so the work stays linear. */
  #join(): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const joined = Buffer.concat(this.#chunks, this.#bufferedBytes);
    this.#chunks = [joined];
    return joined;
  }

  #keep(rest: Buffer): void {
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bufferedBytes = rest.length;
    this.#neededBytes = LENGTH_BYTES;
  }
}

function decodeFrame(bytes: Buffer): Frame {
  const version = bytes.readUInt32BE(8);
  if (version !== VERSION) throw new ProtocolError(`version ${version} of the protocol is unknown`);
  return {
    program: bytes.readUInt32BE(4),
    procedure: bytes.readInt32BE(12),
    type: bytes.readInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
    body: bytes.subarray(HEADER_BYTES),
  };
}
