/** Mutual TLS with a real libvirtd. It listens only inside its network namespace, so the client runs there. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

const run = promisify(execFile);
const CLIENT = join(import.meta.dirname, 'tls-client.ts');
let dir: string;
let host: PrivateLibvirtd | undefined;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
  await mkdir(join(dir, 'pki'));
  for (const ca of ['fleet', 'other']) await makeCa(ca);
  await makeCertificate('server', 'fleet', ['tls_www_server', 'ip_address=127.0.0.1']);
  await makeCertificate('client', 'fleet', ['tls_www_client']);
  await makeCertificate('stranger', 'other', ['tls_www_client']);
  host = await startPrivateLibvirtd({
    dir: join(dir, 'host'),
    config: ['tls_allowed_dn_list = ["CN=client"]'],
    tls: { ca: pem('fleet'), cert: pem('server'), key: pem('server-key') },
  });
});

afterAll(async () => {
  await host?.stop();
  await rm(dir, { recursive: true, force: true });
});

const pem = (name: string): string => join(dir, 'pki', `${name}.pem`);

async function makeKey(name: string): Promise<void> {
  // libvirt 9.0 insists on the usage key encipherment, which certtool gives to no ECDSA key.
  const key = ['--generate-privkey', '--key-type=rsa', '--bits=2048'];
  await run('certtool', [...key, '--outfile', pem(`${name}-key`)]);
}

async function makeCa(name: string): Promise<void> {
  await makeKey(name);
  const template = join(dir, `${name}.info`);
  await writeFile(template, `cn=${name} CA\nca\ncert_signing_key\nexpiration_days=2\n`);
  const key = ['--load-privkey', pem(`${name}-key`)];
  await run('certtool', [
    '--generate-self-signed',
    ...key,
    '--template',
    template,
    '--outfile',
    pem(name),
  ]);
}

async function makeCertificate(name: string, ca: string, lines: readonly string[]): Promise<void> {
  await makeKey(name);
  const template = join(dir, `${name}.info`);
  const all = [`cn=${name}`, ...lines, 'signing_key', 'encryption_key', 'expiration_days=2', ''];
  await writeFile(template, all.join('\n'));
  const signer = ['--load-ca-certificate', pem(ca), '--load-ca-privkey', pem(`${ca}-key`)];
  const key = ['--load-privkey', pem(`${name}-key`)];
  await run('certtool', [
    '--generate-certificate',
    ...key,
    ...signer,
    '--template',
    template,
    '--outfile',
    pem(name),
  ]);
}

interface ClientOptions {
  readonly password?: string;
  readonly cert?: string;
  readonly ca?: string;
  readonly servername?: string;
}

/** Runs the client in the namespaces of the host; gives back what it printed. */
async function client(
  { cert = 'client', ca = 'fleet', ...rest }: ClientOptions = {},
  of: PrivateLibvirtd = host!,
): Promise<unknown> {
  const options = { ca: pem(ca), cert: pem(cert), key: pem(`${cert}-key`), ...rest };
  const { stdout } = await of.exec(process.execPath, CLIENT, JSON.stringify(options));
  return JSON.parse(stdout) as unknown;
}

it('many calls at once and a large message get through', async () => {
  expect(await client()).toEqual({
    replies: 200,
    hostname: `vmfp-${process.pid}`,
    large: 'XML_DETAIL',
  });
});

it('a certificate of another authority is refused, and the error says so', async () => {
  expect(await client({ cert: 'stranger' })).toMatchObject({
    name: 'CertificateRejected',
    whose: 'client',
  });
});

it('a certificate of the fleet that is not on the list is refused, too', async () => {
  expect(await client({ cert: 'server' })).toMatchObject({
    name: 'CertificateRejected',
    whose: 'client',
  });
});

const saslIsHere = existsSync('/usr/sbin/saslpasswd2');
if (!saslIsHere) console.warn('! No saslpasswd2 (sasl2-bin) here: SASL over TLS is NOT tried.');

it.skipIf(!saslIsHere)('a password is asked for inside TLS, too, and verified', async () => {
  const sasl = join(dir, 'sasl');
  await mkdir(sasl);
  const config = `mech_list: SCRAM-SHA-256\nsasldb_path: ${sasl}/passwd.db\n`;
  await writeFile(join(sasl, 'libvirt.conf'), config);
  const database = ['-f', join(sasl, 'passwd.db'), '-u', `vmfp-${process.pid}`];
  const setting = run('saslpasswd2', ['-p', '-c', ...database, 'mover']);
  setting.child.stdin?.end('pencil');
  await setting;
  const strict = await startPrivateLibvirtd({
    dir: join(dir, 'strict'),
    config: ['auth_tls = "sasl"'],
    env: { SASL_CONF_PATH: sasl },
    tls: { ca: pem('fleet'), cert: pem('server'), key: pem('server-key') },
  });
  try {
    expect(await client({ password: 'pencil' }, strict)).toMatchObject({ replies: 200 });
    const wrong = await client({ password: 'crayon' }, strict);
    expect(wrong).toMatchObject({ name: 'AuthenticationFailed' });
    expect(JSON.stringify(wrong)).not.toContain('crayon');
    expect(await client({}, strict)).toMatchObject({ name: 'AuthenticationRequired' });
  } finally {
    await strict.stop();
  }
});

it('a daemon that this client cannot trust is not talked to', async () => {
  expect(await client({ ca: 'other' })).toMatchObject({
    name: 'CertificateRejected',
    whose: 'server',
  });
  expect(await client({ servername: 'another-host' })).toMatchObject({
    name: 'CertificateRejected',
    whose: 'server',
  });
});
