/**
 * SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, none says it. Without
 * channel binding, which libvirt does not offer.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { SaslError } from './client.ts';
import type { PasswordSource, SaslClient } from './client.ts';
import { prepared } from './prepare.ts';

const stretch = promisify(pbkdf2);

/** Hash names, as Node has them, with the length of what they give. */
export const ScramHash = {
  sha1: { name: 'sha1', bytes: 20 },
  sha256: { name: 'sha256', bytes: 32 },
  sha512: { name: 'sha512', bytes: 64 },
} as const;
export type ScramHash = (typeof ScramHash)[keyof typeof ScramHash];

/** The least that RFC 5802 allows: fewer would let a false server guess passwords cheaply. */
const MIN_ITERATIONS = 4096;
/** A false server must not keep this side busy: about a second. */
const MAX_ITERATIONS = 1_000_000;
const MAX_MESSAGE_BYTES = 16 * 1024;
const NONCE_BYTES = 24;
/** "No channel binding" and its base64, which the proof covers. */
const GS2_HEADER = 'n,,';
const CHANNEL_BINDING = 'biws';

/** Who logs in, and by which hash. */
export interface ScramOptions {
  readonly hash: ScramHash;
  readonly username: string;
  readonly password: PasswordSource;
  /** Only tests give one. */
  readonly nonce?: string;
}

/** One exchange. */
export class ScramClient implements SaslClient {
  readonly #options: ScramOptions;
  readonly #nonce: string;
  #next: 'challenge' | 'signature' | 'nothing' = 'challenge';
  #expected: Buffer | undefined;
  #proved = false;

  constructor(options: ScramOptions) {
    this.#options = options;
    this.#nonce = options.nonce ?? randomBytes(NONCE_BYTES).toString('base64');
  }

  get serverProved(): boolean {
    return this.#proved;
  }

  start(): Promise<Uint8Array> {
    return Promise.resolve(Buffer.from(GS2_HEADER + this.#clientFirst()));
  }

  async step(challenge: Uint8Array): Promise<Uint8Array | undefined> {
    if (challenge.length > MAX_MESSAGE_BYTES) throw new SaslError('the challenge is too long');
    const text = Buffer.from(challenge.buffer, challenge.byteOffset, challenge.length).toString();
    const { refusal } = /^e=(?<refusal>[\w-]{1,100})/.exec(text)?.groups ?? {};
    if (refusal !== undefined) throw new SaslError(`the server says ${refusal}`);
    if (this.#next === 'challenge') return await this.#answer(text);
    if (this.#next === 'signature') {
      this.#verify(text);
      return undefined;
    }
    throw new SaslError('the server goes on after the end');
  }

  #clientFirst(): string {
    const name = prepared(this.#options.username);
    if (name === undefined) throw new SaslError('the user name cannot be used');
    return `n=${name.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${this.#nonce}`;
  }

  async #answer(serverFirst: string): Promise<Uint8Array> {
    const { nonce, salt, iterations } = parseChallenge(serverFirst);
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce) {
      throw new SaslError("the server's nonce is not made from ours");
    }
    const { hash } = this.#options;
    const withoutProof = `c=${CHANNEL_BINDING},r=${nonce}`;
    const signed = `${this.#clientFirst()},${serverFirst},${withoutProof}`;
    const salted = await this.#salted(salt, iterations);
    const sign = (key: Buffer, text: string): Buffer =>
      createHmac(hash.name, key).update(text).digest();
    const clientKey = sign(salted, 'Client Key');
    const storedKey = createHash(hash.name).update(clientKey).digest();
    const signature = sign(storedKey, signed);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
    this.#expected = sign(sign(salted, 'Server Key'), signed);
    this.#next = 'signature';
    for (const secret of [salted, clientKey, storedKey]) secret.fill(0);
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  /** Asked for here and not before: the password lives no longer than this function. */
  async #salted(salt: Buffer, iterations: number): Promise<Buffer> {
    const { hash } = this.#options;
    const password = prepared(await this.#options.password());
    if (password === undefined) throw new SaslError('the password is empty or cannot be used');
    return stretch(password, salt, iterations, hash.bytes, hash.name);
  }

  #verify(serverFinal: string): void {
    const seen = base64Of(/^v=([^,]*)/.exec(serverFinal)?.[1]);
    const expected = this.#expected;
    this.#next = 'nothing';
    if (expected === undefined || seen?.length !== expected.length) {
      throw new SaslError('the server did not prove that it knows the password');
    }
    if (!timingSafeEqual(seen, expected)) {
      throw new SaslError('the server did not prove that it knows the password');
    }
    this.#proved = true;
  }
}

interface Challenge {
  readonly nonce: string;
  readonly salt: Buffer;
  readonly iterations: number;
}

/** The order is fixed; `m=`, an extension that must be understood, cannot come first and be right. */
function parseChallenge(text: string): Challenge {
  const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([^,]+),i=([1-9]\d{0,9})(?:,|$)/.exec(text);
  const [, nonce = '', encodedSalt, count] = match ?? [];
  const salt = base64Of(encodedSalt);
  if (salt === undefined) throw new SaslError('the challenge cannot be read');
  const iterations = Number(count);
  if (iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS) {
    const allowed = `${MIN_ITERATIONS} to ${MAX_ITERATIONS}`;
    throw new SaslError(`the server asks for ${iterations} iterations, allowed are ${allowed}`);
  }
  return { nonce, salt, iterations };
}

/** Undefined for what is no base64, or nothing. */
function base64Of(text: string | undefined): Buffer | undefined {
  if (
    text === undefined ||
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)
  )
    return undefined;
  return text === '' ? undefined : Buffer.from(text, 'base64');
}
