/** A private libvirtd with a directory pool, and the parts of the platform on it. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LibvirtHost } from '../../../platforms/libvirt/connect.ts';
import { LibvirtSource } from '../../../platforms/libvirt/source.ts';
import { LibvirtTarget } from '../../../platforms/libvirt/target.ts';
import { LibvirtState } from '../../../platforms/libvirt/vm-state.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type { PrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';

export const run = promisify(execFile);

export interface TestHost {
  dir: string;
  poolDir: string;
  libvirtd: PrivateLibvirtd;
  libvirt: LibvirtHost;
  source: LibvirtSource;
  target: LibvirtTarget;
  state: LibvirtState;
  virsh(...args: string[]): Promise<string>;
  /** Defines a diskful VM without an operating system; gives its UUID. */
  define(name: string, options?: VmOptions): Promise<string>;
  /** Ends and undefines every VM, so that one test's failure is not another's. */
  clear(): Promise<void>;
  end(): Promise<void>;
}

export interface VmOptions {
  disks?: string;
  nics?: string;
  uuid?: string;
  more?: string;
}

export const vmXml = (
  name: string,
  { disks = '', nics = '', uuid = randomUUID(), more = '' }: VmOptions = {},
): string =>
  `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>${more}
  <devices>${disks}${nics}<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>`;

export const fileDisk = (path: string, format = 'raw', name = 'vda'): string =>
  `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='${path}'/><target dev='${name}' bus='virtio'/></disk>`;

/** `hook` is the text of the host's qemu hook. */
export async function startTestHost(
  options: { hook?: string; sharesNetwork?: boolean } = {},
): Promise<TestHost> {
  const dir = await mkdtemp('/var/tmp/vmferry-plat-');
  const poolDir = join(dir, 'pool');
  await mkdir(poolDir);
  const libvirtd = await startPrivateLibvirtd({
    dir: join(dir, 'host'),
    ...(options.hook === undefined ? {} : { qemuHook: options.hook }),
    ...(options.sharesNetwork === undefined ? {} : { sharesNetwork: options.sharesNetwork }),
  });
  const virsh = async (...args: string[]): Promise<string> =>
    (await libvirtd.exec('virsh', '-q', ...args)).stdout.trim();
  await virsh('pool-create-as', 'default', 'dir', '--target', poolDir);
  const libvirt = new LibvirtHost({
    name: 'alpha',
    socketPath: libvirtd.unixPath,
    timeoutMs: 20_000,
    fileRoot: `/proc/${libvirtd.pid}/root`,
  });
  return {
    dir,
    poolDir,
    libvirtd,
    libvirt,
    source: new LibvirtSource(libvirt),
    target: new LibvirtTarget(libvirt),
    state: new LibvirtState(libvirt),
    virsh,
    define: async (name, vm = {}) => {
      const uuid = vm.uuid ?? randomUUID();
      const path = join(dir, `${name}.xml`);
      await writeFile(path, vmXml(name, { ...vm, uuid }));
      await virsh('define', path);
      return uuid;
    },
    clear: async () => {
      for (const uuid of (await virsh('list', '--all', '--uuid')).split('\n').filter(Boolean)) {
        await virsh('destroy', uuid).catch(() => undefined);
        const kept = [
          '--managed-save',
          '--snapshots-metadata',
          '--checkpoints-metadata',
          '--nvram',
          '--tpm',
        ];
        await virsh('undefine', uuid, ...kept).catch(() => undefined);
      }
    },
    end: async () => {
      await libvirt.close();
      await libvirtd.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
