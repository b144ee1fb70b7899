import { randomBytes } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { loadDataConverter } from '@temporalio/common/lib/internal-non-workflow/index.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EncryptionCodec, dataConverter } from '../../../client/payload-codec.ts';

const k1 = { id: 'k1', key: randomBytes(32) };
const k2 = { id: 'k2', key: randomBytes(32) };
const codec = new EncryptionCodec({ keys: [k1], active: 'k1' });
const payloadOf = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const valueOf = (payload: Payload): unknown => defaultPayloadConverter.fromPayload(payload);
const seal = async (value: unknown, by = codec): Promise<Payload> =>
  (await by.encode([payloadOf(value)]))[0]!;

/** What JSON can tell apart: it has no negative zero. */
const jsonValue = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);

describe('the payload codec', () => {
  it('gives back what it was given, for any values and numbers of payloads', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(jsonValue, { maxLength: 4 }), async (values) => {
        const opened = await codec.decode(await codec.encode(values.map(payloadOf)));
        expect(opened.map(valueOf)).toEqual(values);
      }),
      { numRuns: 100 },
    );
  });

  it('keeps bytes and an undefined value apart from JSON', async () => {
    const [bytes, nothing] = await codec.decode([
      await seal(new Uint8Array([0, 1, 255])),
      await seal(undefined),
    ]);
    expect(valueOf(bytes!)).toEqual(new Uint8Array([0, 1, 255]));
    expect(valueOf(nothing!)).toBeUndefined();
  });

  it('shows neither the value nor its encoding, only the key ID', async () => {
    const sealed = await seal({ password: 'swordfish' });
    const metadata = Object.entries(sealed.metadata!).map(([name, data]) => [
      name,
      Buffer.from(data).toString(),
    ]);
    expect(Object.fromEntries(metadata)).toEqual({
      encoding: 'binary/encrypted',
      'encryption-key-id': 'k1',
    });
    expect(Buffer.from(sealed.data!).includes('swordfish')).toBe(false);
    expect(Buffer.from(sealed.data!).includes('json/plain')).toBe(false);
  });

  it('never uses a nonce twice', async () => {
    const sealed = await Promise.all(Array.from({ length: 200 }, () => seal('same')));
    expect(
      new Set(sealed.map((one) => Buffer.from(one.data!.subarray(0, 12)).toString('hex'))).size,
    ).toBe(200);
  });

  it('refuses a payload with any single bit changed', async () => {
    const sealed = await seal('a value');
    for (let index = 0; index < sealed.data!.length; index++) {
      const data = Uint8Array.from(sealed.data!);
      data[index]! ^= 1 << (index % 8);
      await expect(codec.decode([{ ...sealed, data }])).rejects.toMatchObject({
        code: 'payload-damaged',
      });
    }
  });

  it('refuses a payload cut short', async () => {
    const sealed = await seal('a value');
    for (const length of [0, 11, 27, sealed.data!.length - 1]) {
      await expect(
        codec.decode([{ ...sealed, data: sealed.data!.subarray(0, length) }]),
      ).rejects.toMatchObject({ code: 'payload-damaged' });
    }
  });

  it('refuses another key under the same ID', async () => {
    const other = new EncryptionCodec({ keys: [{ id: 'k1', key: randomBytes(32) }], active: 'k1' });
    await expect(other.decode([await seal('x')])).rejects.toMatchObject({
      code: 'payload-damaged',
      handling: 'permanent',
    });
  });

  it('binds the key ID: the same key under another ID does not open the payload', async () => {
    const both = new EncryptionCodec({ keys: [k1, { id: 'alias', key: k1.key }], active: 'k1' });
    const sealed = await seal('x', both);
    const renamed = {
      ...sealed,
      metadata: { ...sealed.metadata, 'encryption-key-id': Buffer.from('alias') },
    };
    await expect(both.decode([renamed])).rejects.toMatchObject({ code: 'payload-damaged' });
  });

  it('reads old payloads after a rotation and writes with the new key', async () => {
    const old = await seal('old');
    const rotated = new EncryptionCodec({ keys: [k1, k2], active: 'k2' });
    const fresh = await seal('new', rotated);
    expect(Buffer.from(fresh.metadata!['encryption-key-id']!).toString()).toBe('k2');
    expect((await rotated.decode([old, fresh])).map(valueOf)).toEqual(['old', 'new']);
    await expect(codec.decode([fresh])).rejects.toMatchObject({
      code: 'payload-key-unknown',
      handling: 'needs-operator',
      message: expect.stringContaining('"k2"') as string,
    });
  });

  it("lets the server's own words on a cancelled activity through, and nothing like them", async () => {
    const words = ['ACTIVITY_ID_NOT_STARTED', 'ACTIVITY_ID_UNKNOWN'];
    expect((await codec.decode(words.map(payloadOf))).map(valueOf)).toEqual(words);
    const refusal = { code: 'payload-not-encrypted' };
    for (const other of ['ACTIVITY_ID_NOT_STARTED ', 'activity_id_unknown', [words[0]], words])
      await expect(codec.decode([payloadOf(other)])).rejects.toMatchObject(refusal);
  });

  it('refuses what is not encrypted, and says who may have sent it', async () => {
    await expect(codec.decode([payloadOf('plain')])).rejects.toMatchObject({
      code: 'payload-not-encrypted',
      message: expect.stringContaining('json/plain') as string,
    });
    await expect(codec.decode([{}])).rejects.toMatchObject({ code: 'payload-not-encrypted' });
  });

  it.each([
    ['a short key', { keys: [{ id: 'k', key: randomBytes(31) }], active: 'k' }, /31 bytes/],
    ['an ID used twice', { keys: [k1, { ...k2, id: 'k1' }], active: 'k1' }, /twice/],
    ['an active key that is missing', { keys: [k1], active: 'k9' }, /"k9"/],
    ['an ID with a line break', { keys: [{ ...k1, id: 'a\nb' }], active: 'a\nb' }, /A-Z/],
  ])('refuses %s', (_what, keys, message) => {
    expect(() => new EncryptionCodec(keys)).toThrow(message);
  });

  it('keeps messages and stacks of failures inside encrypted payloads', () => {
    const { failureConverter, payloadConverter } = loadDataConverter(
      dataConverter({ keys: [k1], active: 'k1' }),
    );
    const failure = failureConverter.errorToFailure(new Error('swordfish'), payloadConverter);
    expect(failure.message).toBe('Encoded failure');
    expect(failure.stackTrace).toBe('');
    expect(failureConverter.failureToError(failure, payloadConverter).message).toBe('swordfish');
  });
});
