import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacking, run } from './servers.ts';

const missing = lacking('NFS by QEMU', 'ganesha.nfsd', 'rpcbind');
let dir: string;

describe.skipIf(missing !== undefined)('NFS by QEMU', () => {
  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/vmferry-nfs-');
    await mkdir(join(dir, 'export'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('takes a disk raw and as qcow2, and gives it back', async () => {
    const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const script = join(import.meta.dirname, 'nfs-host.sh');
    const client = join(import.meta.dirname, 'nfs-client.ts');
    const exported = join(dir, 'export');
    const work = ['bash', script, dir, exported, process.execPath, client, exported];
    const said = await run('unshare', ...namespaces, '--', ...work);
    const { capacityBytes, roots } = JSON.parse(said) as { capacityBytes: number; roots: string[] };
    expect(capacityBytes).toBe(16 * 1024 * 1024);
    expect(roots).toHaveLength(4);
    expect(new Set(roots).size).toBe(1);
  });
});
