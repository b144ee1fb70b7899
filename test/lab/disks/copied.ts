/** Rows whose disks are copied: formats, chains, pools, allocation, devices as source. */
import { execa } from 'execa';
import { expect } from 'vitest';
import type { LabHost } from '../../../lab/host.ts';
import { must } from '../refusals/tiny-vm.ts';
import { ended } from '../stage.ts';
import { allocatedBytes, contentOf, fillRaw, hashOf, makeImage, mebibyte, soon } from './images.ts';
import { expectCommitted, playRollback } from './scene.ts';
import type { DiskRow, Run, Scene } from './scene.ts';
import { defineVm, diskXml } from './vm.ts';

const bin = new URL('../../../bin/vmferry', import.meta.url).pathname;
const inDefault = (name: string): string => `/var/lib/libvirt/images/${name}`;
const inFast = (name: string): string => `/var/lib/libvirt/fast/${name}`;
const copy = (name: string, path: string, format: 'raw' | 'qcow2' = 'raw') => ({
  name,
  how: 'copy' as const,
  path,
  format,
});

/** What users' tools put into a definition. libvirt itself keeps a comment only inside of such an element. */
const foreign = `<title>Böhm &amp; Söhne</title>
  <metadata><app:owner xmlns:app="urn:example:app:1" app:since="2019"><!-- kept by hand --><app:note>first line&#10;second</app:note></app:owner></metadata>
  <iothreads>2</iothreads>`;

const twoDisks: DiskRow = {
  name: 'raw with holes and qcow2 of a running VM, with attributes and foreign XML',
  async prepare({ alpha, beta }) {
    await makeImage(alpha, inDefault('two-a.raw'), { format: 'raw', sizeMiB: 16 });
    await makeImage(alpha, inDefault('two-b.qcow2'), { format: 'qcow2', sizeMiB: 8 });
    const devices = [
      diskXml({
        dev: 'vda',
        path: inDefault('two-a.raw'),
        format: 'raw',
        driver: `cache='none' io='threads' discard='unmap' detect_zeroes='unmap' iothread='2'`,
        inside: '<serial>A-17 b</serial><boot order="1"/>',
      }),
      diskXml({
        dev: 'sda',
        path: inDefault('two-b.qcow2'),
        format: 'qcow2',
        driver: `discard='unmap'`,
        inside: `<vendor>ACME</vendor><alias name='ua-log'/>`,
      }),
      `<controller type='scsi' model='virtio-scsi'/>`,
      `<disk type='file' device='cdrom'><target dev='sdb' bus='scsi'/><readonly/></disk>`,
    ].join('\n');
    const vm = await defineVm(alpha, { name: 'two', top: foreign, devices });
    expect(vm.xml).toContain('<!-- kept by hand -->');
    await must(alpha, 'autostart', 'two');
    await must(alpha, 'start', 'two');
    return {
      vm,
      ways: [copy('vda', inDefault('two-a.raw')), copy('sda', inDefault('two-b.qcow2'), 'qcow2')],
      concerns: ['removable-medium'],
      after: async (report) => {
        expect(report).toMatchObject({ vmRunning: true, mode: 'cold' });
        expect(report.disks.map(({ verified }) => verified)).toEqual([true, true]);
        expect(await must(beta, 'dominfo', 'two')).toMatch(/Autostart: +enable/);
        // Twelve runs of up to 448 KiB in sixteen MiB: the holes did not become data.
        expect(await allocatedBytes(beta, inDefault('two-a.raw'))).toBeLessThan(5 * mebibyte);
      },
    };
  },
};

const chain: DiskRow = {
  name: 'a qcow2 chain of three, one link relative and one absolute: one image there, the lower two stay here',
  async prepare({ alpha, beta }) {
    const [base, middle, top] = ['base', 'middle', 'top'].map((name) =>
      inDefault(`chain-${name}.qcow2`),
    ) as [string, string, string];
    await makeImage(alpha, base, { format: 'qcow2', sizeMiB: 12 });
    await makeImage(alpha, middle, { format: 'qcow2', sizeMiB: 12, backing: base });
    await makeImage(alpha, top, { format: 'qcow2', sizeMiB: 16, backing: 'chain-middle.qcow2' });
    const below = await Promise.all([base, middle].map((path) => hashOf(alpha, path)));
    const devices = diskXml({ dev: 'vda', path: top, format: 'qcow2' });
    return {
      vm: await defineVm(alpha, { name: 'chain', devices }),
      ways: [copy('vda', top, 'qcow2')],
      concerns: ['chain-flattened'],
      stays: [base, middle],
      after: async () => {
        const { stdout } = await beta.exec(['qemu-img', 'info', '--output=json', top], soon);
        expect(JSON.parse(stdout)).not.toHaveProperty('backing-filename');
        expect(await Promise.all([base, middle].map((path) => hashOf(alpha, path)))).toEqual(below);
      },
    };
  },
};

/** Its three images on alpha, the lowest first, and the ways that keep them so. */
async function keptChain(alpha: LabHost, name: string) {
  const [base, middle, top] = ['base', 'middle', 'top'].map((part) =>
    inDefault(`${name}-${part}.qcow2`),
  ) as [string, string, string];
  await makeImage(alpha, base, { format: 'qcow2', sizeMiB: 12 });
  await makeImage(alpha, middle, { format: 'qcow2', sizeMiB: 12, backing: base });
  await makeImage(alpha, top, { format: 'qcow2', sizeMiB: 16, backing: `${name}-middle.qcow2` });
  const zeroes = ['-c', 'write -q -z 0 32k', '-c', 'write -q -z 1M 2M'];
  await alpha.exec(['qemu-io', '-f', 'qcow2', ...zeroes, top], soon);
  const ways = [
    copy('vda.2', inDefault(`${name}-vda.2.qcow2`), 'qcow2'),
    copy('vda.1', inDefault(`${name}-vda.1.qcow2`), 'qcow2'),
    copy('vda', top, 'qcow2'),
  ];
  const devices = diskXml({ dev: 'vda', path: top, format: 'qcow2' });
  const read = (host: LabHost, paths: string[]): Promise<string[]> =>
    Promise.all(paths.map((path) => contentOf(host, path, 'qcow2')));
  return {
    ...{ below: [base, middle], ways, was: await read(alpha, [base, middle, top]), read },
    vm: await defineVm(alpha, { name, devices }),
  };
}

const kept: DiskRow = {
  name: 'a chain of three that is kept: the same three there, each with its own bytes',
  async prepare({ alpha, beta }) {
    const { vm, below, ways, was, read } = await keptChain(alpha, 'kept');
    return {
      ...{ vm, ways, stays: below, concerns: ['chain-kept'] },
      request: { chain: 'keep' },
      after: async (report) => {
        const paths = ways.map(({ path }) => path);
        expect(await read(beta, paths)).toEqual(was);
        const top = paths.at(-1) ?? '';
        const info = ['qemu-img', 'info', '-U', '--backing-chain', '--output=json', top];
        const { stdout } = await beta.exec(info, soon);
        const chain = JSON.parse(stdout) as { filename: string }[];
        expect(chain.map(({ filename }) => filename)).toEqual(paths.toReversed());
        expect(report.disks.map(({ verified }) => verified)).toEqual([true, true, true]);
        for (const path of below) expect(report.notes.join('\n')).toContain(path);
        expect(await read(alpha, below)).toEqual(was.slice(0, 2));
      },
    };
  },
};

const keptAndUndone: DiskRow = {
  name: 'a chain of three that is kept, taken back: all three are gone there',
  async prepare({ alpha }) {
    const { vm, below, ways, was, read } = await keptChain(alpha, 'undone');
    return {
      ...{ vm, ways, concerns: ['chain-kept'] },
      request: { chain: 'keep' },
      play: (run) => playRollback(run),
      after: async () => {
        expect(await read(alpha, below)).toEqual(was.slice(0, 2));
      },
    };
  },
};

const formats: DiskRow = {
  name: 'all to qcow2 in another pool, but one disk to raw and elsewhere, asked for at the command line',
  async prepare({ alpha }) {
    await makeImage(alpha, inDefault('formats-a.raw'), { format: 'raw', sizeMiB: 8 });
    await makeImage(alpha, inFast('formats-b.qcow2'), { format: 'qcow2', sizeMiB: 8 });
    const devices =
      diskXml({ dev: 'vda', path: inDefault('formats-a.raw'), format: 'raw' }) +
      diskXml({ dev: 'vdb', path: inFast('formats-b.qcow2'), format: 'qcow2' });
    return {
      vm: await defineVm(alpha, { name: 'formats', devices }),
      request: {
        targetPool: 'fast',
        targetFormat: 'qcow2',
        disks: { vdb: { pool: 'default', format: 'raw' } },
      },
      ways: [
        copy('vda', inFast('formats-a.qcow2'), 'qcow2'),
        copy('vdb', inDefault('formats-b.raw')),
      ],
      play: byCommandLine,
    };
  },
};

async function byCommandLine(run: Run): Promise<void> {
  const { stage, journey } = run;
  const words = ['--pool', 'fast', '--format', 'qcow2', '--disk', 'vdb:pool=default,format=raw'];
  const done = await execa(
    bin,
    [
      ...['--config', stage.fleet.configPath, 'migrate', journey.vm.name, '--auto-commit'],
      ...['--from', 'alpha', '--to', 'beta', ...words],
    ],
    { reject: false, timeout: 240_000, env: { CI: '1' } },
  );
  expect(done.exitCode, done.stderr).toBe(0);
  await expectCommitted(run, await ended(await stage.ferry.move(journey.vm.name)));
}

const full: DiskRow = {
  name: 'a sparse image whose copy gets all its room',
  async prepare({ alpha, beta }) {
    await makeImage(alpha, inDefault('full.raw'), { format: 'raw', sizeMiB: 8 });
    const devices = diskXml({ dev: 'vda', path: inDefault('full.raw'), format: 'raw' });
    return {
      vm: await defineVm(alpha, { name: 'full', devices }),
      request: { allocation: 'full' },
      ways: [copy('vda', inDefault('full.raw'))],
      after: async () => {
        const allocated = await allocatedBytes(beta, inDefault('full.raw'));
        expect(allocated).toBeGreaterThanOrEqual(8 * mebibyte);
      },
    };
  },
};

const fromDevice = (name: string, sectorBytes: 512 | 4096): DiskRow => ({
  name: `a block device with sectors of ${sectorBytes} bytes into a file; the device keeps its content`,
  async prepare({ stage, alpha }: Scene) {
    const options = { name, sizeBytes: 8 * mebibyte, sectorBytes };
    const { path } = await stage.lab.addSharedBlock(options);
    await fillRaw(alpha, path, 8);
    const was = await hashOf(alpha, path);
    // What the guest saw as sectors it sees again, though the file would have smaller ones.
    const inside = `<blockio logical_block_size='${sectorBytes}' physical_block_size='4096'/>`;
    const disk = { dev: 'vda', path, format: 'raw', kind: 'block', inside } as const;
    const devices = diskXml({ ...disk, driver: `cache='none'` });
    return {
      vm: await defineVm(alpha, { name, devices }),
      request: { targetPool: 'default' },
      ways: [copy('vda', inDefault(`${name}-vda.raw`))],
      stays: [path],
      after: async (report) => {
        expect(report.notes.join('\n')).toContain(path);
        expect(await hashOf(alpha, path)).toBe(was);
      },
    };
  },
});

const sameName: DiskRow = {
  name: 'a path that both hosts have and do not share is copied, and the other host keeps its own file',
  async prepare({ alpha, beta }) {
    const path = inDefault('twin.raw');
    for (const host of [alpha, beta]) await makeImage(host, path, { format: 'raw', sizeMiB: 4 });
    const theirs = await hashOf(beta, path);
    const devices = diskXml({ dev: 'vda', path, format: 'raw' });
    return {
      vm: await defineVm(alpha, { name: 'twin', devices }),
      request: { targetPool: 'fast' },
      ways: [copy('vda', inFast('twin.raw'))],
      after: async () => {
        expect(await hashOf(beta, path)).toBe(theirs);
      },
    };
  },
};

export const copiedRows: DiskRow[] = [
  twoDisks,
  chain,
  kept,
  keptAndUndone,
  formats,
  full,
  fromDevice('device', 512),
  fromDevice('device4k', 4096),
  sameName,
];
