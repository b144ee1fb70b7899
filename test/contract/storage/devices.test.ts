import { readFile, stat, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageFacts } from '../../../platforms/libvirt/image.ts';
import { imageWriters } from '../../../platforms/libvirt/image-writers.ts';
import { diskIdentity } from '../../../guard/identity.ts';
import { runHook, writeHook } from '../../quick/guard/hook-run.ts';
import { ledgerIn, stateFolder, to } from '../../quick/guard/state-folder.ts';
import { CopyPath, mib } from './copy-path.ts';
import { loopDevice, run } from './servers.ts';
import type { LoopDevice } from './servers.ts';

let path: CopyPath;
const devices: LoopDevice[] = [];
const device = async (name: string, sizeBytes: number, sectorBytes: 512 | 4096 = 512) => {
  const made = await loopDevice(path.path(name), { sizeBytes, sectorBytes });
  devices.push(made);
  return { path: made.path, format: 'raw' as const };
};
const host = 'beta';

beforeAll(async () => {
  path = await CopyPath.open();
});
afterAll(async () => {
  for (const each of devices) await each.detach();
  await path.close();
});

describe.each([512, 4096] as const)('devices with sectors of %d bytes', (sectorBytes) => {
  it('take a file and give it back, byte by byte', async () => {
    const size = 32 * mib;
    const original = await path.original(`from-${sectorBytes}`, size);
    const block = await device(`dev-${sectorBytes}`, size, sectorBytes);
    // What was there before must not show through where the disk has holes.
    await run('qemu-io', '-f', 'raw', '-c', `write -P 0xab 0 ${size}`, block.path);
    const there = await path.copy(original, block, size);
    expect(there.startsZeroed).toBe(false);
    const back = await path.copy(
      block,
      { path: path.path(`back-${sectorBytes}`), format: 'raw' },
      size,
    );
    expect(back.root).toBe(there.root);
  });

  it('take the holes of a disk as holes', async () => {
    const size = 64 * mib;
    const original = await path.original(`thin-${sectorBytes}`, size);
    const block = await device(`holes-${sectorBytes}`, size, sectorBytes);
    await path.copy(original, block, size);
    const { blocks } = await stat(path.path(`holes-${sectorBytes}`));
    expect(blocks * 512).toBeLessThan(16 * mib);
  });

  it('may be larger than the disk: all beyond it is zeroed, for the guest sees it', async () => {
    const size = 8 * mib + sectorBytes;
    const original = await path.original(`tail-${sectorBytes}`, size);
    const block = await device(`large-${sectorBytes}`, 16 * mib, sectorBytes);
    await run('qemu-io', '-f', 'raw', '-c', `write -P 0xab 0 ${16 * mib}`, block.path);
    await path.copy(original, block, size);
    const rest = `read -P 0 ${size} ${16 * mib - size}`;
    expect(await run('qemu-io', '-r', '-f', 'raw', '-c', rest, block.path)).not.toContain('failed');
  });
});

describe('a device, which tells of no holes', () => {
  const size = 64 * mib;
  let block: { path: string; format: 'raw' };
  beforeAll(async () => {
    block = await device('blind', size);
    // 5 MiB of data: a run, a few bytes in a granule of zeroes, and the end; the rest is zeroes that were written.
    const writes = [
      `write -P 0 0 ${size}`,
      'write -P 7 8M 4M',
      'write -P 7 40000K 512',
      'write -P 7 63M 1M',
    ];
    await run('qemu-io', '-f', 'raw', ...writes.flatMap((one) => ['-c', one]), block.path);
  });
  const takenBytes = async (name: string): Promise<number> =>
    (await stat(path.path(name))).blocks * 512;

  it('becomes a thin raw file', async () => {
    const { bytesCopied } = await path.copy(
      block,
      { path: path.path('thin.raw'), format: 'raw' },
      size,
    );
    expect(bytesCopied).toBe(size);
    expect(await takenBytes('thin.raw')).toBeLessThan(6 * mib);
  });

  it('becomes a thin qcow2 image', async () => {
    const image = path.path('thin.qcow2');
    await run('qemu-img', 'create', '-q', '-f', 'qcow2', image, String(size));
    await path.copy(block, { path: image, format: 'qcow2' }, size);
    expect(await takenBytes('thin.qcow2')).toBeLessThan(7 * mib);
  });

  it.each(['raw', 'qcow2'] as const)(
    'leaves a %s target that was given all its room with it',
    async (format) => {
      const full = path.path(`full.${format}`);
      await run(
        'qemu-img',
        'create',
        '-q',
        '-f',
        format,
        '-o',
        'preallocation=falloc',
        full,
        String(size),
      );
      await path.copy(block, { path: full, format }, size);
      expect(await takenBytes(`full.${format}`)).toBeGreaterThanOrEqual(size);
    },
  );

  it('lays its zeroes over what another device holds, and gives that room back', async () => {
    const other = await device('other', size);
    await run('qemu-io', '-f', 'raw', '-c', `write -P 0xab 0 ${size}`, other.path);
    await path.copy(block, other, size);
    expect(await takenBytes('other')).toBeLessThan(7 * mib);
  });
});

it('refuses a device that is too small', async () => {
  const original = await path.original('big', 16 * mib);
  const block = await device('small', 8 * mib);
  await expect(path.copy(original, block, 16 * mib)).rejects.toMatchObject({
    code: 'target-too-small',
  });
});

it.each(['raw', 'qcow2'] as const)(
  'leaves a %s image that was given all its room with it, where the source has holes',
  async (format) => {
    const size = 32 * mib;
    const original = await path.original(`sparse-${format}`, size);
    const full = path.path(`roomy.${format}`);
    const room = ['-f', format, '-o', 'preallocation=falloc'];
    await run('qemu-img', 'create', '-q', ...room, full, String(size));
    await path.copy(original, { path: full, format }, size);
    expect((await stat(full)).blocks * 512).toBeGreaterThanOrEqual(size);
  },
);

it('reads a qcow2 chain over other storage as one disk: a device at its bottom, relative paths', async () => {
  const size = 16 * mib;
  const bottom = await device('bottom', size);
  await run('qemu-io', '-f', 'raw', '-c', `write -P 1 0 4M`, bottom.path);
  const create = (name: string, backing: string, format: string) =>
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', backing, '-F', format, path.path(name));
  await create('middle.qcow2', bottom.path, 'raw');
  await run('qemu-io', '-f', 'qcow2', '-c', `write -P 2 2M 1M`, path.path('middle.qcow2'));
  await create('top.qcow2', 'middle.qcow2', 'qcow2');
  const top = { path: path.path('top.qcow2'), format: 'qcow2' as const };
  expect(await imageFacts(top, { host })).toMatchObject({
    capacityBytes: size,
    backing: [path.path('middle.qcow2'), bottom.path],
  });
  const flat = path.path('flat.raw');
  await path.copy(top, { path: flat, format: 'raw' }, size);
  const reads = ['read -P 1 0 2M', 'read -P 2 2M 1M', 'read -P 1 3M 1M', 'read -P 0 4M 12M'];
  const args = reads.flatMap((read) => ['-c', read]);
  expect(await run('qemu-io', '-r', '-f', 'raw', ...args, flat)).not.toContain('failed');
});

it('refuses a chain whose backing format nobody states', async () => {
  const base = path.path('base.raw');
  await run('qemu-img', 'create', '-q', '-f', 'raw', base, '1M');
  const top = path.path('unstated.qcow2');
  await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top);
  // The header's extension that states the format becomes one that QEMU does not know: so old tools left it out.
  const header = await readFile(top);
  const at = header.indexOf(Buffer.from('e2792aca', 'hex'));
  header.writeUInt32BE(0x11111111, at);
  await writeFile(top, header);
  await expect(imageFacts({ path: top, format: 'qcow2' }, { host })).rejects.toMatchObject({
    code: 'backing-format-unstated',
    handling: 'permanent',
    host,
  });
});

it('refuses a chain that is longer than anybody means', async () => {
  let below = path.path('link-0.qcow2');
  await run('qemu-img', 'create', '-q', '-f', 'qcow2', below, '1M');
  const header = await readFile(below);
  for (let at = 1; at <= 64; at += 1) {
    // QEMU would open the whole chain to make one image on top of it: each header is written by hand.
    const name = Buffer.from(below);
    const next = Buffer.from(header);
    const extension = Buffer.alloc(24);
    extension.writeUInt32BE(0xe2792aca, 0);
    extension.writeUInt32BE(5, 4);
    extension.write('qcow2', 8);
    const start = next.readUInt32BE(100);
    extension.copy(next, start);
    name.copy(next, 1024);
    next.writeBigUInt64BE(1024n, 8);
    next.writeUInt32BE(name.length, 16);
    below = path.path(`link-${at}.qcow2`);
    await writeFile(below, next);
  }
  await expect(imageFacts({ path: below, format: 'qcow2' }, { host })).rejects.toMatchObject({
    code: 'chain-too-long',
  });
});

it('knows who uses a device, under whatever name', async () => {
  const block = await device('used', 16 * mib);
  await run('mkfs.ext4', '-q', block.path);
  const alias = path.path('alias');
  const numbers = (await diskIdentity(block.path)).split(':');
  await run('mknod', alias, 'b', numbers[1]!, numbers[2]!);
  expect(await imageWriters({ path: alias, format: 'raw' }, { host })).toEqual([]);
  const mount = path.path('mount');
  await run('mkdir', mount);
  await run('mount', block.path, mount);
  try {
    const writers = await imageWriters({ path: alias, format: 'raw' }, { host });
    expect(writers.join()).toContain(`is mounted on ${mount}`);
  } finally {
    await run('umount', mount);
  }
});

it('keeps another VM off a device, under whatever name', async () => {
  const block = await device('guarded', 4 * mib);
  const identity = await diskIdentity(block.path);
  expect(identity).toMatch(/^block:\d+:\d+$/);
  const [, major, minor] = identity.split(':');
  const node = path.path('node');
  await run('mknod', node, 'b', major!, minor!);
  const link = path.path('by-id');
  await run('ln', '-s', block.path, link);
  const ledger = ledgerIn(stateFolder());
  const disks = [{ path: block.path, identity }];
  await ledger.transition('0b0f6f0e-5d5f-4a41-9a3b-6f3a2f6a9c11', to('released', { disks }));
  const hook = await writeHook(ledger.stateDir);
  const start = (dev: string) =>
    runHook(
      hook,
      `<domain><name>x</name><uuid>aaaaaaaa-5d5f-4a41-9a3b-6f3a2f6a9c22</uuid><devices><disk type='block'><source dev='${dev}'/></disk></devices></domain>`,
    ).status;
  const other = await device('free', 4 * mib);
  expect([block.path, node, link, other.path].map(start)).toEqual([1, 1, 1, 0]);
});
