import { randomInt, randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { permanent } from '../domain/errors.ts';
import { consolePath } from './console.ts';
import { checkDataDisk, writeDataDisk } from './guest/data-disk.ts';
import type { DataDiskOptions, DataDiskState } from './guest/data-disk.ts';
import type { LabHost } from './host.ts';
import { insidePaths } from './host-files.ts';

export interface LabVmOptions {
  name: string;
  /** Default 96; the guest needs about 80. */
  memoryMiB?: number;
  /**
   * How much of the memory the guest fills before its first tick, and leaves alone from then on; default none. It ticks
   * each 5 s then.
   */
  usedMemoryMiB?: number;
  dataDisk?: {
    sizeMiB: number;
    /** Default raw. */
    format?: 'raw' | 'qcow2';
    /** Default `default`. */
    pool?: 'default' | 'fast' | 'shared';
    /** Put the disk on this block device of the host instead, raw; `lab.addSharedBlock` gives one. */
    blockPath?: string;
    /** Data to scatter over the disk; default 0. */
    fillMiB?: number;
    /** What the data is made of; default 1. */
    seed?: number;
  };
  autostart?: boolean;
  /** A network card on br0; default true. */
  nic?: boolean;
  /** Lets the lab's witness know of every start and end (runs.ts); default false. */
  witnessed?: boolean;
}

export interface LabVm {
  name: string;
  uuid: string;
  /** Path of the data disk inside the host; '' if it has none. */
  diskPath: string;
  /** Path of the console inside the host. */
  consolePath: string;
  /** What the data disk was made of, for `checkVmDisk`. */
  disk: (DataDiskOptions & { format: 'raw' | 'qcow2' }) | undefined;
}

const mebibyte = 1024 * 1024;

// Under emulation, two runs each: 4.4 s to the first line without these, 3.5 and 4.1 s with them.
const kernelArguments = [
  ...[
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'cryptomgr.notests',
    'mitigations=off',
    'tsc=reliable',
    'nokaslr',
    'lsm=',
  ],
  ...['random.trust_cpu=on', 'rcupdate.rcu_expedited=1', 'i8042.nokbd', 'i8042.noaux', 'audit=0'],
].join(' ');

const kernelLine = ({ usedMemoryMiB = 0 }: LabVmOptions): string =>
  usedMemoryMiB === 0 ? kernelArguments : `${kernelArguments} vmferry.use=${usedMemoryMiB}`;

function domainXml(vm: LabVm, options: LabVmOptions): string {
  const mac = Array.from({ length: 3 }, () => randomInt(256).toString(16).padStart(2, '0')).join(
    ':',
  );
  const isBlock = options.dataDisk?.blockPath !== undefined;
  const disk =
    vm.disk === undefined
      ? ''
      : `<disk type='${isBlock ? 'block' : 'file'}' device='disk'>
      <driver name='qemu' type='${vm.disk.format}' cache='none' discard='unmap'/>
      <source ${isBlock ? 'dev' : 'file'}='${vm.diskPath}'/>
      <target dev='vda' bus='virtio'/>
    </disk>`;
  const nic = `<interface type='bridge'>
      <mac address='52:54:00:${mac}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>`;
  // `qemu`, not `kvm`: the lab has to run where there is no hardware acceleration, and everywhere alike.
  return `<domain type='qemu'>
  <name>${vm.name}</name>
  <uuid>${vm.uuid}</uuid>
  <memory unit='MiB'>${options.memoryMiB ?? 96}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${insidePaths.guestDir}/vmlinuz</kernel>
    <initrd>${insidePaths.guestDir}/initrd.img</initrd>
    <cmdline>${kernelLine(options)}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>${options.witnessed === true ? insidePaths.witnessedEmulator : '/usr/bin/qemu-system-x86_64'}</emulator>
    ${disk}
    ${(options.nic ?? true) ? nic : ''}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='${vm.consolePath}'/><target port='0'/></serial>
    <console type='file'><source path='${vm.consolePath}'/><target type='serial' port='0'/></console>
  </devices>
</domain>
`;
}

/** Makes the disk and defines the VM; it is off. Throws what `virsh` says if it is refused. */
export async function createVm(host: LabHost, options: LabVmOptions): Promise<LabVm> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(options.name)) {
    throw permanent({
      code: 'lab-invalid-options',
      message: `"${options.name}" cannot name a VM of the lab`,
      remedy: 'Use up to 63 letters, digits, dots, underscores and hyphens.',
    });
  }
  const { name, dataDisk } = options;
  const poolPath = {
    default: host.poolPath,
    fast: host.fastPoolPath,
    shared: host.sharedPoolPath,
  }[dataDisk?.pool ?? 'default'];
  const blockPath = dataDisk?.blockPath;
  const disk = dataDisk && {
    format: blockPath === undefined ? (dataDisk.format ?? 'raw') : 'raw',
    sizeBytes: dataDisk.sizeMiB * mebibyte,
    fillBytes: (dataDisk.fillMiB ?? 0) * mebibyte,
    seed: dataDisk.seed ?? 1,
  };
  const diskPath = disk === undefined ? '' : (blockPath ?? `${poolPath}/${name}.${disk.format}`);
  const vm: LabVm = { name, uuid: randomUUID(), diskPath, consolePath: consolePath(name), disk };
  if (disk !== undefined && blockPath !== undefined) {
    await writeDataDisk(host.rootOf(blockPath), { ...disk, onto: 'device' });
  } else if (disk !== undefined) {
    await makeDisk(host, diskPath, disk);
    await host.exec(['virsh', '-q', 'pool-refresh', dataDisk?.pool ?? 'default'], {
      timeoutMs: 20_000,
    });
  }
  await define(host, vm.uuid, domainXml(vm, options));
  if (options.autostart === true) {
    await host.exec(['virsh', '-q', 'autostart', name], { timeoutMs: 20_000 });
  }
  return vm;
}

async function define(host: LabHost, uuid: string, xml: string): Promise<void> {
  const file = `/run/define-${uuid}.xml`;
  try {
    await writeFile(host.rootOf(file), xml);
    await host.exec(['virsh', '-q', 'define', '--validate', file], { timeoutMs: 20_000 });
  } finally {
    await rm(host.rootOf(file), { force: true });
  }
}

async function makeDisk(
  host: LabHost,
  path: string,
  disk: NonNullable<LabVm['disk']>,
): Promise<void> {
  if (disk.format === 'raw') return writeDataDisk(host.rootOf(path), disk);
  const draft = `${path}.draft`;
  try {
    await writeDataDisk(host.rootOf(draft), disk);
    await convert(host, draft, path, ['-f', 'raw', '-O', 'qcow2']);
  } finally {
    await rm(host.rootOf(draft), { force: true });
  }
}

async function convert(host: LabHost, from: string, to: string, formats: string[]): Promise<void> {
  await host.exec(['qemu-img', 'convert', '-q', ...formats, from, to], { timeoutMs: 120_000 });
}

/**
 * Checks every block that the guest or the lab wrote, from outside, on the host where the disk is now. The VM has to be
 * off. `path` is by default where the disk was made.
 */
export async function checkVmDisk(
  host: LabHost,
  vm: LabVm,
  path = vm.diskPath,
): Promise<DataDiskState> {
  if (vm.disk === undefined) {
    throw permanent({
      code: 'lab-no-disk',
      message: `VM ${vm.name} has no data disk`,
      remedy: 'Create it with `dataDisk`.',
    });
  }
  if (vm.disk.format === 'raw') return checkDataDisk(host.rootOf(path), vm.disk);
  // Beside the lab's folders rather than in the pool, which may be full.
  const scratch = `${insidePaths.stateDir}/check-${vm.uuid}.raw`;
  await mkdir(host.rootOf(insidePaths.stateDir), { recursive: true });
  try {
    await convert(host, path, scratch, ['-f', 'qcow2', '-O', 'raw']);
    return await checkDataDisk(host.rootOf(scratch), vm.disk);
  } finally {
    await rm(host.rootOf(scratch), { force: true });
  }
}
