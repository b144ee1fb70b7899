/** VMs without an operating system: they start, run and stop in no time, which is all that most refusals need. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import type { LabHost } from '../../../lab/host.ts';

export const soon = { timeoutMs: 30_000 };

export interface TinyVmOptions {
  name: string;
  uuid?: string;
  /** A network card with that address; none without it. */
  mac?: string;
  /** Default br0, which every host of the lab has. */
  bridge?: string;
  /** Format of a fresh disk of 4 MiB, or the path of one that is there; none without it. */
  disk?: 'raw' | 'qcow2' | { path: string };
}

export interface TinyVm {
  name: string;
  uuid: string;
  /** '' if it has no disk. */
  diskPath: string;
  xml: string;
}

/** Makes the disk, if it is to be a fresh one; defines nothing. */
export async function tinyVm(host: LabHost, options: TinyVmOptions): Promise<TinyVm> {
  const { name, disk, uuid = randomUUID() } = options;
  let diskPath = '';
  if (typeof disk === 'object') diskPath = disk.path;
  else if (disk !== undefined) {
    diskPath = `${host.poolPath}/${name}.${disk}`;
    await host.exec(['qemu-img', 'create', '-q', '-f', disk, diskPath, '4M'], soon);
    await host.exec(['virsh', '-q', 'pool-refresh', 'default'], soon);
  }
  return { name, uuid, diskPath, xml: tinyXml({ ...options, uuid, diskPath }) };
}

/** As `tinyVm`, and defined; it is off. */
export async function defineTiny(host: LabHost, options: TinyVmOptions): Promise<TinyVm> {
  const vm = await tinyVm(host, options);
  await withXml(host, vm.xml, (file) => host.exec(['virsh', '-q', 'define', file], soon));
  return vm;
}

/** Stops and forgets a VM with all that libvirt keeps of it; its disk stays. */
export async function undefineTiny(host: LabHost, name: string): Promise<void> {
  await virsh(host, 'destroy', name);
  await must(host, 'undefine', name, '--managed-save', '--snapshots-metadata');
}

/** Runs `act` with the XML in a file of the host. */
export async function withXml<T>(
  host: LabHost,
  xml: string,
  act: (file: string) => Promise<T>,
): Promise<T> {
  const file = `/run/tiny-${randomUUID()}.xml`;
  await writeFile(host.rootOf(file), xml);
  try {
    return await act(file);
  } finally {
    await rm(host.rootOf(file), { force: true });
  }
}

/** What virsh said; it never rejects, for a refusal is what many tests are about. */
export async function virsh(
  host: LabHost,
  ...args: string[]
): Promise<{ ok: boolean; words: string }> {
  const { exitCode, stdout, stderr } = await host.exec(['virsh', '-q', ...args], {
    ...soon,
    reject: false,
  });
  return { ok: exitCode === 0, words: `${stdout}${stderr}`.trim() };
}

/** `virsh`, where anything but success is a fault of the test itself. */
export async function must(host: LabHost, ...args: string[]): Promise<string> {
  const said = await virsh(host, ...args);
  if (!said.ok) throw new Error(`virsh ${args.join(' ')} on ${host.name}: ${said.words}`);
  return said.words;
}

interface TinyXml extends TinyVmOptions {
  uuid: string;
  diskPath: string;
}

function tinyXml({ name, uuid, mac, bridge = 'br0', diskPath }: TinyXml): string {
  const format = diskPath.endsWith('.qcow2') ? 'qcow2' : 'raw';
  const disk =
    diskPath === ''
      ? ''
      : `<disk type='file' device='disk'><driver name='qemu' type='${format}'/>
      <source file='${diskPath}'/><target dev='vda' bus='virtio'/></disk>`;
  const nic =
    mac === undefined
      ? ''
      : `<interface type='bridge'><mac address='${mac}'/><source bridge='${bridge}'/><model type='virtio'/></interface>`;
  return `<domain type='qemu'>
  <name>${name}</name><uuid>${uuid}</uuid>
  <memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>${disk}${nic}<controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
`;
}
