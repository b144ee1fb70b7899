import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageFacts } from '../../../platforms/libvirt/image.ts';
import { CopyPath, mib } from './copy-path.ts';
import { lacking, run, startIscsi } from './servers.ts';
import type { IscsiTarget } from './servers.ts';

const missing = lacking('iSCSI', 'tgtd', 'tgtadm');
const size = 16 * mib;
let target: IscsiTarget;
let path: CopyPath;
const closing: (() => Promise<void>)[] = [];

const readSecret = () => Promise.resolve(Buffer.from(target.login.password));
const lun = (number: number) => ({
  path: `iscsi:${target.iqn}/${number}`,
  format: 'raw' as const,
  network: {
    protocol: 'iscsi' as const,
    name: `${target.iqn}/${number}`,
    hosts: [{ name: '127.0.0.1', port: target.port }],
    auth: {
      username: target.login.username,
      secret: { usageType: 'iscsi', usage: 'disks' },
    },
  },
});

describe.skipIf(missing !== undefined)('iSCSI with CHAP', () => {
  beforeAll(async () => {
    target = await startIscsi();
    closing.push(() => target.end());
    path = await CopyPath.open(readSecret);
    closing.push(() => path.close());
    await run('truncate', '-s', String(2 * size), path.path('lun1'));
    await target.lun(1, path.path('lun1'));
  });
  afterAll(async () => {
    for (const close of closing.reverse()) await close();
  });

  it('a LUN takes a disk and gives it back; what it held before does not show', async () => {
    await run('qemu-io', '-f', 'raw', '-c', `write -P 0xab 0 ${2 * size}`, path.path('lun1'));
    const there = await path.copy(await path.original('from', size), lun(1), size);
    const back = { path: path.path('back'), format: 'raw' as const };
    await path.copy(lun(1), back, 2 * size);
    expect(await path.hash(back, size)).toBe(there.root);
    const rest = `read -P 0 ${size} ${size}`;
    const seen = await run('qemu-io', '-r', '-f', 'raw', '-c', rest, path.path('lun1'));
    expect(seen).not.toContain('failed');
  });

  it('tells its size, and says no to a wrong password', async () => {
    const facts = await imageFacts(lun(1), { host: 'alpha', readSecret });
    expect(facts.capacityBytes).toBe(2 * size);
    const wrong = () => Promise.resolve(Buffer.from('wrong'));
    await expect(imageFacts(lun(1), { host: 'alpha', readSecret: wrong })).rejects.toMatchObject({
      code: 'disk-unreadable',
      host: 'alpha',
    });
  });

  it('says that a LUN is not there', async () => {
    await expect(imageFacts(lun(7), { host: 'alpha', readSecret })).rejects.toMatchObject({
      code: 'disk-unreadable',
    });
  });
});
