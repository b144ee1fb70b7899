/** Run beside the server by `nfs-host.sh`: a disk's way from a file to NFS and back. Prints what it saw as JSON. */
import { join } from 'node:path';
import { imageFacts } from '../../../platforms/libvirt/image.ts';
import { CopyPath, mib } from './copy-path.ts';
import { run } from './servers.ts';

const [exported = ''] = process.argv.slice(2);
const size = 16 * mib;
const place = (name: string) => ({
  path: `nfs:${exported}/${name}`,
  network: {
    protocol: 'nfs' as const,
    name: `${exported}/${name}`,
    hosts: [{ name: '127.0.0.1' }],
  },
});

const path = await CopyPath.open();
try {
  await run('qemu-img', 'create', '-q', '-f', 'raw', join(exported, 'vda.raw'), String(size));
  await run('qemu-img', 'create', '-q', '-f', 'qcow2', join(exported, 'vdb.qcow2'), String(size));
  const original = await path.original('from', size);
  const raw = { ...place('vda.raw'), format: 'raw' as const };
  const qcow2 = { ...place('vdb.qcow2'), format: 'qcow2' as const };
  const [toRaw, toQcow2] = [
    await path.copy(original, raw, size),
    await path.copy(raw, qcow2, size),
  ];
  const back = await path.copy(qcow2, { path: path.path('back'), format: 'raw' }, size);
  const { capacityBytes } = await imageFacts(qcow2, { host: 'alpha' });
  const roots = [toRaw.root, toQcow2.root, back.root, await path.hash(original, size)];
  console.log(JSON.stringify({ capacityBytes, roots }));
} finally {
  await path.close();
}
