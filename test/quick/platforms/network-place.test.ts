import { expect, it } from 'vitest';
import type { NetworkPlace } from '../../../domain/vm.ts';
import { opensPlace } from '../../../platforms/libvirt/image-writers.ts';
import { networkPath, protocolOptions } from '../../../platforms/libvirt/network-place.ts';
import { imageArguments, withSecret } from '../../../platforms/libvirt/served-image.ts';

const place = (more: Partial<NetworkPlace>): NetworkPlace => ({
  protocol: 'rbd',
  name: 'vms/web',
  hosts: [{ name: 'mon1' }],
  ...more,
});
const iqn = 'iqn.2026-11.example:disk';

it.each([
  ['rbd', 'vms/web', 'rbd:vms/web'],
  ['rbd', 'vms/tenant/web', 'rbd:vms/tenant/web'],
  ['iscsi', `${iqn}/3`, `iscsi:${iqn}/3`],
  ['iscsi', iqn, `iscsi:${iqn}/0`],
  ['iscsi', `${iqn}/`, `iscsi:${iqn}/0`],
  ['nfs', '/export/web.raw', 'nfs:/export/web.raw'],
] as const)('calls the %s disk %s %s', (protocol, name, path) => {
  expect(networkPath({ protocol, name })).toBe(path);
});

it.each<[Partial<NetworkPlace>, string]>([
  [
    { name: 'vms/ns/web', hosts: [{ name: 'm1' }, { name: 'm2', port: 7000 }] },
    'driver=rbd,pool=vms,namespace=ns,image=web,server.0.host=m1,server.0.port=6789,server.1.host=m2,server.1.port=7000',
  ],
  [{ hosts: [] }, 'driver=rbd,pool=vms,image=web'],
  [
    { protocol: 'iscsi', name: `${iqn}/2`, hosts: [{ name: '2001:db8::1' }] },
    `driver=iscsi,transport=tcp,portal=[2001:db8::1]:3260,target=${iqn},lun=2`,
  ],
  [
    { protocol: 'nfs', name: '/export/web.raw' },
    'driver=nfs,server.type=inet,server.host=mon1,path=/export/web.raw',
  ],
  [
    { auth: { username: 'admin', secret: { uuid: 'u' } } },
    'driver=rbd,pool=vms,image=web,server.0.host=mon1,server.0.port=6789,user=admin,key-secret=disk0',
  ],
])('tells QEMU of %j', (more, options) => {
  const given = protocolOptions(place(more), 'alpha').map(([name, value]) => `${name}=${value}`);
  expect(given.join(',')).toBe(options);
});

it.each<[string, Partial<NetworkPlace>]>([
  ['an unknown protocol', { protocol: 'other' }],
  ['no pool', { name: 'web' }],
  ['no image', { name: 'vms/' }],
  ['control characters', { name: 'vms/we\nb' }],
  ['too long a name', { name: `vms/${'x'.repeat(3000)}` }],
  ['no server', { protocol: 'iscsi', name: iqn, hosts: [] }],
  ['a relative path', { protocol: 'nfs', name: 'web.raw' }],
])('refuses %s', (_what, more) => {
  expect(() => protocolOptions(place(more), 'alpha')).toThrow(
    expect.objectContaining({ code: 'network-disk-unsupported', host: 'alpha' }),
  );
});

it('lets no value end an option and begin another', () => {
  const name = 'vms/web,file.driver=file,file.filename=/etc/shadow';
  const [, , image] = imageArguments(
    { path: 'rbd:x', format: 'raw', network: place({ name, hosts: [] }) },
    'alpha',
  );
  expect(image).toBe(
    'driver=raw,file.driver=rbd,file.pool=vms,file.namespace=web,,file.driver=file,,file.filename=/etc,file.image=shadow',
  );
});

it('shows a secret by descriptor only, and keeps nothing of it', async () => {
  const auth = { username: 'admin', secret: { uuid: 'u' } };
  const image = { path: 'rbd:vms/web', format: 'raw' as const, network: place({ auth }) };
  const readSecret = () => Promise.resolve(Buffer.from('open sesame'));
  const { readFile, readlink } = await import('node:fs/promises');
  await withSecret(image, { host: 'alpha', readSecret }, async (descriptor) => {
    const path = `/proc/self/fd/${descriptor}`;
    expect(await readlink(path)).toContain('(deleted)');
    const text = await readFile(path, 'ascii');
    expect(Buffer.from(text, 'base64').toString()).toBe('open sesame');
  });
  expect(imageArguments(image, 'alpha').join(' ')).not.toContain('sesame');
});

it('says that a secret is not to be had', async () => {
  const auth = { username: 'admin', secret: { uuid: 'u' } };
  const image = { path: 'rbd:vms/web', format: 'raw' as const, network: place({ auth }) };
  const readSecret = () => Promise.reject(new Error('secret is private'));
  await expect(
    withSecret(image, { host: 'alpha', readSecret }, () => Promise.resolve()),
  ).rejects.toMatchObject({
    code: 'secret-unreadable',
    handling: 'needs-operator',
    message: expect.stringContaining('secret is private') as string,
  });
});

it('knows a QEMU by the network disk on its command line', () => {
  const json = (more: object) =>
    JSON.stringify({
      driver: 'rbd',
      pool: 'vms',
      image: 'web',
      'node-name': 'libvirt-1-storage',
      ...more,
    });
  expect(opensPlace(json({}), place({}))).toBe(true);
  expect(opensPlace(json({ image: 'web2' }), place({}))).toBe(false);
  expect(opensPlace(json({ 'read-only': true }), place({}))).toBe(false);
  expect(opensPlace(json({ namespace: 'x' }), place({}))).toBe(false);
  expect(
    opensPlace(
      '{"driver":"iscsi","lun":3,"target":"t"}',
      place({ protocol: 'iscsi', name: 't/3' }),
    ),
  ).toBe(true);
  expect(opensPlace('{half', place({}))).toBe(false);
  expect(opensPlace('-blockdev', place({}))).toBe(false);
});
