/** Certificates of a lab, made by GnuTLS's certtool: a fleet CA, one certificate a host, and a stranger's pair. */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { dhParams, dhParamsFile } from '../domain/dh-group.ts';

/** Paths of a key pair and of the CA that vouches for it, as seen by whoever opens them. */
export interface CertificatePaths {
  caCert: string;
  cert: string;
  key: string;
}

const years = 'expiration_days = 3650\n';
const roles = 'tls_www_server\ntls_www_client\nsigning_key\nencryption_key\n';
// RSA, because libvirt 9.0 insists on the usage "key encipherment" and certtool never writes it for elliptic curves.
const keyKind = ['--key-type', 'rsa', '--bits', '2048'];
const limit = { timeout: 20_000 };

async function makeKey(file: string): Promise<void> {
  await execa('certtool', ['--generate-privkey', ...keyKind, '--outfile', file], limit);
  await chmod(file, 0o600);
}

async function makeAuthority(dir: string, commonName: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await makeKey(join(dir, 'ca-key.pem'));
  await writeFile(join(dir, 'ca.cfg'), `cn = ${commonName}\nca\ncert_signing_key\n${years}`);
  await execa(
    'certtool',
    [
      '--generate-self-signed',
      '--load-privkey',
      'ca-key.pem',
      '--template',
      'ca.cfg',
      '--outfile',
      'ca-cert.pem',
    ],
    { ...limit, cwd: dir },
  );
}

/** A certificate for `name`, good for both ends of a connection, signed by the authority in `dir`. */
async function makeCertificate(dir: string, name: string, address: string): Promise<void> {
  await makeKey(join(dir, `${name}-key.pem`));
  await writeFile(
    join(dir, `${name}.cfg`),
    `cn = ${name}\ndns_name = ${name}\nip_address = ${address}\n${roles}${years}`,
  );
  await execa(
    'certtool',
    [
      ['--generate-certificate', '--load-privkey', `${name}-key.pem`],
      ['--load-ca-certificate', 'ca-cert.pem', '--load-ca-privkey', 'ca-key.pem'],
      ['--template', `${name}.cfg`, '--outfile', `${name}-cert.pem`],
    ].flat(),
    { ...limit, cwd: dir },
  );
}

export interface FleetMember {
  name: string;
  address: string;
}

/**
 * Makes `<dir>/fleet` (CA, a certificate a member) and `<dir>/stranger` (another CA, with a certificate that claims to
 * be the first member). Does nothing if they are there for the same members.
 */
export async function ensurePki(dir: string, members: readonly FleetMember[]): Promise<void> {
  const words = `${keyKind.join()}${roles}${years}${members.map((member) => `${member.name} ${member.address}`).join()}`;
  const stamp = `made-${createHash('sha256').update(words).digest('hex').slice(0, 12)}`;
  if (await stat(join(dir, stamp)).catch(() => undefined)) return;
  const draft = `${dir}.new`;
  await rm(draft, { recursive: true, force: true });
  const fleet = join(draft, 'fleet');
  const stranger = join(draft, 'stranger');
  await Promise.all([
    makeAuthority(fleet, 'vmferry lab fleet'),
    makeAuthority(stranger, 'a stranger'),
  ]);
  await Promise.all([
    ...members.map((member) => makeCertificate(fleet, member.name, member.address)),
    ...members.slice(0, 1).map((member) => makeCertificate(stranger, member.name, member.address)),
  ]);
  await writeFile(join(draft, stamp), '');
  await rm(dir, { recursive: true, force: true });
  await rename(draft, dir);
}

/** The stranger's files in the lab folder: a well-formed certificate that no host of the fleet may accept. */
export const strangerPaths = (pkiDir: string, firstHost: string): CertificatePaths => ({
  caCert: join(pkiDir, 'stranger', 'ca-cert.pem'),
  cert: join(pkiDir, 'stranger', `${firstHost}-cert.pem`),
  key: join(pkiDir, 'stranger', `${firstHost}-key.pem`),
});

/** Lays a host's certificates out where libvirt and QEMU look for them, below `<etc>/pki`. */
export async function layOutPki(pkiDir: string, etc: string, name: string): Promise<void> {
  const fleet = join(pkiDir, 'fleet');
  const pki = join(etc, 'pki');
  const copies: [string, string][] = [
    ['ca-cert.pem', 'CA/cacert.pem'],
    ['ca-cert.pem', 'qemu/ca-cert.pem'],
    [`${name}-cert.pem`, 'libvirt/servercert.pem'],
    [`${name}-cert.pem`, 'libvirt/clientcert.pem'],
    [`${name}-key.pem`, 'libvirt/private/serverkey.pem'],
    [`${name}-key.pem`, 'libvirt/private/clientkey.pem'],
    [`${name}-cert.pem`, 'qemu/server-cert.pem'],
    [`${name}-cert.pem`, 'qemu/client-cert.pem'],
    [`${name}-key.pem`, 'qemu/server-key.pem'],
    [`${name}-key.pem`, 'qemu/client-key.pem'],
  ];
  for (const folder of ['CA', 'libvirt/private', 'qemu']) {
    await mkdir(join(pki, folder), { recursive: true });
  }
  await Promise.all([
    ...copies.map(([from, to]) => copyFile(join(fleet, from), join(pki, to))),
    writeFile(join(pki, 'qemu', dhParamsFile), dhParams),
  ]);
}
