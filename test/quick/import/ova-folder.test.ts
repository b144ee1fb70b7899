import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ForeignVmSummary } from '../../../domain/foreign.ts';
import { OvaFolder } from '../../../workers/ova-folder.ts';
import { collectionOvf, vmwareOvf } from '../ova/ovf-texts.ts';
import { tarOf } from '../ova/tar-writer.ts';

const MiB = 1024 ** 2;
let dir: string;
let shelf: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ova-folder-'));
  shelf = join(dir, 'shelf');
  await mkdir(join(shelf, 'old'), { recursive: true });
  await put('web.ova', vmwareOvf({ name: 'web', disks: blank }));
  await put(
    'old/pair.ova',
    collectionOvf([
      { name: 'one', disks: blank },
      { name: 'two', disks: blank },
    ]),
  );
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A disk without a file is all zeroes. */
const blank = [{ id: 'disk1', capacity: 4 * MiB }];
const put = (path: string, ovf: string, folder = shelf) =>
  writeFile(join(folder, path), tarOf([{ name: 'machine.ovf', body: Buffer.from(ovf) }]));
async function listed(source: OvaFolder): Promise<ForeignVmSummary[]> {
  const seen: ForeignVmSummary[] = [];
  for await (const vm of source.list()) seen.push(vm);
  return seen;
}
const open = () => new OvaFolder({ folder: shelf });

describe('a folder of OVAs', () => {
  it('lists the machines of all of them, and one that cannot be read without hiding the others', async () => {
    await writeFile(join(shelf, 'torn.ova'), 'no tar at all');
    await using source = open();
    const seen = (await listed(source)).toSorted((a, b) => a.id.localeCompare(b.id));
    expect(seen.map(({ id }) => id)).toEqual([
      'old/pair.ova#one',
      'old/pair.ova#two',
      'torn.ova',
      'web.ova#web',
    ]);
    expect(seen[2]).toMatchObject({ state: 'other', cpus: 0 });
    expect(seen[2]?.path).toContain('cannot be read');
  });

  it('finds a machine by ID, by its file alone, and by its name', async () => {
    await using source = open();
    for (const asked of ['web.ova#web', 'web.ova', 'web'])
      expect((await source.inspect(asked)).id).toBe('web.ova#web');
    expect((await source.inspect('two')).id).toBe('old/pair.ova#two');
  });

  it('asks which, where a file or the folder has several', async () => {
    await put('copy.ova', vmwareOvf({ name: 'web', disks: blank }));
    await using source = open();
    for (const asked of ['old/pair.ova', 'web'])
      await expect(source.inspect(asked)).rejects.toMatchObject({ code: 'vm-ambiguous' });
  });

  it('opens nothing outside of it, by name or by a link', async () => {
    await put('secret.ova', vmwareOvf({ name: 'secret', disks: blank }), dir);
    await symlink(join(dir, 'secret.ova'), join(shelf, 'link.ova'));
    await using source = open();
    for (const asked of [
      '../secret.ova',
      '../secret.ova#secret',
      'link.ova',
      join(dir, 'secret.ova'),
      '',
    ])
      await expect(source.inspect(asked), asked).rejects.toMatchObject({ code: 'vm-not-found' });
    const ids = (await listed(source)).map(({ id }) => id);
    expect(ids.join()).not.toContain('secret');
  });

  it('reads a disk and vouches for it under the ID that it gave', async () => {
    await using source = open();
    const vm = await source.inspect('web.ova');
    const { source: disk, fingerprint } = await source.openDisk(vm, vm.disks[0]!.key);
    expect(disk.sizeBytes).toBe(4 * MiB);
    expect(fingerprint).not.toBe('');
    await disk.close();
    await source.verifyUnchanged(vm);
    expect(await source.state(vm.id)).toBe('shut-off');
  });
});
