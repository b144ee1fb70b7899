/** The fleet's certificate authority: a folder with its key, and what it signed. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { webcrypto } from 'node:crypto';
import { needsOperator, permanent } from '../domain/errors.ts';
import { authorityFiles } from './authority-files.ts';
import type { AuthorityFiles } from './authority-files.ts';
import { factsOf } from './facts.ts';
import type { CertificateFacts } from './facts.ts';
import { privateMode, publicMode, readIfThere, writeWhole } from './files.ts';
import { keyBits, newKey, signingKey, verifyingKey } from './keys.ts';
import { revocationList, readRevocations } from './revocations.ts';
import type { Revocation } from './revocations.ts';
import { checkSubject, distinguishedName } from './roles.ts';
import type { Role, Subject } from './roles.ts';
import { signAuthority, signCertificate } from './sign.ts';

/** Of the authority's own certificate. */
const defaultAuthorityDays = 3650;
/** Of the others: long enough to be renewed at ease, short enough that the renewal is not forgotten how to do. */
const defaultDays = 398;

export interface AuthorityOptions {
  dir: string;
  passphrase?: string;
  /** For tests. */
  now?: () => Date;
  /** For tests: small keys are made sooner. */
  keyBits?: number;
}

/** One line of `vmferry pki list`. */
export interface IssuedCertificate extends CertificateFacts {
  state: 'valid' | 'expired' | 'revoked';
  /** Whether a newer certificate for the same name and role took its place. */
  replaced: boolean;
}

export class Authority {
  readonly files: AuthorityFiles;
  readonly #passphrase: string | undefined;
  readonly #now: () => Date;
  readonly #keyBits: number;

  constructor({ dir, passphrase, now, keyBits: bits = keyBits }: AuthorityOptions) {
    this.#keyBits = bits;
    this.files = authorityFiles(dir);
    this.#passphrase = passphrase;
    this.#now = now ?? (() => new Date());
  }

  /**
   * Makes the authority: key, certificate, an empty list of revocations. Throws `pki-file-exists` if there is one and
   * `force` is not said: everything that it signed would be worth nothing.
   */
  async init(options: { name?: string; days?: number; force?: boolean } = {}): Promise<void> {
    const { name = 'vmferry CA', days = defaultAuthorityDays, force = false } = options;
    const pem = await newKey(this.#keyBits, this.#passphrase);
    // The key comes first and refuses to be overwritten: from there on this is the only one who makes the folder.
    await writeWhole(this.files.caKey, pem, { mode: privateMode, replace: force });
    const passphrase = this.#passphrase === undefined ? {} : { passphrase: this.#passphrase };
    const certificate = await signAuthority(name, {
      privateKey: await signingKey(pem, { path: this.files.caKey, ...passphrase }),
      publicKey: await verifyingKey(publicPem(pem, this.#passphrase)),
      now: this.#now(),
      days,
    });
    await writeWhole(this.files.caCert, certificate, { mode: publicMode, replace: force });
    await this.#writeRevocations([]);
  }

  /**
   * Signs a new key for a name and lays both out in a bundle (`bundle.ts`); gives the certificate's facts and PEMs.
   * Throws `pki-name-taken` if there is a valid certificate for the name and `force` is not said.
   */
  async issue(
    subject: Subject,
    { days = defaultDays, force = false }: { days?: number; force?: boolean } = {},
  ): Promise<SignedPair> {
    checkSubject(subject);
    if (!force) await this.#refuseTaken(subject);
    const key = await newKey(this.#keyBits);
    const cert = await this.#sign(subject, publicPem(key), days);
    return { cert, key, facts: factsOf(cert, subject.name) };
  }

  /**
   * A new certificate for the newest one of a name, over the same key: so one file changes, in one step, and no reader
   * ever sees a certificate beside the key of another. Throws `pki-name-unknown`, `pki-renewal-revoked`.
   */
  async renew(
    name: string,
    { role, days = defaultDays }: { role?: Role; days?: number } = {},
  ): Promise<{ cert: string; facts: CertificateFacts }> {
    const found = await this.#newestOf(name, role);
    if (found.state === 'revoked') {
      throw permanent({
        code: 'pki-renewal-revoked',
        message: `the certificate of ${name} was revoked; a renewal would go on with the same key`,
        remedy: `Make a new key for it: \`vmferry pki issue ${name} --role ${found.role} --force\`, with its addresses.`,
      });
    }
    const old = await this.certificate(found.serial);
    const cert = await this.#sign(found, publicPem(old), days);
    return { cert, facts: factsOf(cert, name) };
  }

  /** Revokes by name (its newest certificate) or serial number. Throws `pki-name-unknown`. Safe to run again. */
  async revoke(nameOrSerial: string, reason: string): Promise<CertificateFacts> {
    const all = await this.list();
    const found =
      all.find(({ serial }) => serial === nameOrSerial.toUpperCase()) ??
      (await this.#newestOf(nameOrSerial));
    const before = await readRevocations(this.files.revoked);
    if (!before.some(({ serial }) => serial === found.serial)) {
      const at = this.#now().toISOString();
      await this.#writeRevocations([...before, { serial: found.serial, at, reason }]);
    }
    return found;
  }

  /** Everything that was signed, by name, newest first. */
  async list(): Promise<IssuedCertificate[]> {
    await this.#caCert();
    const revoked = new Set(
      (await readRevocations(this.files.revoked)).map(({ serial }) => serial),
    );
    const names = await readdir(this.files.issued).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    const found = await Promise.all(
      names
        .filter((name) => name.endsWith('.pem'))
        .map(async (name) => {
          const facts = factsOf(await this.certificate(name.slice(0, -4)), name);
          const { mtimeMs } = await stat(join(this.files.issued, name));
          return { facts, mtimeMs };
        }),
    );
    // Certificates count whole seconds; of two in one second, the file tells.
    found.sort(
      (a, b) =>
        a.facts.name.localeCompare(b.facts.name) ||
        b.facts.notBefore.getTime() - a.facts.notBefore.getTime() ||
        b.mtimeMs - a.mtimeMs,
    );
    const seen = new Set<string>();
    return found.map(({ facts: one }) => {
      const key = distinguishedName(one);
      const replaced = seen.has(key);
      seen.add(key);
      const expired = one.notAfter.getTime() <= this.#now().getTime();
      const state = revoked.has(one.serial) ? 'revoked' : expired ? 'expired' : 'valid';
      return { ...one, state, replaced };
    });
  }

  /** PEM of an issued certificate. Throws `pki-name-unknown`. */
  async certificate(serial: string): Promise<string> {
    const pem = await readIfThere(join(this.files.issued, `${serial}.pem`));
    if (pem === undefined) throw unknownName(serial);
    return pem;
  }

  /** What every bundle carries besides its own pair. Throws `pki-missing`. */
  async trust(): Promise<{ caCert: string; crl: string }> {
    const caCert = await this.#caCert();
    const crl = await readIfThere(this.files.crl);
    if (crl === undefined) throw missing(this.files.crl);
    return { caCert, crl };
  }

  async #newestOf(name: string, role?: Role): Promise<IssuedCertificate> {
    const own = (await this.list()).filter(
      (one) => one.name === name && (role === undefined || one.role === role) && !one.replaced,
    );
    const [first, second] = own;
    if (first === undefined) throw unknownName(name);
    if (second === undefined) return first;
    throw permanent({
      code: 'pki-name-ambiguous',
      message: `${name} has a certificate as ${first.role} and one as ${second.role}`,
      remedy: 'Say which: `--role`, or the serial number where something is revoked.',
    });
  }

  async #refuseTaken({ name, role }: Subject): Promise<void> {
    const taken = (await this.list()).find(
      (one) => one.name === name && one.role === role && one.state === 'valid',
    );
    if (taken === undefined) return;
    throw permanent({
      code: 'pki-name-taken',
      message: `${name} has a certificate as ${role}, valid until ${taken.notAfter.toISOString()}`,
      remedy: `Renew it (\`vmferry pki renew ${name}\`), or say \`--force\` for a new key.`,
    });
  }

  async #sign(subject: Subject, publicKeyPem: string, days: number): Promise<string> {
    const pem = await signCertificate(subject, {
      publicKeyPem,
      caPem: await this.#caCert(),
      caKey: await this.#caKey(),
      now: this.#now(),
      days,
    });
    const { serial } = factsOf(pem, subject.name);
    // Remembered before it is handed out, so that it can be revoked whatever happens next.
    const path = join(this.files.issued, `${serial}.pem`);
    await writeWhole(path, pem, { mode: publicMode, replace: false });
    return pem;
  }

  async #writeRevocations(revocations: readonly Revocation[]): Promise<void> {
    const crl = await revocationList({
      caPem: await this.#caCert(),
      key: await this.#caKey(),
      revocations,
      now: this.#now(),
    });
    const text = `${JSON.stringify(revocations, null, 2)}\n`;
    await writeWhole(this.files.revoked, text, { mode: privateMode, replace: true });
    await writeWhole(this.files.crl, crl, { mode: publicMode, replace: true });
  }

  async #caCert(): Promise<string> {
    const pem = await readIfThere(this.files.caCert);
    if (pem === undefined) throw missing(this.files.caCert);
    return pem;
  }

  async #caKey(): Promise<webcrypto.CryptoKey> {
    const path = this.files.caKey;
    const pem = await readIfThere(path);
    if (pem === undefined) throw missing(path);
    return signingKey(pem, {
      path,
      ...(this.#passphrase === undefined ? {} : { passphrase: this.#passphrase }),
    });
  }
}

/** A certificate and its key, both PEM. */
export interface SignedPair {
  cert: string;
  key: string;
  facts: CertificateFacts;
}

function publicPem(pem: string, passphrase?: string): string {
  const key = passphrase === undefined ? pem : createPrivateKey({ key: pem, passphrase });
  return String(createPublicKey(key).export({ type: 'spki', format: 'pem' }));
}

const missing = (path: string) =>
  needsOperator({
    code: 'pki-missing',
    message: `there is no ${path}`,
    remedy: 'Make the authority with `vmferry pki init`, or name its folder with `--dir`.',
  });

const unknownName = (name: string) =>
  permanent({
    code: 'pki-name-unknown',
    message: `this authority has signed nothing for ${name}`,
    remedy: 'See `vmferry pki list`.',
  });
