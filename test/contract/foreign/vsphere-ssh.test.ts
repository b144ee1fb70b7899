/** Disks of vSphere from their ESXi by SSH: a simulated vCenter, a real sshd, real VMDKs. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { vcenterShortcoming } from '../../../lab/vcenter/program.ts';
import type { DiskSource } from '../../../domain/platform.ts';
import type { SshLogin } from '../../../platforms/ssh/hops.ts';
import type { VsphereSource } from '../../../platforms/vsphere/source.ts';
import { startEsxi } from './esxi-fixture.ts';
import type { Esxi } from './esxi-fixture.ts';
import { describeForeignSource } from './suite.ts';
import { machine, MIB, openSource, startVcenter } from './vsphere-fixture.ts';
import type { Vcenter } from './vsphere-fixture.ts';

const shortcoming =
  (await vcenterShortcoming()) ?? (existsSync('/usr/sbin/sshd') ? undefined : 'there is no sshd');
if (shortcoming !== undefined) console.warn(`SKIPPED, ESXi by SSH is not tested: ${shortcoming}`);
const ways = [
  { how: 'SFTP', sftp: true },
  { how: 'dd', sftp: false },
];

describe.skipIf(shortcoming !== undefined)('an ESXi by SSH', { timeout: 60_000 }, () => {
  const bytes = randomBytes(3 * MIB + 512);
  let dir: string;
  let raw: string;
  let vcenter: Vcenter;

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/vmferry-esxi-');
    raw = join(dir, 'bytes');
    await writeFile(raw, bytes);
    const disk = { key: 2000, sizeBytes: bytes.length, controller: 'scsi' } as const;
    const vms = ['still', 'woken', 'odd', 'gone'].map((name) => machine(name, { disks: [disk] }));
    vcenter = await startVcenter({ vms });
  }, 1_300_000);
  afterAll(async () => {
    await vcenter.close();
    await rm(dir, { recursive: true, force: true });
  });

  describe.each(ways)('that is read by $how', ({ how, sftp }) => {
    let esxi: Esxi;
    const sources: VsphereSource[] = [];
    const openBare = (login: Partial<SshLogin> = {}): Promise<VsphereSource> =>
      openSource(vcenter, { dataPath: 'ssh', ssh: { DC0_C0_H0: esxi.login(login) } });
    const open = async (login: Partial<SshLogin> = {}): Promise<VsphereSource> => {
      const source = await openBare(login);
      sources.push(source);
      return source;
    };
    const diskOf = async (vm: string, source?: VsphereSource): Promise<DiskSource> => {
      const from = source ?? (await open());
      return (await from.openDisk(await from.inspect(vm), '2000')).source;
    };
    const refusal = (work: Promise<unknown>): Promise<unknown> =>
      work.then(
        () => 'nothing',
        (error: unknown) => error,
      );
    const firstBytes = async (disk: DiskSource): Promise<Buffer> => {
      const into = Buffer.alloc(MIB);
      await disk.read(0, into);
      return into;
    };

    beforeAll(async () => {
      esxi = await startEsxi(join(dir, how), { sftp });
      for (const vm of ['still', 'woken', 'odd', 'gone']) await esxi.putDisk(vm, raw);
    });
    afterEach(async () => {
      for (const source of sources.splice(0)) await source.close();
    });
    afterAll(() => esxi.end());

    describeForeignSource({
      name: `an ESXi by ${how}`,
      vm: () => ({
        name: 'still',
        facts: { kind: 'vsphere', state: 'shut-off' },
        disks: { 2000: raw },
      }),
      open: () => openBare(),
      traces: async () => {
        const { sessions, snapshots } = await vcenter.stats();
        return [`${sessions} sessions`, `${snapshots} snapshots`, ...(await esxi.traces())];
      },
    });

    it('is not logged in to with a wrong password, which is not told', async () => {
      const password = 'wrong-and-secret';
      const error = await refusal(diskOf('still', await open({ auth: { password } })));
      expect(error).toMatchObject({ code: 'ssh-login-refused', handling: 'needs-operator' });
      expect(String((error as Error).stack)).not.toContain(password);
    });

    it('is not logged in to with another host key than the pinned one', async () => {
      const hostKeySha256 = `SHA256:${'A'.repeat(43)}`;
      const error = await refusal(diskOf('still', await open({ hostKeySha256 })));
      expect(error).toMatchObject({ code: 'ssh-host-key-changed', handling: 'needs-operator' });
    });

    it('is needed by its name in the vCenter', async () => {
      const source = await openSource(vcenter, { dataPath: 'ssh', ssh: { other: esxi.login() } });
      sources.push(source);
      expect(await refusal(diskOf('still', source))).toMatchObject({
        code: 'vsphere-host-without-ssh',
        handling: 'needs-operator',
      });
    });

    it('is read on where the connections were cut and the login of the vCenter ran out', async () => {
      const source = await open();
      const vm = await source.inspect('still');
      const { source: disk } = await source.openDisk(vm, '2000');
      await firstBytes(disk);
      esxi.cut();
      await vcenter.command({ op: 'expire' });
      const rest = Buffer.alloc(bytes.length - MIB);
      const halves = [rest.subarray(0, MIB), rest.subarray(MIB)];
      await Promise.all(halves.map((half, at) => disk.read((at + 1) * MIB, half)));
      expect(rest.equals(bytes.subarray(MIB))).toBe(true);
      await source.verifyUnchanged(vm);
    });

    it('is given up for now where it takes no connections any more', async () => {
      const disk = await diskOf('still');
      esxi.listens = false;
      esxi.cut();
      const error = await refusal(firstBytes(disk));
      esxi.listens = true;
      expect(error).toMatchObject({ code: 'ssh-unreachable', handling: 'transient' });
      expect((await firstBytes(disk)).equals(bytes.subarray(0, MIB))).toBe(true);
    });

    it('says which file is not there, and when it went during the copy', async () => {
      const disk = await diskOf('gone');
      const flat = join(esxi.folderOf('gone'), 'disk-2000-flat.vmdk');
      await rename(flat, `${flat}.away`);
      esxi.cut();
      const missing = { code: 'disk-missing', handling: 'permanent' };
      expect(await refusal(firstBytes(disk))).toMatchObject(missing);
      expect(await refusal(diskOf('gone'))).toMatchObject(missing);
      await rename(`${flat}.away`, flat);
    });

    it('says that the VM runs, before the copy and after it', async () => {
      const source = await open();
      const vm = await source.inspect('woken');
      await source.openDisk(vm, '2000');
      await vcenter.command({ op: 'power', vm: 'woken', on: true });
      expect(await refusal(diskOf('woken'))).toMatchObject({ code: 'vsphere-disk-locked' });
      const changed = { code: 'source-changed', handling: 'unsafe' };
      expect(await refusal(source.verifyUnchanged(vm))).toMatchObject(changed);
      await vcenter.command({ op: 'power', vm: 'woken', on: false });
    });

    it('does not mix two states of a file that was written to while it was read', async () => {
      const disk = await diskOf('odd');
      await firstBytes(disk);
      await writeFile(join(esxi.folderOf('odd'), 'disk-2000-flat.vmdk'), randomBytes(MIB));
      esxi.cut();
      expect(await refusal(firstBytes(disk))).toMatchObject({ code: 'source-changed' });
    });

    it('asks for a person where the password was changed in the middle of a copy', async () => {
      const disk = await diskOf('still');
      await firstBytes(disk);
      await esxi.changePassword();
      esxi.cut();
      expect(await refusal(firstBytes(disk))).toMatchObject({
        code: 'ssh-login-refused',
        handling: 'needs-operator',
      });
    });
  });
});
