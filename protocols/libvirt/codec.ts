/**
 * Codecs as values: the wire table is written with these, and the TypeScript types of arguments and
 * results are inferred from it.
 *
 * 64-bit numbers: `u64` and `i64` are bigints. `size` is an u64 that means bytes, KiB, milliseconds
 * or a count; it is a `number`, and a value over 2^53-1 is a `ProtocolError`, never a rounded number.
 * What is absent on the wire is `undefined`, and an optional property of its struct.
 */
import { ProtocolError } from './xdr.ts';
import type { XdrDecoder, XdrEncoder } from './xdr.ts';

/** How one type is written and read. `minBytes` is the least it takes on the wire, for bounds. */
export interface Codec<T> {
  readonly minBytes: number;
  encode(to: XdrEncoder, value: T): void;
  decode(from: XdrDecoder): T;
}

/** The fields of a struct, in wire order. */
export type Fields = Readonly<Record<string, Codec<unknown>>>;

/** The TypeScript type behind a codec. */
export type TypeOf<C> = C extends Codec<infer T> ? T : never;

type OptionalKeys<F extends Fields> = {
  [K in keyof F]: undefined extends TypeOf<F[K]> ? K : never;
}[keyof F];

type Flat<T> = { [K in keyof T]: T[K] };

/** The TypeScript type behind a struct's fields. */
export type StructOf<F extends Fields> = Flat<
  { [K in Exclude<keyof F, OptionalKeys<F>>]: TypeOf<F[K]> } & {
    [K in OptionalKeys<F>]?: TypeOf<F[K]>;
  }
>;

export const i32: Codec<number> = {
  minBytes: 4,
  encode: (to, value) => to.i32(value),
  decode: (from) => from.i32(),
};

export const u32: Codec<number> = {
  minBytes: 4,
  encode: (to, value) => to.u32(value),
  decode: (from) => from.u32(),
};

/** A set of bits in arguments; left out it is 0. */
export const flags: Codec<number | undefined> = {
  minBytes: 4,
  encode: (to, value = 0) => to.u32(value),
  decode: (from) => from.u32(),
};

export const i64: Codec<bigint> = {
  minBytes: 8,
  encode: (to, value) => to.i64(value),
  decode: (from) => from.i64(),
};

export const u64: Codec<bigint> = {
  minBytes: 8,
  encode: (to, value) => to.u64(value),
  decode: (from) => from.u64(),
};

/** An u64 of bytes, KiB, milliseconds or a count, as a `number` that is exact or an error. */
export const size: Codec<number> = {
  minBytes: 8,
  encode: (to, value) => {
    if (!Number.isSafeInteger(value)) throw new ProtocolError(`${value} is no exact integer`);
    to.u64(BigInt(value));
  },
  decode: (from) => {
    const value = Number(from.u64());
    if (!Number.isSafeInteger(value)) throw new ProtocolError(`a size of ${value} is out of range`);
    return value;
  },
};

/**
 * Like `size`, for room that is left: libvirt (9.0, src/storage/storage_driver.c) takes each new volume's size from a
 * pool's without a look, so that of more RBD images than the cluster has room for comes a number below zero, which is
 * none left.
 */
export const room: Codec<number> = {
  ...size,
  decode: (from) => Math.max(0, Math.min(Number(from.i64()), Number.MAX_SAFE_INTEGER)),
};

export const f64: Codec<number> = {
  minBytes: 8,
  encode: (to, value) => to.f64(value),
  decode: (from) => from.f64(),
};

/** An i32 that is 0 or not. */
export const bool: Codec<boolean> = {
  minBytes: 4,
  encode: (to, value) => to.i32(value ? 1 : 0),
  decode: (from) => from.i32() !== 0,
};

export const string: Codec<string> = {
  minBytes: 4,
  encode: (to, value) => to.string(value),
  decode: (from) => from.string(),
};

/** Text for people only: bytes that are not UTF-8 do not make the message unreadable. */
export const message: Codec<string> = {
  minBytes: 4,
  encode: (to, value) => to.string(value),
  decode: (from) => from.lossyString(),
};

/** Bytes of any content; what is decoded is a copy that the caller may keep. */
export const bytes = (maxBytes: number): Codec<Uint8Array> => ({
  minBytes: 4,
  encode: (to, value) => to.bytes(value, maxBytes),
  decode: (from) => Uint8Array.from(from.bytes(maxBytes)),
});

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** 16 raw bytes on the wire, the usual text with hyphens (lower case when decoded) in TypeScript. */
export const uuid: Codec<string> = {
  minBytes: 16,
  encode: (to, value) => {
    if (!UUID.test(value)) throw new ProtocolError(`'${value}' is no UUID`);
    to.fixed(Buffer.from(value.replaceAll('-', ''), 'hex'));
  },
  decode: (from) =>
    from
      .fixed(16)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
};

/** A C array of `length` chars, each sent as an XDR int, up to the first NUL (node info's CPU model). */
export const charArray = (length: number): Codec<string> => ({
  minBytes: 4 * length,
  encode: (to, value) => {
    const text = Buffer.from(value, 'latin1');
    if (text.length >= length)
      throw new ProtocolError(`'${value}' is over ${length - 1} characters`);
    for (let index = 0; index < length; index++) to.i32(text[index] ?? 0);
  },
  decode: (from) => {
    const text = Uint8Array.from({ length }, () => from.i32() & 0xff);
    const end = text.indexOf(0);
    return Buffer.from(end < 0 ? text : text.subarray(0, end)).toString('latin1');
  },
});

/** A counted C array of chars, each sent as an XDR int: what SASL sends. A copy when decoded. */
export const chars = (maxChars: number): Codec<Uint8Array> => ({
  minBytes: 4,
  encode: (to, value) => {
    if (value.length > maxChars) {
      throw new ProtocolError(`${value.length} chars are more than the ${maxChars} allowed here`);
    }
    to.u32(value.length);
    for (const each of value) to.i32(each > 0x7f ? each - 0x100 : each);
  },
  decode: (from) => {
    const length = from.count(4, maxChars);
    return Uint8Array.from({ length }, () => from.i32() & 0xff);
  },
});

/** A pointer that may be null: an i32 of 0 or 1, then the value if it is 1. */
export const optional = <T>(inner: Codec<T>): Codec<T | undefined> => ({
  minBytes: 4,
  encode: (to, value) => {
    to.i32(value === undefined ? 0 : 1);
    if (value !== undefined) inner.encode(to, value);
  },
  decode: (from) => {
    const present = from.i32();
    if (present !== 0 && present !== 1) {
      throw new ProtocolError(`${present} where 0 or 1 says whether a value follows`);
    }
    return present === 1 ? inner.decode(from) : undefined;
  },
});

/** A counted list of at most `maxItems`, and of no more than can be in the message. */
export const list = <T>(item: Codec<T>, maxItems: number): Codec<readonly T[]> => ({
  minBytes: 4,
  encode: (to, values) => {
    if (values.length > maxItems) {
      throw new ProtocolError(`${values.length} items are more than the ${maxItems} allowed here`);
    }
    to.u32(values.length);
    for (const value of values) item.encode(to, value);
  },
  decode: (from) =>
    Array.from({ length: from.count(Math.max(1, item.minBytes), maxItems) }, () =>
      item.decode(from),
    ),
});

/** Fields one after the other, in the order in which they are listed. */
export function struct<const F extends Fields>(fields: F): Codec<StructOf<F>> {
  const entries = Object.entries(fields);
  return {
    minBytes: entries.reduce((sum, [, field]) => sum + field.minBytes, 0),
    encode: (to, value) => {
      const values = value as Readonly<Record<string, unknown>>;
      for (const [name, field] of entries) encodeField({ to, name, field, value: values[name] });
    },
    decode: (from) =>
      Object.fromEntries(entries.map(([name, field]) => [name, field.decode(from)])) as StructOf<F>,
  };
}

interface FieldToEncode {
  to: XdrEncoder;
  name: string;
  field: Codec<unknown>;
  value: unknown;
}

/** Names the field in what goes wrong, so that a caller sees which argument it was. */
function encodeField({ to, name, field, value }: FieldToEncode): void {
  try {
    field.encode(to, value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProtocolError(`${name}: ${reason}`, { cause: error });
  }
}
