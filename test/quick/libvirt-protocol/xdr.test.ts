import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as codec from '../../../protocols/libvirt/codec.ts';
import type { Codec } from '../../../protocols/libvirt/codec.ts';
import { events } from '../../../protocols/libvirt/events.ts';
import { procedures } from '../../../protocols/libvirt/procedures.ts';
import { param, typedParams } from '../../../protocols/libvirt/typed-params.ts';
import { domain, remoteError } from '../../../protocols/libvirt/types.ts';
import { ProtocolError, XdrDecoder, XdrEncoder } from '../../../protocols/libvirt/xdr.ts';

const encode = <T>(as: Codec<T>, value: T): Buffer => {
  const to = new XdrEncoder();
  as.encode(to, value);
  return to.finish();
};
const decode = <T>(as: Codec<T>, bytes: Uint8Array): T => {
  const from = new XdrDecoder(bytes);
  const value = as.decode(from);
  from.end();
  return value;
};

const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((each) => !each.includes('\0'));
const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const uuid = fc.uuid({ version: [1, 2, 3, 4, 5, 6, 7] });
const aDomain = fc.record({ name: text, uuid, id: i32 });
const aParam = fc.oneof(
  fc.tuple(text, i32).map(([name, value]) => param.i32(name, value)),
  fc.tuple(text, u32).map(([name, value]) => param.u32(name, value)),
  fc.tuple(text, i64).map(([name, value]) => param.i64(name, value)),
  fc.tuple(text, u64).map(([name, value]) => param.u64(name, value)),
  fc.tuple(text, fc.double()).map(([name, value]) => param.f64(name, value)),
  fc.tuple(text, fc.boolean()).map(([name, value]) => param.bool(name, value)),
  fc.tuple(text, text).map(([name, value]) => param.string(name, value)),
);
const size = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 70 });

/** What is encoded comes back, takes whole words, and no shorter form of it can be read. */
function comesBack<T>(as: Codec<T>, values: fc.Arbitrary<T>): void {
  fc.assert(
    fc.property(values, fc.nat(), (value, cut) => {
      const wire = encode(as, value);
      expect(wire.length % 4).toBe(0);
      expect(wire.length).toBeGreaterThanOrEqual(as.minBytes);
      expect(decode(as, wire)).toEqual(value);
      const shorter = wire.subarray(0, cut % wire.length);
      expect(() => decode(as, shorter)).toThrow(ProtocolError);
    }),
    { numRuns: 60 },
  );
}

describe('XDR values come back as they were', () => {
  it.each([
    ['i32', () => comesBack(codec.i32, i32)],
    ['u32', () => comesBack(codec.u32, u32)],
    ['i64', () => comesBack(codec.i64, i64)],
    ['u64', () => comesBack(codec.u64, u64)],
    ['size', () => comesBack(codec.size, size)],
    ['f64', () => comesBack(codec.f64, fc.double())],
    ['bool', () => comesBack(codec.bool, fc.boolean())],
    ['string', () => comesBack(codec.string, text)],
    ['bytes', () => comesBack(codec.bytes(100), bytes)],
    ['uuid', () => comesBack(codec.uuid, uuid)],
    [
      'optional',
      () => comesBack(codec.optional(codec.string), fc.option(text, { nil: undefined })),
    ],
    ['list', () => comesBack(codec.list(codec.string, 9), fc.array(text, { maxLength: 9 }))],
    ['domain', () => comesBack(domain, aDomain)],
    ['typed parameters', () => comesBack(typedParams(8), fc.array(aParam, { maxLength: 8 }))],
  ])('%s', (_name, property) => property());
});

describe('what the wire cannot carry is refused before it is sent', () => {
  it.each<[string, () => unknown]>([
    ['a NUL in a string', () => encode(codec.string, 'web\0-1')],
    ['a lone surrogate', () => encode(codec.string, '\ud800')],
    ['an i32 out of range', () => encode(codec.i32, 2 ** 31)],
    ['a fraction', () => encode(codec.u32, 1.5)],
    ['NaN', () => encode(codec.i32, Number.NaN)],
    ['a negative u32', () => encode(codec.u32, -1)],
    ['a negative u64', () => encode(codec.u64, -1n)],
    ['a size that is not exact', () => encode(codec.size, 2 ** 53)],
    ['a UUID without hyphens', () => encode(codec.uuid, 'a'.repeat(32))],
    ['a list over its limit', () => encode(codec.list(codec.i32, 1), [1, 2])],
    ['bytes over their limit', () => encode(codec.bytes(3), new Uint8Array(4))],
    ['a string over 4 MiB', () => encode(codec.string, 'x'.repeat(4 * 1024 * 1024 + 1))],
  ])('%s', (_name, attempt) => {
    expect(attempt).toThrow(ProtocolError);
  });

  it('names the field that is wrong', () => {
    expect(() => encode(domain, { name: 'a', uuid: 'no', id: 1 })).toThrow(
      /^uuid: 'no' is no UUID/,
    );
  });

  it('bounds a message as a whole', () => {
    const to = new XdrEncoder(16);
    to.u64(1n);
    to.u64(2n);
    expect(() => to.u32(3)).toThrow(/over 16 bytes/);
  });
});

describe('hostile bytes', () => {
  const huge = Buffer.from('ffffffff', 'hex');

  it.each<[string, Codec<unknown>]>([
    ['string', codec.string],
    ['bytes', codec.bytes(0xffff_ffff)],
    ['list', codec.list(codec.string, 0xffff_ffff)],
    ['list of empty structs', codec.list(codec.struct({}), 0xffff_ffff)],
  ])('a huge length of a %s is refused without allocating by it', (_name, as) => {
    expect(() => decode(as, huge)).toThrow(ProtocolError);
  });

  it('invalid UTF-8 is refused in a name, tolerated in an error message', () => {
    const latin1 = Buffer.from('00000003666fe900', 'hex');
    expect(() => decode(codec.string, latin1)).toThrow(/UTF-8/);
    expect(decode(codec.message, latin1)).toBe('fo\uFFFD');
    expect(decode(codec.string, encode(codec.string, '\uFFFD'))).toBe('\uFFFD');
  });

  it('padding that is not zero, a wrong presence mark, bytes left over are refused', () => {
    expect(() => decode(codec.string, Buffer.from('0000000161000001', 'hex'))).toThrow(/padding/);
    expect(() => decode(codec.optional(codec.i32), Buffer.from('00000002', 'hex'))).toThrow(
      /0 or 1/,
    );
    expect(() => decode(codec.i32, Buffer.alloc(8))).toThrow(/4 bytes too many/);
  });

  it('room below zero, as libvirt reckons it of a pool that is promised away, is none', () => {
    const seen = ['ffffffffFE000000', '0000000002000000', '7fffffffffffffff'].map((hex) =>
      decode(codec.room, Buffer.from(hex, 'hex')),
    );
    expect(seen).toEqual([0, 2 ** 25, Number.MAX_SAFE_INTEGER]);
  });

  it('a size over 2^53 is an error, never a rounded number', () => {
    expect(() => decode(codec.size, Buffer.from('0020000000000001', 'hex'))).toThrow(
      /out of range/,
    );
  });

  it('no result, event or error body makes anything but a value or a ProtocolError of them', () => {
    const codecs: Codec<unknown>[] = [
      ...Object.values(procedures).flatMap(
        ({ args, result }) => [args, result] as Codec<unknown>[],
      ),
      ...Object.values(events).map(({ payload }) => payload as Codec<unknown>),
      remoteError,
    ];
    let refused = 0;
    const words = fc.array(fc.oneof(fc.nat({ max: 8 }), u32), { maxLength: 40 });
    fc.assert(
      fc.property(words, (values) => {
        const hostile = Buffer.alloc(values.length * 4);
        values.forEach((value, index) => hostile.writeUInt32BE(value, index * 4));
        for (const as of codecs) {
          try {
            decode(as, hostile);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
            refused += 1;
          }
        }
      }),
      { numRuns: 40 },
    );
    expect(refused).toBeGreaterThan(1000);
  });
});

describe('known bytes', () => {
  it('a domain is laid out as libvirt lays it out', () => {
    const wire = encode(domain, {
      name: 'web-1',
      uuid: '11111111-2222-4333-8444-55555555aaaa',
      id: -1,
    });
    expect(wire.toString('hex')).toBe(
      '00000005' + '7765622d31000000' + '1111111122224333844455555555aaaa' + 'ffffffff',
    );
  });

  it('node information is 32 characters of one word each, then its numbers', () => {
    const model = Buffer.alloc(128);
    Buffer.from('x86_64').forEach((letter, index) => model.writeUInt32BE(letter, index * 4));
    const numbers = Buffer.from(
      '0000000000001000' + '00000002' + '00000960' + '00000001'.repeat(3) + '00000002',
      'hex',
    );
    expect(decode(procedures.NodeGetInfo.result, Buffer.concat([model, numbers]))).toEqual({
      model: 'x86_64',
      memory: 4096,
      cpus: 2,
      mhz: 2400,
      nodes: 1,
      sockets: 1,
      cores: 1,
      threads: 2,
    });
  });

  it('no two calls share a number, and no two events', () => {
    const numbers = Object.values(procedures).map(({ number }) => number);
    expect(new Set(numbers).size).toBe(numbers.length);
    const ids = Object.values(events).flatMap(({ procedure, eventId }) => [procedure, eventId]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
