/** A small fleet CA and certificates by certtool, laid out as QEMU reads them. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Pki {
  /** A host's folder: `ca-cert.pem`, `server-cert.pem`, `server-key.pem`, `client-cert.pem`, `client-key.pem`. */
  dirOf(host: string): string;
}

/** Makes a CA `name` and a certificate `CN=<host>` for each host, valid on 127.0.0.1. */
export async function makePki(dir: string, hosts: readonly string[]): Promise<Pki> {
  await mkdir(dir, { recursive: true });
  const key = (name: string): string => join(dir, `${name}-key.pem`);
  const cert = (name: string): string => join(dir, `${name}-cert.pem`);
  const makeKey = (name: string) =>
    run('certtool', [
      '--generate-privkey',
      '--key-type=ecdsa',
      '--curve=secp256r1',
      `--outfile=${key(name)}`,
    ]);
  const template = async (name: string, lines: readonly string[]): Promise<string> => {
    const path = join(dir, `${name}.info`);
    await writeFile(path, `${lines.join('\n')}\n`);
    return path;
  };
  await makeKey('ca');
  const caTemplate = await template('ca', [
    'cn=test fleet',
    'ca',
    'cert_signing_key',
    'expiration_days=2',
  ]);
  await run('certtool', [
    '--generate-self-signed',
    `--load-privkey=${key('ca')}`,
    `--template=${caTemplate}`,
    `--outfile=${cert('ca')}`,
  ]);
  await Promise.all(
    hosts.map(async (host) => {
      await makeKey(host);
      const usage = ['tls_www_server', 'tls_www_client', 'signing_key', 'expiration_days=2'];
      const path = await template(host, [
        `cn=${host}`,
        `dns_name=${host}`,
        'ip_address=127.0.0.1',
        ...usage,
      ]);
      await run('certtool', [
        '--generate-certificate',
        `--load-privkey=${key(host)}`,
        `--load-ca-certificate=${cert('ca')}`,
        `--load-ca-privkey=${key('ca')}`,
        `--template=${path}`,
        `--outfile=${cert(host)}`,
      ]);
      await mkdir(join(dir, host));
      await copyFile(cert('ca'), join(dir, host, 'ca-cert.pem'));
      for (const role of ['server', 'client']) {
        await copyFile(cert(host), join(dir, host, `${role}-cert.pem`));
        await copyFile(key(host), join(dir, host, `${role}-key.pem`));
      }
    }),
  );
  return { dirOf: (host) => join(dir, host) };
}
