import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../../../pki/authority.ts';
import { writeBundle } from '../../../pki/bundle.ts';
import { examineCertificates } from '../../../pki/expiry.ts';
import { installBundle } from '../../../pki/install.ts';
import type { Subject } from '../../../pki/roles.ts';

/** Of no use in earnest, and made in a moment. */
const keyBits = 1024;
const dayMs = 86_400_000;
const passphrase = 'correct horse battery staple';
const alpha: Subject = {
  role: 'host',
  name: 'alpha',
  dns: ['alpha.example'],
  addresses: ['198.51.100.11'],
};

let dir: string;
let authority: Authority;
const at = (name: string): string => join(dir, name);
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pki-'));
  authority = new Authority({ dir: at('ca'), passphrase, keyBits });
  await authority.init();
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function bundleOf(subject: Subject): Promise<string> {
  const { cert, key, facts } = await authority.issue(subject, { force: true });
  return writeBundle(authority, facts, { cert, key });
}

describe('an authority', () => {
  it('keeps its key encrypted, and for its owner alone', async () => {
    const key = await readFile(authority.files.caKey, 'utf8');
    expect(key).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    expect(await modeOf(authority.files.caKey)).toBe(0o600);
    expect(await modeOf(at('ca'))).toBe(0o700);
  });

  it('is not made over another one', async () => {
    const before = await readFile(authority.files.caKey);
    await expect(authority.init()).rejects.toMatchObject({ code: 'pki-file-exists' });
    expect(await readFile(authority.files.caKey)).toEqual(before);
    expect((await readdir(at('ca'))).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  it.each([undefined, 'another passphrase, long enough'])(
    'signs nothing with the passphrase %s',
    async (wrong) => {
      const other = new Authority({
        dir: at('ca'),
        ...(wrong === undefined ? {} : { passphrase: wrong }),
      });
      await expect(other.issue({ ...alpha, name: 'nobody' })).rejects.toMatchObject({
        code: 'pki-key-locked',
      });
    },
  );

  it('refuses a passphrase that is soon guessed', async () => {
    const weak = new Authority({ dir: at('weak'), keyBits, passphrase: 'secret' });
    await expect(weak.init()).rejects.toMatchObject({ code: 'pki-passphrase-short' });
  });

  it('says how to begin where there is none', async () => {
    const none = new Authority({ dir: at('none') });
    await expect(none.list()).rejects.toMatchObject({ code: 'pki-missing' });
  });
});

describe('a certificate', () => {
  it('of a host bears its name alone, its addresses, and serves both ends', async () => {
    const { cert } = await authority.issue(alpha);
    const certificate = new X509Certificate(cert);
    const ca = new X509Certificate((await authority.trust()).caCert);
    expect(certificate.verify(ca.publicKey)).toBe(true);
    expect(certificate.subject).toBe('CN=alpha');
    expect(certificate.subjectAltName).toBe(
      'DNS:alpha, DNS:alpha.example, IP Address:198.51.100.11',
    );
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(certificate.ca).toBe(false);
  });

  it('of a client never has the name that an export admits', async () => {
    const { cert } = await authority.issue({ ...alpha, role: 'client', dns: [], addresses: [] });
    const certificate = new X509Certificate(cert);
    expect(certificate.subject).toBe('OU=client\nCN=alpha');
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('is made only once for a name, unless a new key is asked for', async () => {
    await expect(authority.issue(alpha)).rejects.toMatchObject({ code: 'pki-name-taken' });
    const { key } = await authority.issue(alpha, { force: true });
    expect(key).toContain('BEGIN PRIVATE KEY');
  });

  it.each(['', '-a', 'a b', 'a/b', 'a,CN=b', '../etc', 'x'.repeat(65)])(
    'is not made for the name %j',
    async (name) => {
      await expect(authority.issue({ ...alpha, name })).rejects.toMatchObject({
        code: 'pki-name-invalid',
      });
    },
  );

  it('does not outlive its authority', async () => {
    const short = new Authority({ dir: at('short'), keyBits });
    await short.init({ days: 10 });
    const { facts } = await short.issue(alpha, { days: 398 });
    expect(facts.notAfter.getTime() - Date.now()).toBeLessThanOrEqual(10 * dayMs);
  });
});

describe('a renewal', () => {
  it('keeps the key and the names, and gives a new serial number and period', async () => {
    const first = await authority.issue({ ...alpha, name: 'gamma' }, { days: 5 });
    const { cert, facts } = await authority.renew('gamma');
    const [before, after] = [new X509Certificate(first.cert), new X509Certificate(cert)];
    expect(after.publicKey.equals(before.publicKey)).toBe(true);
    expect(after.subjectAltName).toBe(before.subjectAltName);
    expect(facts.serial).not.toBe(first.facts.serial);
    expect(facts.notAfter.getTime()).toBeGreaterThan(first.facts.notAfter.getTime());
    const lines = (await authority.list()).filter(({ name }) => name === 'gamma');
    expect(lines.map(({ serial, replaced }) => ({ serial, replaced }))).toEqual([
      { serial: facts.serial, replaced: false },
      { serial: first.facts.serial, replaced: true },
    ]);
  });

  it('is refused after a revocation, and for a name that has nothing', async () => {
    const { facts } = await authority.issue({ ...alpha, name: 'delta' });
    await authority.revoke('delta', 'the host was sold');
    await authority.revoke(facts.serial, 'said twice');
    const line = (await authority.list()).find(({ serial }) => serial === facts.serial);
    expect(line?.state).toBe('revoked');
    await expect(authority.renew('delta')).rejects.toMatchObject({ code: 'pki-renewal-revoked' });
    await expect(authority.renew('nobody')).rejects.toMatchObject({ code: 'pki-name-unknown' });
    expect(JSON.parse(await readFile(authority.files.revoked, 'utf8'))).toMatchObject([
      { serial: facts.serial, reason: 'the host was sold' },
    ]);
  });

  it('never forgets revocations that cannot be read', async () => {
    const other = new Authority({ dir: at('damaged'), keyBits });
    await other.init();
    await other.issue(alpha);
    await writeFile(other.files.revoked, '[{"serial": 1}]');
    await expect(other.revoke('alpha', 'lost')).rejects.toMatchObject({
      code: 'pki-revocations-damaged',
    });
  });
});

describe('a bundle on its host', () => {
  it('lies where QEMU and libvirt look, keys for root alone, and again changes nothing', async () => {
    const bundle = await bundleOf(alpha);
    const pkiDir = at('etc');
    expect(await installBundle({ bundle, pkiDir })).toHaveLength(13);
    expect(await modeOf(join(pkiDir, 'qemu/server-key.pem'))).toBe(0o600);
    expect(await modeOf(join(pkiDir, 'libvirt/private'))).toBe(0o700);
    expect(await modeOf(join(pkiDir, 'qemu/ca-cert.pem'))).toBe(0o644);
    expect(await installBundle({ bundle, pkiDir })).toEqual([]);
  });

  it('takes a renewal without a word, and a new key or authority only by word', async () => {
    const pkiDir = at('etc-2');
    await installBundle({ bundle: await bundleOf(alpha), pkiDir });
    const { cert, facts } = await authority.renew('alpha', { role: 'host' });
    const renewed = await writeBundle(authority, facts, { cert });
    const changed = await installBundle({ bundle: renewed, pkiDir });
    expect(changed.map((path) => path.slice(pkiDir.length + 1)).sort()).toEqual([
      'libvirt/clientcert.pem',
      'libvirt/servercert.pem',
      'qemu/client-cert.pem',
      'qemu/server-cert.pem',
    ]);
    const newKey = await bundleOf(alpha);
    await expect(installBundle({ bundle: newKey, pkiDir })).rejects.toMatchObject({
      code: 'pki-other-key',
    });
    const other = new Authority({ dir: at('other'), keyBits });
    await other.init();
    const pair = await other.issue(alpha);
    const foreign = await writeBundle(other, alpha, pair);
    await expect(installBundle({ bundle: foreign, pkiDir })).rejects.toMatchObject({
      code: 'pki-other-authority',
    });
    expect(await readFile(join(pkiDir, 'qemu/server-cert.pem'), 'utf8')).toBe(cert);
  });

  it('is refused whole if its files are of two issues', async () => {
    const { cert } = await authority.issue(alpha, { force: true });
    const bundle = await bundleOf(alpha);
    await writeFile(join(bundle, 'client-cert.pem'), cert);
    await expect(installBundle({ bundle, pkiDir: at('etc-3') })).rejects.toMatchObject({
      code: 'pki-bundle-mismatched',
    });
    await expect(stat(at('etc-3'))).rejects.toThrow('ENOENT');
  });
});

describe('the look at certificates', () => {
  it.each([
    { inDays: 0, state: 'good' },
    { inDays: 335, state: 'good' },
    { inDays: 369, state: 'ends-soon' },
    { inDays: 399, state: 'expired' },
    { inDays: -1, state: 'not-yet-valid' },
  ])('$inDays days after its issue calls it $state', async ({ inDays, state }) => {
    const { cert } = await authority.issue(alpha, { force: true });
    await writeFile(at('one.pem'), cert);
    const now = new Date(Date.now() + inDays * dayMs);
    const [health] = await examineCertificates([at('one.pem'), at('one.pem')], now);
    expect(health).toMatchObject({ path: at('one.pem'), state });
  });

  it('says of a missing file that it is not there', async () => {
    const [health] = await examineCertificates([at('nothing.pem')]);
    expect(health?.state).toBe('unreadable');
    expect(health?.detail).toContain('ENOENT');
  });
});
