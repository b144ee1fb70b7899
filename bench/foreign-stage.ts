/** A vCenter with one VM, and an ESXi's sshd with the same disk: both on loopback, as nbdkit reads them best. */
import { randomFill } from 'node:crypto';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { execa } from 'execa';
import { startVcenter } from '../lab/vcenter/vcenter.ts';
import type { Vcenter } from '../lab/vcenter/vcenter.ts';
import { folderPath, parseDatastorePath, volumePath } from '../platforms/vsphere/datastore-path.ts';
import { VsphereSource } from '../platforms/vsphere/source.ts';
import type { VsphereOptions } from '../platforms/vsphere/source.ts';
import { machine, optionsFor } from '../test/contract/foreign/vsphere-fixture.ts';
import { makeKey, startPrivateSshd } from '../test/contract/ssh/private-sshd.ts';
import { copyDisk } from '../transfer/copy.ts';
import { openFileSink } from '../transfer/file-sink.ts';
import { Journal, journalPathFor } from '../transfer/journal.ts';
import type { BenchContext } from './benchmark.ts';
import { mebibyte } from './copy-stage.ts';

const vmName = 'bench';
const diskKey = '2000';
/** As activities/import/ensure-cached.ts has it. */
const chunkBytes = 2 * 1024 * 1024;
const runTimeoutMs = 1_200_000;

export class ForeignStage {
  readonly #context: BenchContext;
  readonly #vcenter: Vcenter;
  /** The disk's bytes. */
  readonly #raw: string;

  private constructor(parts: { context: BenchContext; vcenter: Vcenter; raw: string }) {
    this.#context = parts.context;
    this.#vcenter = parts.vcenter;
    this.#raw = parts.raw;
  }

  static async open(context: BenchContext): Promise<ForeignStage> {
    const { dir, fillMiB, say, defer } = context;
    say(`a vCenter, and a disk of ${fillMiB} MiB`);
    const raw = join(dir, 'foreign.raw');
    await fillRandomly(raw, fillMiB);
    const disk = {
      ...{ key: Number(diskKey), sizeBytes: fillMiB * mebibyte },
      ...{ controller: 'scsi' as const, file: raw },
    };
    const vcenter = await startVcenter({ vms: [machine(vmName, { disks: [disk] })] });
    defer(() => vcenter.close());
    return new ForeignStage({ context, vcenter, raw });
  }

  /** Options of the way through /folder, and what nbdkit's curl plugin is told to read the same. */
  async folderWay(): Promise<{ options: VsphereOptions; plugin: string }> {
    const options = optionsFor(this.#vcenter);
    // nbdkit has no login of its own: this one stays, and its cookie is lent.
    const lent = await VsphereSource.open(options);
    this.#context.defer(() => lent.close());
    const path = folderPath(await this.#flatPath(lent), 'DC0');
    const plugin = `curl 'url=${this.#vcenter.url.replace(/\/(?:sdk)?$/, '')}${path}' 'cookie=${lent.session.cookie}' sslverify=false`;
    return { options, plugin };
  }

  /** The same of the way by SSH. */
  async sshWay(): Promise<{ options: VsphereOptions; plugin: string }> {
    const dir = join(this.#context.dir, 'esxi');
    const store = join(dir, 'root/vmfs/volumes/LocalDS_0', vmName);
    await mkdir(store, { recursive: true });
    const form = ['-f', 'raw', '-O', 'vmdk', '-o', 'subformat=monolithicFlat'];
    const vmdk = join(store, `disk-${diskKey}.vmdk`);
    await execa('qemu-img', ['convert', ...form, this.#raw, vmdk], { timeout: runTimeoutMs });
    const [hostKey, userKey] = [await makeKey(`${dir}/host-key`), await makeKey(`${dir}/user-key`)];
    const config = ['ChrootDirectory /mnt', 'Subsystem sftp internal-sftp'];
    const sshd = await startPrivateSshd({
      ...{ dir, hostKey, authorizedKeys: [userKey], password: 'not used', config },
    });
    this.#context.defer(() => sshd.kill());
    const { host, port } = sshd;
    const { stdout: publicKey } = await execa('cat', [`${dir}/host-key.pub`]);
    await writeFile(`${dir}/known`, `[${host}]:${port} ${publicKey}\n`);
    const login = {
      ...{ host, port, username: 'root', hostKeySha256: hostKey.fingerprint },
      auth: { privateKey: userKey.privateKey },
    };
    const ssh = { DC0_C0_H0: login };
    const options = optionsFor(this.#vcenter, { dataPath: 'ssh', ssh });
    const source = await VsphereSource.open(optionsFor(this.#vcenter));
    const path = volumePath(await this.#flatPath(source));
    await source.close();
    const known = `known-hosts=${dir}/known identity=${dir}/user-key`;
    return { options, plugin: `ssh host=${host} port=${port} user=root ${known} path=${path}` };
  }

  /** The product's way from login to the last byte on stable storage: inspect, open, copy with journal; seconds. */
  async copy(options: VsphereOptions): Promise<number> {
    const { signal } = this.#context;
    const path = this.pathOf('ours');
    await rm(path, { force: true });
    const start = performance.now();
    {
      await using closing = new AsyncDisposableStack();
      const platform = await VsphereSource.open(options, signal);
      closing.defer(() => platform.close());
      const vm = await platform.inspect(vmName, signal);
      const { source, fingerprint } = await platform.openDisk(vm, diskKey, signal);
      closing.defer(() => source.close());
      const { sizeBytes } = source;
      const sink = await openFileSink({ path, sizeBytes });
      closing.defer(() => sink.close());
      const journal = await Journal.open({
        path: journalPathFor(path),
        header: { moveId: 'bench', diskName: diskKey, sizeBytes, fingerprint, chunkBytes },
        targetStartsZeroed: sink.startsZeroed,
      });
      closing.defer(() => journal.close());
      await copyDisk({ source, sink, journal, signal });
      await platform.verifyUnchanged(vm, signal);
    }
    const seconds = (performance.now() - start) / 1000;
    await rm(journalPathFor(path));
    return seconds;
  }

  /** What a person types to read by one of nbdkit's plugins. */
  peerLine(plugin: string): string {
    return `nbdkit --readonly ${plugin} --run 'nbdcopy --flush "$uri" ${this.pathOf('peer')}'`;
  }

  /** Seconds. Rejects if it fails. */
  async timePeer(plugin: string): Promise<number> {
    await rm(this.pathOf('peer'), { force: true });
    const start = performance.now();
    await execa('sh', ['-ec', this.peerLine(plugin)], {
      ...{ timeout: runTimeoutMs, cancelSignal: this.#context.signal },
    });
    return (performance.now() - start) / 1000;
  }

  pathOf(who: 'ours' | 'peer'): string {
    return join(this.#context.dir, `${who}.raw`);
  }

  async check(who: 'ours' | 'peer'): Promise<void> {
    await execa('cmp', [this.pathOf(who), this.#raw], { timeout: runTimeoutMs });
  }

  async #flatPath(source: VsphereSource) {
    const [disk] = (await source.inspect(vmName)).disks;
    return parseDatastorePath((disk?.path ?? '').replace(/\.vmdk$/, '-flat.vmdk'));
  }
}

/** Written to the end before it has its name; bytes that do not compress. */
async function fillRandomly(path: string, sizeMiB: number): Promise<void> {
  const fill = promisify(randomFill<Buffer>);
  {
    await using file = await open(`${path}.draft`, 'w');
    const part = Buffer.alloc(16 * mebibyte);
    for (let left = sizeMiB * mebibyte; left > 0; left -= part.length) {
      await fill(part);
      await file.write(part, 0, Math.min(left, part.length));
    }
    await file.sync();
  }
  await rename(`${path}.draft`, path);
}
