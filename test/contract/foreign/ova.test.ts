import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForeignVm } from '../../../domain/foreign.ts';
import { openOva } from '../../../platforms/ova/source.ts';
import type { OvaOptions, OvaSource } from '../../../platforms/ova/source.ts';
import { collectionOvf, oVirtOvf, virtualBoxOvf, vmwareOvf } from '../../quick/ova/ovf-texts.ts';
import { soundDescriptor, vmdkOf } from '../../quick/ova/vmdk-writer.ts';
import { imageOf, manifestOf, tracesOf, writeFolder, writeRaw, writeTar } from './ova-fixture.ts';
import type { Member } from './ova-fixture.ts';
import { describeForeignSource } from './suite.ts';

const run = promisify(execFile);
const MiB = 1024 ** 2;
const sizeBytes = 40 * MiB;
const disk = { id: 'vmdisk1', href: 'web disk.vmdk', capacity: sizeBytes };

let dir: string;
let scratchDir: string;
let raw: string;
let rawDigest: string;
let streamed: Buffer;
let serial = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-ova-'));
  scratchDir = join(dir, 'scratch');
  await mkdir(scratchDir);
  raw = await writeRaw(join(dir, 'disk.raw'), sizeBytes);
  rawDigest = sha256(await readFile(raw));
  const streamOptimized = { format: 'vmdk', options: 'subformat=streamOptimized' };
  streamed = await imageOf(raw, join(dir, 'streamed.vmdk'), streamOptimized);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const fresh = (name: string): string => join(dir, `${(serial += 1)}-${name}`);
const openAt = (path: string, more: Partial<OvaOptions> = {}) =>
  openOva({ path, scratchDir, ...more });
const traces = () => tracesOf(dir, scratchDir);
const ovf = (text: string): Member => ({ name: 'web.ovf', body: Buffer.from(text) });
const web = (more: object = {}): Member => ovf(vmwareOvf({ disks: [{ ...disk, ...more }] }));
const vmdk = (body: Uint8Array = streamed): Member => ({ name: disk.href, body });
const tar = (members: readonly Member[]) => writeTar(fresh('web.ova'), members);

/** Opens, acts on its first machine, and sees that nothing stays. */
async function withOva(
  path: string,
  act: (source: OvaSource, vm: ForeignVm) => Promise<void>,
  more: Partial<OvaOptions> = {},
): Promise<void> {
  await using source = await openAt(path, more);
  const ids: string[] = [];
  for await (const { id } of source.list()) ids.push(id);
  await act(source, await source.inspect(ids[0] ?? ''));
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The digests of the disk as the source gives it, and of the raw file. */
async function expectDisk(path: string, key = disk.id, more: Partial<OvaOptions> = {}) {
  await withOva(
    path,
    async (source, vm) => {
      expect(await criticals(source, vm)).toEqual([]);
      const { source: opened } = await source.openDisk(vm, key);
      const all = Buffer.alloc(opened.sizeBytes);
      for (let at = 0; at < all.length; at += 2 * MiB) {
        await opened.read(at, all.subarray(at, at + 2 * MiB));
      }
      await opened.close();
      expect(sha256(all)).toBe(rawDigest);
      await source.verifyUnchanged(vm);
    },
    more,
  );
  expect(await traces()).toEqual([]);
}

const criticals = async (source: OvaSource, vm: ForeignVm): Promise<string[]> =>
  (await source.concerns(vm)).filter(({ level }) => level === 'critical').map(({ code }) => code);
const codes = async (source: OvaSource, vm: ForeignVm): Promise<string[]> =>
  (await source.concerns(vm)).map(({ code }) => code);

describe('a tar', () => {
  let path: string;
  beforeAll(async () => {
    const members = [web(), vmdk()];
    path = await tar([members[0]!, manifestOf(members), members[1]!]);
  });
  describeForeignSource({
    name: 'an OVA of vSphere',
    vm: () => ({
      name: 'web',
      facts: {
        name: 'web',
        state: 'shut-off',
        cpus: 4,
        coresPerSocket: 2,
        memoryBytes: 2048 * MiB,
        firmware: 'bios',
        guestFamily: 'linux',
        path,
      },
      disks: { [disk.id]: raw },
    }),
    open: () => openAt(path),
    traces,
  });
});

describe('a folder', () => {
  let path: string;
  beforeAll(async () => {
    const sparse = await imageOf(raw, join(dir, 'sparse.vmdk'), { format: 'vmdk' });
    path = await writeFolder(fresh('vbox'), [
      { name: 'vbox web.ovf', body: Buffer.from(virtualBoxOvf('disk%201.vmdk')) },
      { name: 'disk 1.vmdk', body: sparse },
    ]);
  });
  describeForeignSource({
    name: 'a folder of VirtualBox',
    vm: () => ({
      name: '6e2b0a37-64f5-4b8b-8c4b-6c0d3c7e1f11',
      facts: { name: 'vbox web', firmware: 'uefi', tpm: true, guestFamily: 'windows' },
      disks: { vmdisk1: raw },
    }),
    open: () => openAt(path),
    traces,
  });
});

describe('the images that exporters write', () => {
  it('reads a raw disk of oVirt in the tar', async () => {
    const members = [ovf(oVirtOvf('a.raw')), { name: 'a.raw', body: await readFile(raw) }];
    await expectDisk(await tar(members), '9f1c');
  });

  it.each([
    ['plain', 'cluster_size=65536'],
    ['of small clusters', 'cluster_size=4096'],
    ['of an older version', 'compat=0.10'],
  ])('reads a qcow2 %s of oVirt in the tar, compressed or not', async (_, options) => {
    for (const compressed of [false, true]) {
      const body = await imageOf(raw, fresh('disk.qcow2'), {
        format: 'qcow2',
        options,
        compressed,
      });
      const text = oVirtOvf('a.qcow2').replace('"RAW"', '"COW"');
      await expectDisk(await tar([ovf(text), { name: 'a.qcow2', body }]), '9f1c');
    }
  });

  it('reads a qcow2 of which every other cluster is compressed', async () => {
    const image = fresh('mixed.qcow2');
    await imageOf(raw, image, { format: 'qcow2', compressed: true });
    const other = fresh('mixed.raw');
    await copyFile(raw, other);
    const writes = [146, 148, 150, 153, 155].flatMap((nth) => [
      '-c',
      `write -P ${nth} ${nth * 64}k 64k`,
    ]);
    await run('qemu-io', ['-f', 'qcow2', ...writes, image]);
    await run('qemu-io', ['-f', 'raw', ...writes, other]);
    const text = oVirtOvf('a.qcow2').replace('"RAW"', '"COW"');
    const member = { name: 'a.qcow2', body: await readFile(image) };
    await withOva(await tar([ovf(text), member]), async (source, vm) => {
      const { source: opened } = await source.openDisk(vm, '9f1c');
      const all = Buffer.alloc(opened.sizeBytes);
      await opened.read(0, all);
      expect(sha256(all)).toBe(sha256(await readFile(other)));
    });
  });

  it.each([
    ['dynamic', 'subformat=dynamic,force_size=on'],
    ['fixed', 'subformat=fixed,force_size=on'],
  ])('reads a %s VHD', async (_, options) => {
    const body = await imageOf(raw, fresh('disk.vhd'), { format: 'vpc', options });
    const format = 'http://go.microsoft.com/fwlink/?LinkId=137171';
    await expectDisk(await tar([web({ format }), vmdk(body)]));
  });

  it('reads a gzipped disk, and holds it against the manifest as it lies there', async () => {
    const members = [web({ file: 'ovf:compression="gzip"' }), vmdk(gzipSync(streamed))];
    await expectDisk(await tar([...members, manifestOf(members, 'sha1')]));
  });

  it('reads a disk in chunks, gzipped or not', async () => {
    for (const packed of [false, true]) {
      const whole = packed ? gzipSync(streamed) : streamed;
      const chunkBytes = Math.ceil(whole.length / 5);
      const chunks = Array.from({ length: 5 }, (_, nth) => ({
        name: `${disk.href}.${String(nth).padStart(9, '0')}`,
        body: whole.subarray(nth * chunkBytes, (nth + 1) * chunkBytes),
      }));
      const gzip = packed ? 'ovf:compression="gzip"' : `ovf:size="${whole.length}"`;
      const members = [web({ file: `ovf:chunkSize="${chunkBytes}" ${gzip}` }), ...chunks];
      await expectDisk(await tar([...members, manifestOf(members, 'sha512')]));
      if (packed) await expectDisk(await writeFolder(fresh('chunks'), members));
      const without = [members[0]!, ...chunks.filter((_, nth) => nth !== 3)];
      await withOva(await tar(without), async (source, vm) => {
        if (packed) expect(await criticals(source, vm)).toEqual([]);
        else expect(await criticals(source, vm)).toEqual(['ova-file-missing']);
        // Without a stated size only what comes out tells that the end is missing.
        await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({
          code: packed ? 'ova-corrupt' : 'ova-file-missing',
        });
      });
    }
    expect(await traces()).toEqual([]);
  });

  it('reads an empty disk as zeroes', async () => {
    const text = vmwareOvf({ disks: [disk, { id: 'empty', capacity: MiB }] });
    await withOva(await tar([ovf(text), vmdk()]), async (source, vm) => {
      const { source: opened, fingerprint } = await source.openDisk(vm, 'empty');
      const into = Buffer.alloc(MiB, 1);
      await opened.read(0, into);
      expect(into.equals(Buffer.alloc(MiB))).toBe(true);
      expect(fingerprint).toBe('blank:1048576');
    });
  });

  it('reads what QEMU itself reads by the same offset in the tar', async () => {
    const path = await tar([web(), vmdk()]);
    const size = streamed.length;
    const offset = (await readFile(path)).indexOf('KDMV');
    const image = `driver=vmdk,file.driver=raw,file.offset=${offset},file.size=${size},file.file.driver=file,file.file.filename=${path}`;
    await run('qemu-img', [
      'compare',
      '--image-opts',
      image,
      `driver=raw,file.driver=file,file.filename=${raw}`,
    ]);
    await expectDisk(path);
  });

  it('knows several machines, and that they share a disk', async () => {
    const own = { id: 'own', href: 'own.vmdk', capacity: sizeBytes };
    const text = collectionOvf([
      { name: 'web', disks: [own, disk] },
      { name: 'db', disks: [disk] },
    ]);
    await withOva(
      await tar([ovf(text), vmdk(), { name: 'own.vmdk', body: streamed }]),
      async (source) => {
        const db = await source.inspect('db');
        expect(db.disks).toMatchObject([{ key: disk.id, shared: true }]);
        expect((await source.inspect('web')).disks).toMatchObject([
          { shared: false },
          { shared: true },
        ]);
      },
    );
  });
});

describe('the manifest', () => {
  it('stops a disk whose bytes are others, naming file, expected and found', async () => {
    const members = [web(), vmdk()];
    const manifest = manifestOf(members);
    const bad = Buffer.from(streamed);
    bad[bad.length - 5] = (bad[bad.length - 5] ?? 0) ^ 1;
    await withOva(await tar([members[0]!, manifest, vmdk(bad)]), async (source, vm) => {
      await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({
        code: 'ova-corrupt',
        message: expect.stringMatching(
          new RegExp(`web disk\\.vmdk.*${sha256(bad)}.*${sha256(streamed)}`),
        ) as string,
      });
    });
    await withOva(
      await tar([members[0]!, manifest, vmdk(bad)]),
      async (source, vm) => {
        expect(await codes(source, vm)).toContain('ova-manifest-ignored');
        await source.openDisk(vm, disk.id);
      },
      { checksManifest: false },
    );
  });

  it('stops an OVF whose bytes are others at once', async () => {
    const manifest = manifestOf([web(), vmdk()]);
    const other = web({ capacity: 2 * sizeBytes });
    await expect(openAt(await tar([other, manifest, vmdk()]))).rejects.toMatchObject({
      code: 'ova-corrupt',
      message: expect.stringContaining('"web.ovf"') as string,
    });
    expect(await traces()).toEqual([]);
  });

  it('is checked once, tells how far, and ends when it is told to', async () => {
    const members = [
      web(),
      { name: disk.href, body: Buffer.concat([Buffer.alloc(40 * MiB), streamed]) },
    ];
    const path = await tar([...members, manifestOf(members)]);
    const seen: number[] = [];
    const onCheck = ({ doneBytes }: { doneBytes: number }) => void seen.push(doneBytes);
    await withOva(
      path,
      async (source, vm) => {
        const stop = new AbortController();
        const opening = source.openDisk(vm, disk.id, stop.signal);
        stop.abort(new Error('enough'));
        await expect(opening).rejects.toThrow('enough');
        seen.length = 0;
        // It is no VMDK, but that is looked at only after its digest.
        await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({ code: 'ova-malformed' });
        expect(seen.at(-1)).toBe(members[1]!.body.length);
        expect(seen.length).toBeGreaterThan(2);
        seen.length = 0;
        await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({ code: 'ova-malformed' });
        expect(seen).toEqual([]);
      },
      { onCheck },
    );
    expect(await traces()).toEqual([]);
  });

  it('is missed where there is none, where it is silent, and where a signature is with it', async () => {
    await withOva(await tar([web(), vmdk()]), async (source, vm) => {
      expect(await codes(source, vm)).toEqual(['ova-manifest-absent']);
    });
    const silent = [web(), manifestOf([web()]), { name: 'web.cert', body: Buffer.from('x') }];
    await withOva(await tar([...silent, vmdk()]), async (source, vm) => {
      expect(await codes(source, vm)).toEqual([
        'ova-manifest-incomplete',
        'ova-certificate-unchecked',
      ]);
    });
  });
});

describe('a hostile or broken OVA', () => {
  const secret = (): string => join(dir, 'secret.raw');
  beforeAll(() => writeFile(secret(), Buffer.alloc(MiB, 'secret ')));

  it('does not lead to a file outside by its descriptor', async () => {
    const capacityBytes = 64 * MiB;
    const line = `RW 2048 FLAT "${secret()}" 0`;
    const descriptors = [
      soundDescriptor(capacityBytes).replace(/^RW .*$/m, line),
      `${soundDescriptor(capacityBytes)}parentFileNameHint="${secret()}"\n`,
    ];
    const bodies = [
      ...descriptors.map((descriptor) => vmdkOf({ capacityBytes, descriptor })),
      ...descriptors.map((descriptor) =>
        vmdkOf({ capacityBytes, descriptor, spoil: (header) => header.writeBigUInt64LE(0n, 12) }),
      ),
      ...descriptors.map((descriptor) => Buffer.from(descriptor)),
    ];
    for (const body of bodies) {
      await withOva(await tar([web(), vmdk(body)]), async (source, vm) => {
        await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({
          code: expect.stringMatching(/^ova-(?:unsupported|malformed)$/) as string,
        });
      });
    }
    expect(await traces()).toEqual([]);
  });

  it('is one of QEMU, too, that would have been read', async () => {
    // What the test above refuses is no idle fear: QEMU follows such a descriptor.
    const descriptor = soundDescriptor(MiB).replace(/^RW .*$/m, `RW 2048 FLAT "${secret()}" 0`);
    const path = fresh('bare.vmdk');
    await writeFile(path, descriptor.replace('streamOptimized', 'monolithicFlat'));
    const out = fresh('stolen.raw');
    await run('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', path, out]);
    expect((await readFile(out)).toString('latin1', 0, 6)).toBe('secret');
  });

  it('does not lead out of its folder by names or links', async () => {
    const path = await writeFolder(fresh('links'), [web()]);
    await symlink(secret(), join(path, disk.href));
    await withOva(path, async (source, vm) => {
      expect(await criticals(source, vm)).toEqual(['ova-malformed']);
      await expect(source.openDisk(vm, disk.id)).rejects.toThrow(/leads out of the folder/);
    });
    for (const href of ['../secret.raw', secret(), 'https://example.com/disk.vmdk', 'a/../../b']) {
      const named = await writeFolder(fresh('names'), [web({ href })]);
      await withOva(named, async (source, vm) => {
        await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({ code: 'ova-malformed' });
      });
    }
    const lost = await writeFolder(fresh('lost'), [web({ href: `${'n'.repeat(300)}.vmdk` })]);
    await withOva(lost, async (source, vm) => {
      expect(await criticals(source, vm)).toEqual(['ova-file-missing']);
    });
    const loop = await writeFolder(fresh('loop'), [web()]);
    await symlink(disk.href, join(loop, disk.href));
    await withOva(loop, async (source, vm) => {
      expect(await criticals(source, vm)).toEqual(['ova-file-missing']);
    });
    const inside = await writeFolder(fresh('inside'), [
      web(),
      { name: 'real.vmdk', body: streamed },
    ]);
    await symlink('real.vmdk', join(inside, disk.href));
    await expectDisk(inside);
  });

  it('does not wait for a pipe in place of a file', async () => {
    const path = await writeFolder(fresh('pipe'), [web()]);
    await run('mkfifo', [join(path, disk.href)]);
    await withOva(path, async (source, vm) => {
      await expect(source.openDisk(vm, disk.id)).rejects.toThrow(/no regular file/);
    });
  });

  it('does not fill the disk with what a small gzip holds', async () => {
    const bomb = gzipSync(Buffer.concat([vmdkOf({ capacityBytes: MiB }), Buffer.alloc(80 * MiB)]));
    const member = vmdk(bomb);
    await withOva(
      await tar([web({ file: 'ovf:compression="gzip"' }), member]),
      async (source, vm) => {
        await expect(source.openDisk(vm, disk.id)).rejects.toThrow(/more than \d+ bytes come out/);
      },
    );
    expect(await traces()).toEqual([]);
  });

  it('lies about sizes in vain', async () => {
    await withOva(await tar([web({ capacity: 8 * sizeBytes }), vmdk()]), async (source, vm) => {
      expect(vm.disks[0]?.capacityBytes).toBe(sizeBytes);
      expect(await codes(source, vm)).toContain('ova-capacity-differs');
    });
    const long = web({ file: `ovf:size="${streamed.length + 1}"` });
    await withOva(await tar([long, vmdk()]), async (source, vm) => {
      expect(await criticals(source, vm)).toEqual(['ova-corrupt']);
    });
  });

  it.each<[string, object, string]>([
    ['a file that is not there', { href: 'other.vmdk' }, 'ova-file-missing'],
    ['a disk that is a delta', { more: 'ovf:parentRef="base"' }, 'ova-unsupported'],
    ['what is no VMDK', { href: 'web.ovf' }, 'ova-malformed'],
  ])('tells before the move of %s', async (_, more, code) => {
    await withOva(await tar([web(more), vmdk()]), async (source, vm) => {
      expect(await criticals(source, vm)).toEqual([code]);
      await expect(source.openDisk(vm, disk.id)).rejects.toMatchObject({ code });
    });
  });

  it('is refused with a reason where it is a stream, compressed, absent or nothing of the kind', async () => {
    await expect(openAt('-')).rejects.toMatchObject({ code: 'ova-unsupported' });
    await expect(openAt('https://example.com/x.ova')).rejects.toMatchObject({
      code: 'ova-unsupported',
    });
    const pipe = fresh('pipe.ova');
    await run('mkfifo', [pipe]);
    await expect(openAt(pipe)).rejects.toMatchObject({ code: 'ova-unsupported' });
    const packed = fresh('web.ova.gz');
    await writeFile(packed, gzipSync(streamed));
    await expect(openAt(packed)).rejects.toMatchObject({ code: 'ova-unsupported' });
    await expect(openAt(join(dir, 'none.ova'))).rejects.toMatchObject({ code: 'ova-not-found' });
    await expect(openAt(raw)).rejects.toMatchObject({ code: 'ova-malformed' });
    const empty = fresh('empty.ova');
    await writeFile(empty, '');
    await expect(openAt(empty)).rejects.toMatchObject({ code: 'ova-malformed' });
    await expect(openAt(await tar([vmdk()]))).rejects.toMatchObject({ code: 'ova-malformed' });
    expect(await traces()).toEqual([]);
  });
});

describe('a file that changes', () => {
  it('gets another fingerprint, and is told of at the end', async () => {
    const path = await tar([web(), vmdk()]);
    let before = '';
    await withOva(path, async (source, vm) => {
      const handle = await source.openDisk(vm, disk.id);
      before = handle.fingerprint;
      await source.verifyUnchanged(vm);
      await utimes(path, 1, 1);
      await expect(source.verifyUnchanged(vm)).rejects.toMatchObject({
        code: 'source-changed',
        handling: 'unsafe',
      });
    });
    await withOva(path, async (source, vm) => {
      expect((await source.openDisk(vm, disk.id)).fingerprint).not.toBe(before);
    });
  });

  it('is told of when another was laid in its place, or it was cut', async () => {
    const path = await tar([web(), vmdk()]);
    await withOva(path, async (source, vm) => {
      const { source: opened } = await source.openDisk(vm, disk.id);
      const other = await tar([web(), vmdk()]);
      await rename(other, path);
      await expect(source.verifyUnchanged(vm)).rejects.toMatchObject({ code: 'source-changed' });
      await opened.close();
    });
    await withOva(path, async (source, vm) => {
      const { source: opened } = await source.openDisk(vm, disk.id);
      const file = await open(path, 'r+');
      await file.truncate(4096);
      await file.close();
      await expect(opened.read(MiB, Buffer.alloc(MiB))).rejects.toMatchObject({
        code: 'source-changed',
      });
    });
  });

  it('ends what is under way when it is closed', async () => {
    const noise = gzipSync(Buffer.concat([streamed, randomBytes(8 * MiB)]), { level: 1 });
    const path = await tar([web({ file: 'ovf:compression="gzip"' }), vmdk(noise)]);
    const source = await openAt(path);
    const opening = source.openDisk(await source.inspect('web'), disk.id);
    const ended = expect(opening).rejects.toThrow('the OVA is closed');
    await source.close();
    await ended;
    expect(await traces()).toEqual([]);
  });
});
