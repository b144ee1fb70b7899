/** RSA keys as PEM, and as the signing code takes them. */
import { createPrivateKey, createPublicKey, generateKeyPair, webcrypto } from 'node:crypto';
import { promisify } from 'node:util';
import { needsOperator } from '../domain/errors.ts';

/**
 * RSA, not elliptic curves: libvirt 9.0 insists on the usage "key encipherment", which honest tools never write for a
 * curve's key. 3072 bits are what is advised for use beyond 2030.
 */
export const keyBits = 3072;
/** Node's encryption of keys stretches a passphrase little, so its own length has to carry the weight. */
const leastPassphraseLength = 16;
export const signing = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
const generate = promisify(generateKeyPair);

/** A new private key as PKCS #8 PEM, encrypted (AES-256) with a passphrase. Throws `pki-passphrase-short`. */
export async function newKey(bits: number, passphrase?: string): Promise<string> {
  if (passphrase !== undefined && passphrase.length < leastPassphraseLength) {
    throw needsOperator({
      code: 'pki-passphrase-short',
      message: `the passphrase has fewer than ${leastPassphraseLength} characters`,
      remedy: 'Make one with `openssl rand -base64 24` and keep it where the key is not.',
    });
  }
  const { privateKey } = await generate('rsa', { modulusLength: bits });
  const plain = { type: 'pkcs8', format: 'pem' } as const;
  return String(
    passphrase === undefined
      ? privateKey.export(plain)
      : privateKey.export({ ...plain, cipher: 'aes-256-cbc', passphrase }),
  );
}

/** For signing. Throws `pki-key-locked`, with the file's name, if the passphrase is missing or wrong. */
export async function signingKey(
  pem: string,
  { passphrase, path }: { passphrase?: string; path: string },
): Promise<webcrypto.CryptoKey> {
  try {
    const key = createPrivateKey({
      key: pem,
      // An empty one, because without any OpenSSL would ask on the terminal.
      passphrase: passphrase ?? '',
    });
    const der = key.export({ type: 'pkcs8', format: 'der' });
    return await webcrypto.subtle.importKey('pkcs8', der, signing, false, ['sign']);
  } catch (cause) {
    throw needsOperator({
      code: 'pki-key-locked',
      message: `the key ${path} cannot be used: ${passphrase === undefined ? 'it may be encrypted, and no passphrase was given' : 'wrong passphrase, or a damaged file'}`,
      remedy: 'Name its passphrase with `--passphrase env:NAME|file:/PATH|exec:/PROGRAM`.',
      cause,
    });
  }
}

/** The public half, of a private key or a certificate, for the signing code. */
export async function verifyingKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPublicKey(pem).export({ type: 'spki', format: 'der' });
  return webcrypto.subtle.importKey('spki', der, signing, true, ['verify']);
}
