import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ParcelError,
  decodeParcel,
  encodeParcel,
  maxParcelBytes,
  maxParcelEntries,
} from '../../../platforms/libvirt/state-parcel.ts';
import type { StateContent } from '../../../platforms/libvirt/state-parcel.ts';

const uuid = '7d9e6a4c-52a1-4f0e-8f2b-9d7f5a3c1b20';
const bytes = fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each));
const states: fc.Arbitrary<StateContent> = fc
  .record({
    nvram: fc.option(bytes, { nil: undefined }),
    files: fc.uniqueArray(
      fc.record({ name: fc.constantFrom('tpm2-00.permall', 'a', 'B_1'), content: bytes }),
      { selector: ({ name }) => name },
    ),
    secrets: fc.uniqueArray(
      fc.record({
        uuid: fc.uuid(),
        usageType: fc.constantFrom('none', 'ceph', 'iscsi', 'volume', 'vtpm'),
        usage: fc.string({ maxLength: 20 }),
        ephemeral: fc.boolean(),
        value: bytes,
      }),
      { selector: ({ uuid: each }) => each, maxLength: 4 },
    ),
    snapshots: fc.array(fc.record({ xml: fc.string(), current: fc.constant(false) }), {
      maxLength: 4,
    }),
  })
  .map(({ nvram, files, secrets, snapshots }) => ({
    uuid,
    ...(nvram === undefined ? {} : { nvram }),
    ...(files.length === 0 ? {} : { tpm: { version: 'tpm2' as const, files } }),
    secrets,
    snapshots,
  }));

const nothing: StateContent = { uuid, secrets: [], snapshots: [] };
const refusal = expect.any(ParcelError) as ParcelError;

/** A parcel with an index of our own choosing. */
function forged(index: unknown, contents = Buffer.alloc(0)): Buffer {
  const text = Buffer.from(typeof index === 'string' ? index : JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.byteLength);
  return Buffer.concat([Buffer.from('vmferry state 1\n'), length, text, contents]);
}

describe('a parcel', () => {
  it('gives back what was put in', () => {
    fc.assert(
      fc.property(states, (state) => {
        expect(decodeParcel(encodeParcel(state))).toEqual(state);
      }),
      { numRuns: 100 },
    );
  });

  it('that is cut off anywhere, or has more than it says, is refused', () => {
    const whole = encodeParcel({ ...nothing, nvram: Buffer.from('variables') });
    for (let length = 0; length < whole.byteLength; length += 1) {
      expect(() => decodeParcel(whole.subarray(0, length))).toThrow(refusal);
    }
    expect(() => decodeParcel(Buffer.concat([whole, Buffer.from('x')]))).toThrow(refusal);
  });

  it('of random bytes is refused, and by nothing but a refusal', () => {
    const heads = fc.constantFrom(Buffer.alloc(0), Buffer.from('vmferry state 1\n'));
    fc.assert(
      fc.property(heads, fc.uint8Array({ maxLength: 300 }), (head, rest) => {
        expect(() => decodeParcel(Buffer.concat([head, rest]))).toThrow(refusal);
      }),
      { numRuns: 200 },
    );
  });

  const tpm = { role: 'tpm', version: 'tpm2', name: 'a', bytes: 0 };
  const secret = {
    ...{ role: 'secret', uuid, usageType: 'none', usage: '', ephemeral: false, bytes: 0 },
  };
  it.each([
    ['a path as the name of a file', [{ ...tpm, name: '../../../etc/passwd' }]],
    ['a name with a slash', [{ ...tpm, name: 'a/b' }]],
    ['a hidden name', [{ ...tpm, name: '.lock' }]],
    ['an empty name', [{ ...tpm, name: '' }]],
    ['a name with a zero byte', [{ ...tpm, name: 'a\0b' }]],
    ['one file twice', [tpm, tpm]],
    ['two TPMs', [tpm, { ...tpm, version: 'tpm1.2', name: 'b' }]],
    ['another folder for a TPM', [{ ...tpm, version: '../tpm2' }]],
    ['variables twice', [0, 0].map((count) => ({ role: 'nvram', bytes: count }))],
    ['a role that nobody knows', [{ role: 'disk', bytes: 0 }]],
    ['a path of its own', [{ role: 'nvram', bytes: 0, path: '/etc/shadow' }]],
    ['a negative length', [{ role: 'nvram', bytes: -1 }]],
    ['a length that is no integer', [{ role: 'nvram', bytes: 0.5 }]],
    ['a length beyond its end', [{ role: 'nvram', bytes: maxParcelBytes }]],
    ['a secret whose UUID is none', [{ ...secret, uuid: '../x' }]],
    ['one secret twice', [secret, secret]],
    [
      'two current snapshots',
      [0, 0].map((count) => ({ role: 'snapshot', current: true, bytes: count })),
    ],
    [
      'too many entries',
      Array.from({ length: maxParcelEntries + 1 }, () => ({
        role: 'snapshot',
        current: false,
        bytes: 0,
      })),
    ],
  ])('with %s is refused', (_what, entries) => {
    expect(() => decodeParcel(forged({ uuid, entries }))).toThrow(refusal);
  });

  it.each([
    ['is no JSON', '{'],
    ['is nothing', 'null'],
    ['names no VM', { uuid: '/etc', entries: [] }],
    [
      'tries for a prototype',
      '{"uuid":"7d9e6a4c-52a1-4f0e-8f2b-9d7f5a3c1b20","entries":[],"__proto__":{}}',
    ],
  ])('whose index %s is refused', (_what, index) => {
    expect(() => decodeParcel(forged(index))).toThrow(refusal);
  });

  it('is refused at once when its lengths lie about more than it has', () => {
    const lying = Buffer.from('vmferry state 1\n\xff\xff\xff\xff', 'latin1');
    expect(() => decodeParcel(lying)).toThrow(/index/);
  });

  it('is not made beyond its bounds', () => {
    const large = { ...nothing, nvram: Buffer.alloc(maxParcelBytes) };
    expect(() => encodeParcel(large)).toThrow(/bytes, more than/);
    const snapshots = Array.from({ length: maxParcelEntries + 1 }, () => ({
      xml: '<domainsnapshot/>',
      current: false,
    }));
    expect(() => encodeParcel({ ...nothing, snapshots })).toThrow(/65 parts, more than/);
  });
});
