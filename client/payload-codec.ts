import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { DataConverter, Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { needsOperator, permanent } from '../domain/errors.ts';

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
/** Temporal's own samples use these two names, so that people and tools recognise what they see. */
const encodingKey = 'encoding';
const keyIdKey = 'encryption-key-id';
const encodingEncrypted = 'binary/encrypted';
/** Bound to every payload: another layout of the bytes gets another name, and old ones still read as what they are. */
const format = 'vmferry-payload-v1 aes-256-gcm nonce12 tag16';
/** No key ID is longer; what is longer was not written by us. */
const maxKeyIdBytes = 64;

/**
 * What Temporal's server itself says of a cancelled activity, in plain: it has no key. Without these a move could not be
 * cancelled while a host is away. They are the only texts that are let through, and they carry no order.
 * Source: service/history/workflow, `activityCancellationMsg...`, server 1.32.
 */
const serverWords: readonly string[] = ['"ACTIVITY_ID_NOT_STARTED"', '"ACTIVITY_ID_UNKNOWN"'];
const encodingPlain = 'json/plain';

/** One key of the ring. */
export interface PayloadKey {
  /** Names the key in every payload it encrypted; 1 to 64 of `A-Z a-z 0-9 . _ -`. */
  id: string;
  /** 32 bytes. */
  key: Uint8Array;
}

/** All keys that may still have to be read, and the one that writes. */
export interface PayloadKeys {
  keys: readonly PayloadKey[];
  /** ID of the key that encrypts from now on. */
  active: string;
}

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;

const associatedData = (keyId: string): Buffer => Buffer.from(`${format}\n${keyId}`, 'utf8');

const text = (bytes: Uint8Array | null | undefined): string | undefined =>
  bytes === null || bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');

/**
 * Encrypts every payload with AES-256-GCM under the active key and a random 96-bit nonce, and decrypts by the key ID
 * that the payload names. The whole inner payload, its metadata included, is inside.
 *
 * What the server itself says of a cancelled activity is let through. Decoding throws `payload-not-encrypted`, `payload-damaged` (both permanent) or `payload-key-unknown`
 * (needs-operator). Random nonces allow about 2^32 payloads a key before a new one is due (NIST SP 800-38D, 8.3).
 */
export class EncryptionCodec implements PayloadCodec {
  readonly #keys: ReadonlyMap<string, Uint8Array>;
  readonly #active: PayloadKey;

  /** Throws `payload-keys-invalid` if a key has not 32 bytes, an ID is used twice, or the active key is missing. */
  constructor({ keys, active }: PayloadKeys) {
    const ring = new Map<string, Uint8Array>();
    for (const { id, key } of keys) {
      if (!/^[\w.-]{1,64}$/.test(id))
        throw invalidKeys(`the key ID ${JSON.stringify(id)} is not 1 to 64 of A-Z a-z 0-9 . _ -`);
      if (ring.has(id)) throw invalidKeys(`the key ID ${id} is used twice`);
      if (key.byteLength !== keyBytes)
        throw invalidKeys(`key ${id} has ${key.byteLength} bytes instead of ${keyBytes}`);
      ring.set(id, Uint8Array.from(key));
    }
    const key = ring.get(active);
    if (key === undefined)
      throw invalidKeys(`the active key ${JSON.stringify(active)} is not among the keys`);
    this.#keys = ring;
    this.#active = { id: active, key };
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    return settled(() => payloads.map((payload) => this.#encrypt(payload)));
  }

  decode(payloads: Payload[]): Promise<Payload[]> {
    return settled(() => payloads.map((payload) => this.#decrypt(payload)));
  }

  #encrypt(payload: Payload): Payload {
    const { id, key } = this.#active;
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(associatedData(id));
    const plain = PayloadMessage.encode(payload).finish();
    const data = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    return {
      metadata: { [encodingKey]: Buffer.from(encodingEncrypted), [keyIdKey]: Buffer.from(id) },
      data,
    };
  }

  #decrypt(payload: Payload): Payload {
    const encoding = text(payload.metadata?.[encodingKey]);
    if (encoding === encodingPlain && serverWords.includes(text(payload.data) ?? ''))
      return payload;
    if (encoding !== encodingEncrypted) throw notEncrypted(encoding);
    const keyIdData = payload.metadata?.[keyIdKey];
    if (keyIdData === undefined || keyIdData.byteLength > maxKeyIdBytes) {
      throw damaged('it names no key');
    }
    const id = Buffer.from(keyIdData).toString('utf8');
    const key = this.#keys.get(id);
    if (key === undefined) throw unknownKey(id, [...this.#keys.keys()]);
    const bytes = payload.data ?? new Uint8Array();
    if (bytes.byteLength < nonceBytes + tagBytes)
      throw damaged(`it has only ${bytes.byteLength} bytes`);
    return PayloadMessage.decode(open({ bytes, key, id }));
  }
}

function open({ bytes, key, id }: { bytes: Uint8Array; key: Uint8Array; id: string }): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(associatedData(id));
  decipher.setAuthTag(bytes.subarray(bytes.byteLength - tagBytes));
  const sealed = bytes.subarray(nonceBytes, bytes.byteLength - tagBytes);
  try {
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  } catch (cause) {
    throw damaged(`key ${id} does not open it`, cause);
  }
}

/** Turns a throw into a rejection, as the interface promises. */
const settled = <T>(work: () => T): Promise<T> =>
  new Promise((resolve) => {
    resolve(work());
  });

const invalidKeys = (detail: string) =>
  permanent({
    code: 'payload-keys-invalid',
    message: `the payload keys cannot be used: ${detail}`,
    remedy: 'Correct `encryption` in the configuration; `openssl rand -base64 32` makes a key.',
  });

const notEncrypted = (encoding: string | undefined) =>
  permanent({
    code: 'payload-not-encrypted',
    message: `a payload arrived that vmferry did not encrypt (encoding ${JSON.stringify(encoding?.slice(0, 40) ?? 'none')}); it is refused`,
    remedy:
      'Start and signal moves with `vmferry` or its client under the same `encryption` settings, not with the bare Temporal CLI.',
  });

const damaged = (detail: string, cause?: unknown) =>
  permanent({
    code: 'payload-damaged',
    message: `an encrypted payload cannot be opened: ${detail}; it was altered, or encrypted with another key of the same ID`,
    remedy:
      'Compare the key files of all workers and clients (`encryption.keys`); the same ID must mean the same key everywhere.',
    cause,
  });

const unknownKey = (id: string, known: string[]) =>
  needsOperator({
    code: 'payload-key-unknown',
    message: `a payload was encrypted with key ${JSON.stringify(id)}, which this process does not have (it has ${known.join(', ')})`,
    remedy: `Add key ${JSON.stringify(id)} to \`encryption.keys\` here, and keep old keys until Temporal's retention has passed.`,
  });

/** File with the failure converter; `bundleWorkflowCode` and `Worker` want it as a path. */
export const failureConverterPath = fileURLToPath(
  new URL('./failure-converter.ts', import.meta.url),
);

/**
 * What every client and worker passes to Temporal: all payloads encrypted, failures' texts too. A workflow bundle has
 * to be built with the same `failureConverterPath`. Throws `payload-keys-invalid`.
 */
export const dataConverter = (keys: PayloadKeys): DataConverter => ({
  payloadCodecs: [new EncryptionCodec(keys)],
  failureConverterPath,
});
