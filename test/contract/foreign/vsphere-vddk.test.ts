/**
 * Disks of vSphere by VDDK. Neither VMware's library nor nbdkit's plugin for it is here: a stand-in for both tells what it
 * was started with, and serves real bytes by the real nbdkit.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { vcenterShortcoming } from '../../../lab/vcenter/program.ts';
import type { VsphereSource } from '../../../platforms/vsphere/source.ts';
import { lacking } from '../storage/servers.ts';
import { describeForeignSource } from './suite.ts';
import {
  machine,
  MIB,
  openSource,
  optionsFor,
  refusal,
  startVcenter,
  temporariesOf,
} from './vsphere-fixture.ts';
import type { Vcenter } from './vsphere-fixture.ts';

const shortcoming = (await vcenterShortcoming()) ?? lacking('VDDK (by a stand-in)', 'nbdkit');
const label = `vddk-${process.pid}`;

describe.skipIf(shortcoming !== undefined)('a disk by VDDK', { timeout: 60_000 }, () => {
  const bytes = randomBytes(3 * MIB + 512);
  const sources: VsphereSource[] = [];
  let dir: string;
  let vcenter: Vcenter;
  let nbdkit: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vddk-'));
    nbdkit = join(dir, 'nbdkit');
    await copyFile(join(import.meta.dirname, 'nbdkit-of-vddk.sh'), nbdkit);
    await writeFile(join(dir, 'bytes'), bytes);
    const disk = { key: 2000, sizeBytes: bytes.length, controller: 'scsi' } as const;
    const vms = ['still', 'woken'].map((name) => machine(name, { disks: [disk] }));
    vcenter = await startVcenter({ vms });
  }, 1_300_000);
  afterEach(async () => {
    for (const source of sources.splice(0)) await source.close();
    for (const name of ['complaint', 'late', 'pids']) await rm(join(dir, name), { force: true });
  });
  afterAll(async () => {
    await vcenter.close();
    await rm(dir, { recursive: true, force: true });
  });

  const openBare = (): Promise<VsphereSource> =>
    openSource(vcenter, { vddk: { libdir: '/opt/vddk', transports: 'nbdssl:nbd', nbdkit, label } });
  const open = async (): Promise<VsphereSource> => {
    const source = await openBare();
    sources.push(source);
    return source;
  };
  const diskOf = async (vm: string) => {
    const source = await open();
    return await source.openDisk(await source.inspect(vm), '2000');
  };
  const folders = (): Promise<string[]> => temporariesOf(`vmferry-vddk-${label}-`);
  const servers = async (): Promise<number[]> => {
    const pids = (await readFile(join(dir, 'pids'), 'utf8').catch(() => '')).split('\n');
    const alive = pids.filter(Boolean).map(Number).filter(isAlive);
    return alive;
  };

  describeForeignSource({
    name: 'VDDK',
    vm: () => ({
      name: 'still',
      facts: { kind: 'vsphere', state: 'shut-off' },
      disks: { 2000: join(dir, 'bytes') },
    }),
    open: openBare,
    traces: async () => {
      const { sessions, snapshots } = await vcenter.stats();
      const here = [...(await folders()), ...(await servers())];
      return [`${sessions} sessions`, `${snapshots} snapshots`, ...here.map(String)];
    },
  });

  it('is asked for by all that VDDK needs, and the password is nowhere to be seen', async () => {
    const { source: disk, way } = await diskOf('still');
    const into = Buffer.alloc(MIB);
    await disk.read(0, into);
    expect(into.equals(bytes.subarray(0, MIB))).toBe(true);
    const told = (await readFile(join(dir, 'arguments'), 'utf8')).trim().split('\n');
    const vm = (await (await open()).inspect('still')).id;
    expect(told.slice(told.indexOf('vddk'))).toEqual([
      ...['vddk', 'libdir=/opt/vddk', 'server=127.0.0.1', `port=${vcenter.port}`],
      ...[`user=${vcenter.username}`, 'password=-3', `thumbprint=${vcenter.thumbprintSha1}`],
      ...[`vm=moref=${vm}`, 'transports=nbdssl:nbd', 'file=[LocalDS_0] still/disk-2000.vmdk'],
    ]);
    expect(told).toContain('--readonly');
    expect(told).toContain('--exit-with-parent');
    expect(told.join(' ')).not.toContain(vcenter.password);
    expect(await readFile(join(dir, 'password'), 'utf8')).toBe(`${vcenter.password}\n`);
    expect(way).toBe('by VDDK: dataPath is auto, and vddk.libdir is configured');
  });

  it('starts nothing for a look that asks for no bytes', async () => {
    const { source: disk, fingerprint } = await diskOf('still');
    expect(fingerprint).not.toBe('');
    await disk.close();
    expect(await servers()).toEqual([]);
  });

  it('ends its server with the disk, and when that died begins another for the next reader', async () => {
    const source = await open();
    const vm = await source.inspect('still');
    const { source: first } = await source.openDisk(vm, '2000');
    const into = Buffer.alloc(512);
    await first.read(0, into);
    const [server = 0] = await servers();
    process.kill(server, 'SIGKILL');
    await expect.poll(() => isAlive(server)).toBe(false);
    expect(await refusal(first.read(0, into))).toMatchObject({ handling: 'transient' });
    await first.close();
    expect(await folders()).toEqual([]);
    const { source: second } = await source.openDisk(vm, '2000');
    await second.read(0, into);
    expect(into.equals(bytes.subarray(0, 512))).toBe(true);
    await second.close();
    expect(await servers()).toEqual([]);
  });

  it.each([
    ['nbdkit: error: cannot open plugin "vddk": nbdkit-vddk-plugin.so', 'vddk-missing'],
    ['nbdkit: error: libvixDiskLib.so.7: cannot open shared object file', 'vddk-missing'],
    ['nbdkit: vddk[1]: error: something new', 'vddk-failed'],
  ])('says what nbdkit complains of: %s', async (complaint, code) => {
    await writeFile(join(dir, 'complaint'), `${complaint}\n`);
    const { source: disk } = await diskOf('still');
    const error = await refusal(disk.read(0, Buffer.alloc(512)));
    expect(error).toMatchObject({ code });
    expect((error as Error).message).toContain('nbdkit');
    expect(await folders()).toEqual([]);
  });

  it.each([
    ['VixDiskLib_ConnectEx: Incorrect user name or password', 'vsphere-login-refused'],
    [
      'VixDiskLib: Failed to verify SSL certificate: actual thumbprint=B2',
      'tls-thumbprint-mismatch',
    ],
    ['VixDiskLib_Open: The file is locked, error code 16392', 'vsphere-disk-locked'],
  ])('says what VDDK complains of when it is asked: %s', async (complaint, code) => {
    await writeFile(join(dir, 'complaint'), `nbdkit: vddk[1]: error: ${complaint}\n`);
    await writeFile(join(dir, 'late'), '');
    const { source: disk } = await diskOf('still');
    expect(await refusal(disk.read(0, Buffer.alloc(512)))).toMatchObject({ code });
    expect(await folders()).toEqual([]);
    expect(await servers()).toEqual([]);
  });

  it('that is not there asks for a person', async () => {
    const missing = { libdir: '/opt/vddk', nbdkit: '/nonexistent/nbdkit', label };
    const source = await openSource(vcenter, { dataPath: 'vddk', vddk: missing });
    sources.push(source);
    const { source: disk } = await source.openDisk(await source.inspect('still'), '2000');
    expect(await refusal(disk.read(0, Buffer.alloc(512)))).toMatchObject({
      code: 'vddk-missing',
      handling: 'needs-operator',
    });
  });

  it('of a VM that runs is locked, and nothing is started', async () => {
    await vcenter.command({ op: 'power', vm: 'woken', on: true });
    expect(await refusal(diskOf('woken'))).toMatchObject({ code: 'vsphere-disk-locked' });
    await vcenter.command({ op: 'power', vm: 'woken', on: false });
    expect(await servers()).toEqual([]);
  });

  it('ends with a reader that is killed, whose folder the next one of its label removes', async () => {
    const victim = join(import.meta.dirname, 'vddk-victim-process.ts');
    const child = spawn(process.execPath, [victim, 'still'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const options = optionsFor(vcenter, { vddk: { libdir: '/opt/vddk', nbdkit, label } });
    child.stdin.end(JSON.stringify(options));
    await once(child.stdout, 'data');
    const [server = 0] = await servers();
    expect(isAlive(server)).toBe(true);
    child.kill('SIGKILL');
    await expect.poll(() => isAlive(server)).toBe(false);
    const left = await folders();
    expect(left).toHaveLength(1);
    const source = await open();
    expect(await source.sweep()).toEqual(left.map((name) => join(tmpdir(), name)));
    expect(await folders()).toEqual([]);
  });

  it('leaves what is swept by the next one of its label if it was killed', async () => {
    const left = await mkdtemp(join(tmpdir(), `vmferry-vddk-${label}-`));
    const other = await mkdtemp(join(tmpdir(), `vmferry-vddk-${label}0-`));
    const source = await open();
    expect(await source.sweep()).toEqual([left]);
    await rm(other, { recursive: true });
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
