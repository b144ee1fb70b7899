/**
 * XDR (RFC 4506): the byte layout under libvirt's RPC. Everything is big-endian and padded to 4 bytes.
 *
 * Both directions are bounded. The decoder never allocates by a length that it was told: it first
 * checks that so many bytes are there. The encoder refuses what a C program on the other side would
 * read differently: a NUL inside a string, a lone surrogate, a number out of range.
 */

/** Bytes that are no valid message, or a value that the wire cannot carry. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** libvirt's own bound for one string (REMOTE_STRING_MAX), in bytes. */
const MAX_STRING_BYTES = 4 * 1024 * 1024;

/** libvirt's own bound for one message (VIR_NET_MESSAGE_MAX), in bytes. */
export const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

const I32_MIN = -0x8000_0000;
const I32_MAX = 0x7fff_ffff;
const U32_MAX = 0xffff_ffff;
const U64_MAX = (1n << 64n) - 1n;
const I64_MIN = -(1n << 63n);
const I64_MAX = (1n << 63n) - 1n;
const PADDING = Buffer.alloc(3);

const paddingOf = (bytes: number): number => (4 - (bytes % 4)) % 4;

/** Writes values one after the other into a buffer that grows up to `maxBytes`. */
export class XdrEncoder {
  #buffer = Buffer.allocUnsafe(256);
  #used = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number = MAX_MESSAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** What was written so far; the encoder must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  i32(value: number): void {
    mustBeInteger(value, I32_MIN, I32_MAX, 'i32');
    const at = this.#reserve(4);
    this.#buffer.writeInt32BE(value, at);
  }

  u32(value: number): void {
    mustBeInteger(value, 0, U32_MAX, 'u32');
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value, at);
  }

  i64(value: bigint): void {
    mustBeBetween(value, I64_MIN, I64_MAX, 'i64');
    const at = this.#reserve(8);
    this.#buffer.writeBigInt64BE(value, at);
  }

  u64(value: bigint): void {
    mustBeBetween(value, 0n, U64_MAX, 'u64');
    const at = this.#reserve(8);
    this.#buffer.writeBigUInt64BE(value, at);
  }

  f64(value: number): void {
    const at = this.#reserve(8);
    this.#buffer.writeDoubleBE(value, at);
  }

  /** Content without a length, padded: the length is known to both sides. */
  fixed(bytes: Uint8Array): void {
    const padding = paddingOf(bytes.length);
    const at = this.#reserve(bytes.length + padding);
    this.#buffer.set(bytes, at);
    this.#buffer.set(PADDING.subarray(0, padding), at + bytes.length);
  }

  bytes(bytes: Uint8Array, maxBytes: number): void {
    if (bytes.length > maxBytes) {
      throw new ProtocolError(`${bytes.length} bytes are more than the ${maxBytes} allowed here`);
    }
    this.u32(bytes.length);
    this.fixed(bytes);
  }

  /** UTF-8. A NUL would end the string early on the other side, so it is refused. */
  string(text: string): void {
    if (text.includes('\0'))
      throw new ProtocolError('a string with a NUL character cannot be sent');
    if (!text.isWellFormed())
      throw new ProtocolError('a string with a lone surrogate cannot be sent');
    this.bytes(Buffer.from(text, 'utf8'), MAX_STRING_BYTES);
  }

  /** May replace the buffer: call it before the buffer is named. */
  #reserve(bytes: number): number {
    const at = this.#used;
    const needed = at + bytes;
    if (needed > this.#maxBytes) {
      throw new ProtocolError(`a message over ${this.#maxBytes} bytes cannot be sent`);
    }
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(needed, at * 2)));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#used = needed;
    return at;
  }
}

/** Reads values one after the other; throws `ProtocolError` when bytes are missing or make no sense. */
export class XdrDecoder {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remainingBytes(): number {
    return this.#buffer.length - this.#at;
  }

  /** Bytes left over mean that the two sides disagree about the layout, so nothing read can be trusted. */
  end(): void {
    if (this.remainingBytes > 0) {
      throw new ProtocolError(`${this.remainingBytes} bytes too many at the end of a message`);
    }
  }

  i32(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  i64(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8));
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  f64(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  /** A view, not a copy: valid as long as the message is. */
  fixed(bytes: number): Buffer {
    const at = this.#take(bytes);
    this.#skipPadding(bytes);
    return this.#buffer.subarray(at, at + bytes);
  }

  /** A view, not a copy: valid as long as the message is. */
  bytes(maxBytes: number): Buffer {
    const length = this.u32();
    if (length > maxBytes) {
      throw new ProtocolError(`a length of ${length} is more than the ${maxBytes} allowed here`);
    }
    return this.fixed(length);
  }

  /** Bad UTF-8 is an error: a path or a name that was repaired silently would be another one. */
  string(): string {
    const bytes = this.bytes(MAX_STRING_BYTES);
    const text = bytes.toString('utf8');
    if (text.includes('\uFFFD') && Buffer.from(text, 'utf8').compare(bytes) !== 0) {
      throw new ProtocolError('a string is not valid UTF-8');
    }
    return text;
  }

  /** For texts that only people read (error messages in a foreign encoding): bad bytes become U+FFFD. */
  lossyString(): string {
    return this.bytes(MAX_STRING_BYTES).toString('utf8');
  }

  /** The item count of a list; refused unless so many items of `minItemBytes` can still follow. */
  count(minItemBytes: number, maxItems: number): number {
    const count = this.u32();
    if (count > maxItems || count * minItemBytes > this.remainingBytes) {
      throw new ProtocolError(`a list of ${count} items does not fit its message`);
    }
    return count;
  }

  #take(bytes: number): number {
    if (bytes > this.remainingBytes) {
      throw new ProtocolError(`${bytes} bytes expected, ${this.remainingBytes} left`);
    }
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  #skipPadding(bytes: number): void {
    const padding = paddingOf(bytes);
    const at = this.#take(padding);
    for (let index = at; index < at + padding; index++) {
      if (this.#buffer[index] !== 0) throw new ProtocolError('padding that is not zero');
    }
  }
}

function mustBeInteger(value: number, min: number, max: number, type: string): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new ProtocolError(`${value} is no ${type}`);
  }
}

function mustBeBetween(value: bigint, min: bigint, max: bigint, type: string): void {
  if (value < min || value > max) throw new ProtocolError(`${value.toString()} is no ${type}`);
}
