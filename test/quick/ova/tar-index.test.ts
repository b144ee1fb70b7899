import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Bytes } from '../../../platforms/ova/bytes.ts';
import { indexTar } from '../../../platforms/ova/tar-index.ts';
import { paxBody, tarHeader, tarOf } from './tar-writer.ts';
import type { TarMember } from './tar-writer.ts';

const inMemory = (data: Buffer): Bytes => ({
  sizeBytes: data.length,
  read: (offset, into) => {
    data.copy(into, 0, offset, offset + into.length);
    return Promise.resolve();
  },
});
const index = (members: readonly TarMember[]) => indexTar(inMemory(tarOf(members)), 'x.ova');
const refusal = (members: readonly TarMember[], why: RegExp) =>
  expect(index(members)).rejects.toMatchObject({
    code: 'ova-malformed',
    message: expect.stringMatching(why) as string,
  });

it('finds every file where it lies', async () => {
  const members = [
    { name: './web.ovf', body: Buffer.from('<x/>') },
    { name: 'dir/', type: '5' },
    { name: 'dir/disk 1.vmdk', body: Buffer.alloc(1000, 7), binarySize: true as const },
  ];
  const tar = tarOf(members);
  const entries = await indexTar(inMemory(tar), 'x.ova');
  expect([...entries.keys()]).toEqual(['web.ovf', 'dir/disk 1.vmdk']);
  for (const [at, { offset, sizeBytes }] of [...entries.values()].entries()) {
    const body = members.filter(({ type }) => type !== '5')[at]?.body;
    expect(tar.subarray(offset, offset + sizeBytes).equals(body ?? Buffer.alloc(0))).toBe(true);
  }
});

it('takes long names from GNU and POSIX headers, and sizes too', async () => {
  const long = `${'n'.repeat(150)}.vmdk`;
  const entries = await index([
    { name: '././@LongLink', type: 'L', body: Buffer.from(`${long}\0`) },
    { name: 'cut', body: Buffer.from('gnu') },
    {
      name: 'PaxHeaders/x',
      type: 'x',
      body: paxBody({ path: `p-${long}`, size: '5', mtime: '1' }),
    },
    { name: 'cut', body: Buffer.from('posix'), statedBytes: 0 },
    { name: 'plain', body: Buffer.from('plain') },
  ]);
  expect([...entries.values()].map(({ name, sizeBytes }) => [name, sizeBytes])).toEqual([
    [long, 3],
    [`p-${long}`, 5],
    ['plain', 5],
  ]);
});

it('takes a tar without the blocks of zeroes at its end', async () => {
  const tar = tarOf([{ name: 'a', body: Buffer.alloc(512, 1) }]).subarray(0, 1024);
  expect([...(await indexTar(inMemory(tar), 'x.ova')).keys()]).toEqual(['a']);
});

it.each([
  ['leads out by its path', { name: '../../etc/passwd' }, /etc\/passwd.*leads out/],
  ['is absolute', { name: '/etc/passwd' }, /etc\/passwd.*leads out/],
  ['hides a path in the middle', { name: 'a/../../b' }, /leads out/],
  ['has a line in its name', { name: 'a\nb' }, /no usable name/],
  ['is a symbolic link', { name: 'disk.vmdk', type: '2' }, /disk\.vmdk.*symbolic link/],
  ['is a hard link', { name: 'disk.vmdk', type: '1' }, /disk\.vmdk.*hard link/],
  ['is a device', { name: 'sda', type: '4' }, /sda.*device/],
  ['is a pipe', { name: 'p', type: '6' }, /pipe/],
  ['is sparse', { name: 'disk.vmdk', type: 'S' }, /disk\.vmdk.*sparse/],
  ['is of no known kind', { name: 'x', type: 'Z' }, /unknown kind/],
  ['states more than there is', { name: 'big', statedBytes: 2 ** 32 }, /big.*4294967296/],
  [
    'states more than any file',
    { name: 'big', statedBytes: 2 ** 60, binarySize: true },
    /big.*size/,
  ],
  ['is damaged', { name: 'x', badSum: true }, /no tar archive/],
] as [string, TarMember, RegExp][])('refuses an entry that %s', async (_, member, why) => {
  await refusal([member], why);
});

it('refuses what comes twice', async () => {
  await refusal([{ name: 'web.ovf' }, { name: './web.ovf' }], /"web\.ovf" is there twice/);
});

it('refuses GNU sparse records and extensions of unlikely length', async () => {
  const sparse = { 'GNU.sparse.name': 'disk', 'GNU.sparse.major': '1' };
  await refusal([{ name: 'x', type: 'x', body: paxBody(sparse) }, { name: 'y' }], /sparse/);
  await refusal([{ name: 'x', type: 'L', body: Buffer.alloc(100_000, 97) }], /unlikely length/);
  await refusal([{ name: 'x', type: 'x', body: Buffer.from('9 path') }], /extended header/);
});

it('gives up on a tar of ten million entries soon', async () => {
  let reads = 0;
  const endless: Bytes = {
    sizeBytes: 512 * 10_000_000,
    read: (offset, into) => {
      reads += 1;
      into.set(tarHeader({ name: `f${offset / 512}` }).subarray(0, into.length));
      return Promise.resolve();
    },
  };
  await expect(indexTar(endless, 'x.ova')).rejects.toMatchObject({ code: 'ova-malformed' });
  expect(reads).toBeLessThan(10_100);
});

it('gives up on a chain of headers without an entry', async () => {
  const header = tarHeader({ name: 'g', type: 'g' });
  const endless: Bytes = {
    sizeBytes: 512 * 10_000_000,
    read: (_, into) => {
      into.set(header.subarray(0, into.length));
      return Promise.resolve();
    },
  };
  await expect(indexTar(endless, 'x.ova')).rejects.toThrow(/headers/);
});

it('stays inside whatever bytes it is given', async () => {
  const sound = tarOf([
    { name: 'x', type: 'x', body: paxBody({ path: 'long', size: '3' }) },
    { name: 'a', body: Buffer.from('abc') },
    { name: 'b', body: Buffer.alloc(700) },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 8 }),
      fc.boolean(),
      async (changes, mend) => {
        const tar = Buffer.from(sound);
        for (const [at, byte] of changes) tar[at] = byte;
        if (mend) mendSums(tar);
        const entries = await indexTar(inMemory(tar), 'x').catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'ova-malformed' });
          return new Map<string, { offset: number; sizeBytes: number }>();
        });
        for (const { offset, sizeBytes } of entries.values()) {
          expect(offset + sizeBytes).toBeLessThanOrEqual(tar.length);
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** So that changed headers are read at all. */
function mendSums(tar: Buffer): void {
  for (const at of [0, 1024, 2048]) {
    tar.write('        ', at + 148, 'latin1');
    const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
}
