/** Lays a bundle out on the host that it is for, where QEMU and libvirt look for their certificates. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { dhParams, dhParamsFile } from '../domain/dh-group.ts';
import { needsOperator, permanent } from '../domain/errors.ts';
import { privateMode, publicMode, readIfThere, writeWhole } from './files.ts';

export interface InstallOptions {
  /** Folder that `vmferry pki issue` made. */
  bundle: string;
  /** Default: `/etc/pki`. */
  pkiDir?: string;
  /** Whether certificates of another authority, or another key, may be replaced. */
  force?: boolean;
}

interface Placed {
  from: string;
  to: string;
  mode: number;
}

/** In this order: trust before certificates, a key before the certificate that belongs to it. */
const places: readonly Placed[] = [
  { from: 'ca-cert.pem', to: 'CA/cacert.pem', mode: publicMode },
  { from: 'ca-crl.pem', to: 'CA/cacrl.pem', mode: publicMode },
  { from: 'ca-cert.pem', to: 'qemu/ca-cert.pem', mode: publicMode },
  { from: 'ca-crl.pem', to: 'qemu/ca-crl.pem', mode: publicMode },
  ...(['server', 'client'] as const).flatMap((end) => [
    { from: `${end}-key.pem`, to: `libvirt/private/${end}key.pem`, mode: privateMode },
    { from: `${end}-cert.pem`, to: `libvirt/${end}cert.pem`, mode: publicMode },
    { from: `${end}-key.pem`, to: `qemu/${end}-key.pem`, mode: privateMode },
    { from: `${end}-cert.pem`, to: `qemu/${end}-cert.pem`, mode: publicMode },
  ]),
];

/**
 * Puts each file in its place in one step, and only where it differs; gives the paths that changed. New exports and new
 * connections use them at once. Throws `pki-bundle-incomplete`, `pki-bundle-mismatched`, and `pki-other-authority` or
 * `pki-other-key` unless forced.
 */
export async function installBundle(options: InstallOptions): Promise<string[]> {
  const { bundle, pkiDir = '/etc/pki', force = false } = options;
  const texts = await readBundle(bundle);
  checkPairs(texts, bundle);
  const before = await Promise.all(places.map(({ to }) => readIfThere(join(pkiDir, to))));
  if (!force) refuseForeign(texts, before, pkiDir);
  const changed: string[] = [];
  for (const [index, { from, to, mode }] of places.entries()) {
    const text = texts.get(from) ?? '';
    const path = join(pkiDir, to);
    if (before[index] === text) continue;
    await makeFolder(dirname(path));
    await writeWhole(path, text, { mode, replace: true });
    changed.push(path);
  }
  const params = join(pkiDir, 'qemu', dhParamsFile);
  // The administrator's own are as good.
  if ((await readIfThere(params)) === undefined) {
    await writeWhole(params, dhParams, { mode: publicMode, replace: true });
    changed.push(params);
  }
  return changed;
}

/** QEMU may run as another user: folders are open to be passed, only the private one is not. */
async function makeFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o755 });
  if (made !== undefined) await chmod(path, path.endsWith('/private') ? 0o700 : 0o755);
}

async function readBundle(bundle: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const { from } of places) {
    try {
      texts.set(from, await readFile(join(bundle, from), 'utf8'));
    } catch (cause) {
      throw needsOperator({
        code: 'pki-bundle-incomplete',
        message: `${join(bundle, from)} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        remedy: 'Copy the whole folder of the host that `vmferry pki issue` or `renew` made.',
        cause,
      });
    }
  }
  return texts;
}

/** Nothing is put anywhere that could not serve. */
function checkPairs(texts: ReadonlyMap<string, string>, bundle: string): void {
  const ca = new X509Certificate(texts.get('ca-cert.pem') ?? '');
  for (const end of ['server', 'client']) {
    const certificate = new X509Certificate(texts.get(`${end}-cert.pem`) ?? '');
    const fits = certificate.checkPrivateKey(createPrivateKey(texts.get(`${end}-key.pem`) ?? ''));
    if (fits && certificate.verify(ca.publicKey)) continue;
    throw permanent({
      code: 'pki-bundle-mismatched',
      message: `${join(bundle, `${end}-cert.pem`)} does not belong to the key or the authority beside it`,
      remedy: 'Copy the whole folder again; files of two issues are mixed.',
    });
  }
}

/**
 * Another authority would part this host from the others; another key would, for a moment, stand beside the old
 * certificate, and an export that starts in it fails.
 */
function refuseForeign(
  texts: ReadonlyMap<string, string>,
  before: readonly (string | undefined)[],
  pkiDir: string,
): void {
  for (const [index, { from, to }] of places.entries()) {
    const old = before[index];
    const isCa = from === 'ca-cert.pem';
    if (old === undefined || old === texts.get(from) || !(isCa || from.endsWith('-key.pem')))
      continue;
    throw needsOperator({
      code: isCa ? 'pki-other-authority' : 'pki-other-key',
      message: `${join(pkiDir, to)} is there already, ${isCa ? 'of another authority' : 'with another key'}`,
      remedy: isCa
        ? 'Say `--force` if every host of the fleet changes its authority now.'
        : 'Say `--force` while no move begins or copies on this host.',
    });
  }
}
