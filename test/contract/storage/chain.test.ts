/** A chain of images copied image by image: each holds what it held, and lies on what it lay on. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageFacts } from '../../../platforms/libvirt/image.ts';
import { CopyPath, mib } from './copy-path.ts';
import { run } from './servers.ts';

let path: CopyPath;
beforeAll(async () => {
  path = await CopyPath.open();
});
afterAll(() => path.close());

type Format = 'raw' | 'qcow2';
interface Image {
  name: string;
  format: Format;
  sizeBytes: number;
  options?: string;
  writes: readonly string[];
}

const at = (side: string, { name, format }: Image) => ({
  path: path.path(`${side}-${name}.${format}`),
  format,
});

async function create(side: string, image: Image, below: Image | undefined): Promise<void> {
  const { path: file, format } = at(side, image);
  const base = below && at(side, below);
  const backing = base === undefined ? [] : ['-b', base.path, '-F', base.format];
  // The target's are made as libvirt makes them, whatever the source's clusters are.
  const { options = '' } = image;
  const own = side === 'target' || options === '' ? [] : ['-o', options];
  const size = String(image.sizeBytes);
  await run('qemu-img', 'create', '-q', '-f', format, ...own, ...backing, file, size);
  if (side === 'source' && image.writes.length > 0)
    await run('qemu-io', '-f', format, ...image.writes.flatMap((one) => ['-c', one]), file);
}

async function makeChain(chain: readonly Image[]): Promise<void> {
  for (const side of ['source', 'target'])
    for (const [index, image] of chain.entries()) await create(side, image, chain[index - 1]);
}

const copyLayer = (image: Image, index: number, more: { name?: string } = {}) =>
  path.copy(at('source', image), at('target', image), image.sizeBytes, {
    layer: index > 0,
    ...more,
  });

async function expectSame(chain: readonly Image[]): Promise<void> {
  for (const image of chain) {
    const [from, to] = [at('source', image), at('target', image)];
    const formats = ['-f', from.format, '-F', to.format];
    // Fails, and `run` with it, where one byte differs.
    await run('qemu-img', 'compare', ...formats, from.path, to.path);
  }
  const top = chain.at(-1)!;
  const facts = await imageFacts(at('target', top), { host: 'beta' });
  const below = chain.slice(0, -1).reverse();
  expect(facts.backing).toEqual(below.map((image) => at('target', image).path));
  expect(facts.layers).toMatchObject(
    below.map(({ format, sizeBytes }) => ({ format, isFile: true, capacityBytes: sizeBytes })),
  );
}

const chainOf = (prefix: string, options: { middle?: string; top?: string } = {}): Image[] => {
  const { middle = '', top = '' } = options;
  return [
    {
      ...{ name: `${prefix}-base`, format: 'raw' as const, sizeBytes: 24 * mib },
      writes: ['write -P 1 0 8M', 'write -P 2 12M 4M', 'write -P 3 20M 4M'],
    },
    {
      ...{
        name: `${prefix}-middle`,
        format: 'qcow2' as const,
        sizeBytes: 32 * mib,
        options: middle,
      },
      // Over data, over a hole; zeroes over data, and data that are zeroes.
      writes: [
        'write -P 4 1M 2M',
        'write -P 5 9M 1M',
        'write -z 4M 1M',
        'write -P 0 5M 1M',
        'write -P 6 30M 1M',
      ],
    },
    {
      ...{ name: `${prefix}-top`, format: 'qcow2' as const, sizeBytes: 32 * mib, options: top },
      // Over both below, in part of a cluster; zeroes over the middle's data, where the base has data too, or none.
      writes: [
        'write -P 7 2M 4k',
        'write -P 8 13M 2M',
        'write -z 1M 512k',
        'write -z 9M 1M',
        'write -P 9 4500k 64k',
      ],
    },
  ];
};

describe.each([
  [
    'of parts of clusters and of 4 KiB clusters',
    'small',
    { middle: 'extended_l2=on,cluster_size=128k', top: 'cluster_size=4k' },
  ],
  ['of the old version', 'old', { middle: 'compat=0.10', top: 'compat=0.10' }],
] as const)('a chain of three with images %s', (_, prefix, options) => {
  it('is the same chain on the other side, each image with its own bytes', async () => {
    const chain = chainOf(prefix, options);
    await makeChain(chain);
    for (const [index, image] of chain.entries()) await copyLayer(image, index);
    await expectSame(chain);
  });
});

it('an image crosses without what lies below it, and its zeroes are gone when it is taken away', async () => {
  const chain = chainOf('own');
  await makeChain(chain);
  const copied: number[] = [];
  for (const [index, image] of chain.entries())
    copied.push((await copyLayer(image, index)).bytesCopied);
  expect(copied[0]).toBe(16 * mib);
  expect(copied[1]).toBeLessThan(6 * mib);
  expect(copied[2]).toBeLessThan(3 * mib);
  const [base, middle, top] = chain;
  await expectReads(top!, 'read -P 0 1M 512k');
  await expectReads(middle!, 'read -P 4 1M 512k');
  await expectReads(base!, 'read -P 1 1M 512k');
  await expectReads(middle!, 'read -P 0 4M 256k');
});

it('a server killed while it writes an image costs nothing but a second try', async () => {
  const chain = chainOf('killed');
  await makeChain(chain);
  const [base, middle, top] = chain;
  await copyLayer(base!, 0);
  let taken = 0;
  const killed = path.copy(at('source', middle!), at('target', middle!), middle!.sizeBytes, {
    layer: true,
    name: 'killed-middle',
    throttle: {
      take: async (bytes) => {
        taken += bytes;
        if (taken > 2 * mib) await killWriterOf(at('target', middle!).path);
      },
    },
  });
  await expect(killed).rejects.toThrow();
  expect(taken).toBeGreaterThan(2 * mib);
  await copyLayer(middle!, 1, { name: 'killed-middle' });
  await copyLayer(top!, 2);
  await expectSame(chain);
});

it('an export that does not tell of depth is refused, for all of the chain would seem one image', async () => {
  const chain = chainOf('mute').slice(0, 2);
  await makeChain(chain);
  await copyLayer(chain[0]!, 0);
  await expect(path.openWithoutDepth(at('source', chain[1]!))).rejects.toMatchObject({
    code: 'source-export-unfit',
  });
});

async function expectReads(image: Image, words: string): Promise<void> {
  const { path: file, format } = at('target', image);
  expect(await run('qemu-io', '-r', '-f', format, '-c', words, file)).not.toContain('failed');
}

/** Ends the server that writes a file with SIGKILL, by the record that the worker keeps of it. */
async function killWriterOf(file: string): Promise<void> {
  const folder = join(path.dir, 'beta', 'local');
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.json')) continue;
    const record = JSON.parse(await readFile(join(folder, name), 'utf8')) as {
      path: string;
      pid: number;
    };
    if (record.path === file) process.kill(record.pid, 'SIGKILL');
  }
}
