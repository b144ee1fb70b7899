import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OvaFolder } from '../../../workers/ova-folder.ts';
import { saveOva } from '../../../workers/save-ova.ts';
import type { SaveOva } from '../../../workers/save-ova.ts';
import { vmwareOvf } from '../ova/ovf-texts.ts';
import { tarHeader, tarOf } from '../ova/tar-writer.ts';
import { grainBytes, vmdkOf } from '../ova/vmdk-writer.ts';

const MiB = 1024 ** 2;
const disk = { id: 'disk1', href: 'disk.vmdk', capacity: 4 * MiB };
const members = [
  { name: 'web.ovf', body: Buffer.from(vmwareOvf({ name: 'web', disks: [disk] })) },
  {
    name: 'disk.vmdk',
    body: vmdkOf({
      ...{ capacityBytes: disk.capacity, streamed: true },
      grains: { 3: Buffer.alloc(grainBytes, 'guest') },
    }),
  },
];
const whole = tarOf(members);
const blocksOf = (bytes: number): number => Math.ceil(bytes / 512) * 512;
/** Of the last byte that a reader needs; what follows is padding. */
const endOfData = 1024 + blocksOf(members[0]?.body.length ?? 0) + (members[1]?.body.length ?? 0);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'save-ova-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** In pieces of no round size, as a pipe brings it. */
function* piecesOf(bytes: Buffer, length = 997): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
const streamOf = (bytes: Buffer): Readable => Readable.from(piecesOf(bytes));
const save = (from: Readable, more: Partial<SaveOva> = {}) =>
  saveOva({ folder, file: 'web.ova', leaveBytes: 0, from, ...more });
const left = () => readdir(folder);
async function listed(provider: OvaFolder): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of provider.list()) ids.push(id);
  return ids;
}

describe('an OVA that comes as a stream', () => {
  it('is in the folder, byte by byte, and its machine is one of the provider', async () => {
    const told: number[] = [];
    const saved = await save(streamOf(whole), { onProgress: (bytes) => told.push(bytes) });
    expect(saved).toMatchObject({
      path: join(folder, 'web.ova'),
      sizeBytes: whole.length,
      machines: [{ id: 'web', name: 'web', diskBytes: disk.capacity }],
    });
    expect(whole.equals(await readFile(saved.path))).toBe(true);
    expect(await left()).toEqual(['web.ova']);
    expect((await stat(saved.path)).mode & 0o777).toBe(0o600);
    expect(told.at(-1)).toBe(whole.length);
    await using provider = new OvaFolder({ folder });
    expect((await provider.inspect('web')).id).toBe('web.ova#web');
  });

  it('is not there before it is whole', async () => {
    const from = new PassThrough();
    const half = Promise.withResolvers<undefined>();
    const saving = save(from, { onProgress: () => half.resolve(undefined) });
    from.write(whole.subarray(0, 4096));
    await half.promise;
    await using provider = new OvaFolder({ folder });
    expect(await listed(provider)).toEqual([]);
    from.end(whole.subarray(4096));
    await saving;
    expect(await listed(provider)).toEqual(['web.ova#web']);
  });

  it('that broke off anywhere is refused, and nothing of it stays', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: endOfData - 1 }), async (length) => {
        await expect(save(streamOf(whole.subarray(0, length)))).rejects.toMatchObject({
          code: expect.stringMatching(/^ova-(malformed|corrupt|file-missing)$/) as unknown,
          remedy: expect.stringContaining('broke off') as unknown,
        });
        expect(await left()).toEqual([]);
      }),
      // Between the two entries, where the tar itself is whole.
      { numRuns: 40, examples: [[512 + blocksOf(members[0]?.body.length ?? 0)]] },
    );
  });

  it('whose padding alone is cut is whole', async () => {
    await save(streamOf(whole.subarray(0, endOfData)));
    expect(await left()).toEqual(['web.ova']);
  });

  it.each([
    ['compressed', gzipSync(whole), 'ova-unsupported'],
    ['an answer in HTML', Buffer.from('<html>404</html>'.repeat(100)), 'ova-malformed'],
    ['empty space', Buffer.alloc(4096), 'ova-malformed'],
  ])('that is %s is refused by its beginning', async (_, start, code) => {
    let given = 0;
    const endless = Readable.from(
      (function* () {
        for (const piece of piecesOf(start)) yield ((given += 1), piece);
        for (;;) yield ((given += 1), Buffer.alloc(65_536));
      })(),
    );
    await expect(save(endless)).rejects.toMatchObject({ code });
    // What a pipe holds ahead, and no more.
    expect(given).toBeLessThan(40);
    expect(await left()).toEqual([]);
  });

  it('with a name that leads out of it is refused by the reader', async () => {
    const hostile = tarOf([...members, { name: '../../etc/cron.d/x', body: Buffer.from('x') }]);
    await expect(save(streamOf(hostile))).rejects.toMatchObject({
      code: 'ova-malformed',
      message: expect.stringContaining(`what came for ${join(folder, 'web.ova')}`) as unknown,
    });
    expect(await left()).toEqual([]);
  });

  it('and never ends is given up when the room is', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const header = tarHeader({ name: 'disk.vmdk', statedBytes: 2 ** 40, binarySize: true });
    const from = Readable.from(
      (function* () {
        yield header;
        for (;;) yield Buffer.alloc(65_536, 1);
      })(),
    ).once('close', () => resolve(undefined));
    const leaveBytes = Number.MAX_SAFE_INTEGER / 2;
    await expect(save(from, { leaveBytes })).rejects.toMatchObject({ code: 'ova-no-room' });
    await promise;
    expect(await left()).toEqual([]);
  });

  it('takes the place of no other, also not of one that comes meanwhile', async () => {
    const theirs = join(folder, 'web.ova');
    await writeFile(theirs, 'theirs');
    const untouched = streamOf(whole);
    await expect(save(untouched)).rejects.toMatchObject({ code: 'ova-exists' });
    expect(untouched.readableDidRead).toBe(false);
    await rm(theirs);
    let laid: Promise<void> | undefined;
    const racing = save(streamOf(whole), {
      onProgress: () => {
        laid ??= writeFile(theirs, 'theirs');
      },
    });
    await expect(racing).rejects.toMatchObject({ code: 'ova-exists' });
    await laid;
    expect(await left()).toEqual(['web.ova']);
    expect(await readFile(theirs, 'utf8')).toBe('theirs');
  });

  it('that is called off leaves nothing', async () => {
    const stop = new AbortController();
    const why = new Error('Ctrl-C');
    const from = new PassThrough();
    from.write(whole.subarray(0, 4096));
    const saving = save(from, { signal: stop.signal, onProgress: () => stop.abort(why) });
    await expect(saving).rejects.toBe(why);
    expect(from.destroyed).toBe(true);
    expect(await left()).toEqual([]);
  });

  it('that stands still is given up', async () => {
    const from = new PassThrough();
    from.write(whole.subarray(0, 4096));
    await expect(save(from, { idleMs: 50 })).rejects.toMatchObject({ code: 'ova-stalled' });
    expect(await left()).toEqual([]);
  });

  it('takes away what a killed process left a day ago, and nothing younger', async () => {
    const [old, young] = [randomUUID(), randomUUID()].map((id) => `.vmferry-${id}.part`);
    for (const name of [old, young, '.hidden']) await writeFile(join(folder, name ?? ''), 'x');
    const dayAgo = Date.now() / 1000 - 25 * 3600;
    for (const name of [old, '.hidden']) await utimes(join(folder, name ?? ''), dayAgo, dayAgo);
    await save(streamOf(whole));
    expect((await left()).toSorted()).toEqual([young, '.hidden', 'web.ova'].toSorted());
  });

  it.each([
    '../web.ova',
    'sub/web.ova',
    '/web.ova',
    '.web.ova',
    '.ova',
    'web',
    'web.ovf',
    'web\n.ova',
    `${'w'.repeat(200)}.ova`,
  ])('cannot be called %j', async (file) => {
    await expect(save(streamOf(whole), { file })).rejects.toMatchObject({ code: 'ova-name' });
    expect(await left()).toEqual([]);
  });

  it('needs a folder that takes it', async () => {
    const gone = join(folder, 'gone');
    await expect(save(streamOf(whole), { folder: gone })).rejects.toMatchObject({
      code: 'ova-folder-unwritable',
      message: expect.stringContaining(gone) as unknown,
    });
    await mkdir(gone);
    await save(streamOf(whole), { folder: gone });
  });
});
