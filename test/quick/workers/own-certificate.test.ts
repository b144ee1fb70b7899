import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Authority } from '../../../pki/authority.ts';
import { readClientTrust } from '../../../workers/own-certificate.ts';

const subject = { role: 'host', name: 'alpha', dns: [], addresses: [] } as const;
const dayMs = 86_400_000;
let dir: string;
let host: Parameters<typeof readClientTrust>[0];
let otherKey: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'own-'));
  const authority = new Authority({ dir: join(dir, 'ca'), keyBits: 1024 });
  await authority.init();
  const { cert, key } = await authority.issue(subject, { days: 10 });
  otherKey = (await authority.issue(subject, { force: true })).key;
  const paths = {
    ca: join(dir, 'ca/ca-cert.pem'),
    cert: join(dir, 'cert.pem'),
    key: join(dir, 'key.pem'),
  };
  await writeFile(paths.cert, cert);
  await writeFile(paths.key, key);
  host = { name: 'alpha', tls: { dir, ...paths } };
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const textOf = async (run: Promise<unknown>): Promise<unknown> =>
  run.catch((error: unknown) => error);

it('gives what fits together and is valid', async () => {
  expect((await readClientTrust(host)).cert).toContain('BEGIN CERTIFICATE');
});

it('gives every list of revoked certificates that lies beside the authority, and none where there is none', async () => {
  const { crl } = await readClientTrust(host);
  expect(crl).toEqual([expect.stringMatching(/^-----BEGIN X509 CRL-----/)]);
  const alone = join(dir, 'alone');
  await mkdir(alone);
  const ca = join(alone, 'ca-cert.pem');
  await copyFile(host.tls.ca, ca);
  const moved = { ...host, tls: { ...host.tls, ca } };
  expect((await readClientTrust(moved)).crl).toEqual([]);
  await writeFile(join(alone, 'ca-crl.pem'), `first:\n${crl.join('')}\nsecond:\n${crl.join('')}`);
  expect((await readClientTrust(moved)).crl).toEqual([...crl, ...crl]);
  await writeFile(join(alone, 'ca-crl.pem'), crl.join('').replaceAll(/[A-Z]{4}/g, 'AAAA'));
  expect(await textOf(readClientTrust(moved))).toMatchObject({
    code: 'revocations-unreadable',
    host: 'alpha',
    message: expect.stringContaining(join(alone, 'ca-crl.pem')) as unknown,
  });
});

it('names the host, the file and the way out once it has expired', async () => {
  const late = new Date(Date.now() + 11 * dayMs);
  expect(await textOf(readClientTrust(host, late))).toMatchObject({
    code: 'certificate-expired',
    handling: 'needs-operator',
    host: 'alpha',
    message: expect.stringContaining(host.tls.cert) as unknown,
    remedy: expect.stringContaining('vmferry pki renew alpha') as unknown,
  });
});

it.each([
  { what: 'a key of another certificate', file: 'key', text: () => otherKey, code: 'mismatched' },
  { what: 'no key', file: 'key', text: () => 'nothing', code: 'unreadable' },
  { what: 'no certificate', file: 'cert', text: () => '', code: 'unreadable' },
])('refuses $what', async ({ file, text, code }) => {
  const path = join(dir, 'wrong.pem');
  await writeFile(path, text());
  const wrong = { ...host, tls: { ...host.tls, [file]: path } };
  expect(await textOf(readClientTrust(wrong))).toMatchObject({
    code: `certificate-${code}`,
    host: 'alpha',
    message: expect.stringContaining(path) as unknown,
  });
});
