/** Fingerprints of host keys, as `ssh-keygen -lf` prints them. */
import { createHash } from 'node:crypto';
import { SshError, SshErrorKind } from './errors.ts';

const PREFIX = 'SHA256:';
const SHA256_BYTES = 32;

/**
 * The canonical text, `SHA256:` and base64 without padding. Takes it with or without prefix and
 * padding; throws `SshError` (invalid) for anything that is no SHA-256 hash.
 */
export function canonicalFingerprint(text: string): string {
  const base64 = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text;
  const bytes = /^[A-Za-z0-9+/]+=?$/.test(base64) ? Buffer.from(base64, 'base64') : undefined;
  if (bytes?.length !== SHA256_BYTES) {
    const wanted = 'the SHA256 fingerprint that `ssh-keygen -lf` prints';
    throw new SshError(SshErrorKind.invalid, `the host key must be pinned by ${wanted}`);
  }
  return PREFIX + bytes.toString('base64').replace(/=+$/, '');
}

/** The fingerprint of a public key in its wire form. */
export function fingerprintOf(key: Uint8Array): string {
  return PREFIX + createHash('sha256').update(key).digest('base64').replace(/=+$/, '');
}

/** The type that a public key in wire form begins with, such as `ssh-ed25519` (RFC 4253, 6.6). */
export function typeOf(key: Buffer): string {
  const lengthBytes = key.length >= 4 ? key.readUInt32BE(0) : 0;
  const type = key.subarray(4, 4 + lengthBytes).toString('latin1');
  return /^[\w@.-]{1,64}$/.test(type) ? type : 'unknown';
}
