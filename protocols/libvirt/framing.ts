/** Messages on the byte stream: a length, six header fields, a body. */
import { MAX_MESSAGE_BYTES, ProtocolError, XdrEncoder } from './xdr.ts';

/** The RPC programs that share a connection. */
export const Program = { remote: 0x2000_8086, qemu: 0x2000_8087, keepAlive: 0x6b65_6570 } as const;

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

/** A message that comes in pieces gets this much at first, then twice as much as before. */
const FIRST_PART_BYTES = 64 * 1024;

/**
 * Cuts a byte stream into messages, however it was split. A length by itself allocates 64 KiB at most,
 * and one out of range is a `ProtocolError`; what is kept of an unfinished message is at most twice
 * what came of it, in whatever pieces it came, and never more than 32 MiB.
 */
export class FrameReader {
  #part = Buffer.alloc(LENGTH_BYTES);
  #partBytes = 0;
  #neededBytes = LENGTH_BYTES;

  /** Takes the next bytes, returns the messages that are complete with them. */
  *push(chunk: Uint8Array): Generator<Frame, void, undefined> {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      const lengthBytes = this.#partBytes === 0 ? wholeMessageBytes(rest) : undefined;
      if (lengthBytes !== undefined) {
        const whole = rest.subarray(0, lengthBytes);
        rest = rest.subarray(lengthBytes);
        yield decodeFrame(whole);
        continue;
      }
      rest = this.#keep(rest);
      const complete = this.#takeComplete();
      if (complete !== undefined) yield decodeFrame(complete);
    }
  }

  /** Keeps what belongs to the unfinished message, gives back the rest. */
  #keep(bytes: Buffer): Buffer {
    const kept = Math.min(bytes.length, this.#neededBytes - this.#partBytes);
    const used = this.#partBytes + kept;
    if (used > this.#part.length) {
      const roomBytes = Math.max(used, 2 * this.#part.length, FIRST_PART_BYTES);
      const grown = Buffer.allocUnsafeSlow(Math.min(roomBytes, this.#neededBytes));
      this.#part.copy(grown, 0, 0, this.#partBytes);
      this.#part = grown;
    }
    bytes.copy(this.#part, this.#partBytes, 0, kept);
    this.#partBytes = used;
    if (used === LENGTH_BYTES) this.#neededBytes = lengthOf(this.#part);
    return bytes.subarray(kept);
  }

  /** A message that was completed is handed out with its memory, which nobody writes to any more. */
  #takeComplete(): Buffer | undefined {
    if (this.#partBytes < this.#neededBytes || this.#neededBytes === LENGTH_BYTES) return undefined;
    const complete = this.#part.subarray(0, this.#neededBytes);
    this.#part = Buffer.alloc(LENGTH_BYTES);
    this.#partBytes = 0;
    this.#neededBytes = LENGTH_BYTES;
    return complete;
  }
}

function lengthOf(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0);
  if (length < HEADER_BYTES || length > MAX_MESSAGE_BYTES) {
    throw new ProtocolError(`a message of ${length} bytes is no libvirt message`);
  }
  return length;
}

/** The length of the message that the bytes begin with, undefined unless it is there as a whole. */
function wholeMessageBytes(bytes: Buffer): number | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined;
  const length = lengthOf(bytes);
  return bytes.length >= length ? length : undefined;
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
