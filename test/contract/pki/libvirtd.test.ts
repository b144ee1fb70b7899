/** A real libvirtd, and libvirt's own client, with a bundle of `vmferry pki`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Authority } from '../../../pki/authority.ts';
import { writeBundle } from '../../../pki/bundle.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type { PrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';

let dir: string;
let bundle: string;
let host: PrivateLibvirtd | undefined;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-pki-'));
  const authority = new Authority({ dir: join(dir, 'ca') });
  await authority.init();
  const subject = { role: 'host', name: 'alpha', dns: [], addresses: ['127.0.0.1'] } as const;
  bundle = await writeBundle(authority, subject, await authority.issue(subject));
  host = await startPrivateLibvirtd({
    dir: join(dir, 'host'),
    hostname: 'alpha',
    // libvirtd checks its own certificate at the start: one that it dislikes keeps it from coming up.
    config: ['tls_allowed_dn_list = ["CN=alpha"]', `crl_file = "${join(bundle, 'ca-crl.pem')}"`],
    tls: {
      ca: join(bundle, 'ca-cert.pem'),
      cert: join(bundle, 'server-cert.pem'),
      key: join(bundle, 'server-key.pem'),
    },
  });
});
afterAll(async () => {
  await host?.stop();
  await rm(dir, { recursive: true, force: true });
});

it("virsh comes in over TLS with a host's certificate", async () => {
  const { stdout } = await host!.exec(
    'sh',
    '-c',
    [
      `mkdir -p ${dir}/virsh`,
      `cp ${bundle}/ca-cert.pem ${dir}/virsh/cacert.pem`,
      `cp ${bundle}/client-cert.pem ${dir}/virsh/clientcert.pem`,
      `cp ${bundle}/client-key.pem ${dir}/virsh/clientkey.pem`,
      `virsh -q -c 'qemu+tls://127.0.0.1/system?pkipath=${dir}/virsh' hostname`,
    ].join(' && '),
  );
  expect(stdout.trim()).toBe('alpha');
});
