import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  OddStateFile,
  ensureStateFolder,
  isStateThere,
  readStateFile,
  putFolderInPlace,
  stateFileNames,
  writeStateFile,
} from '../../../platforms/libvirt/state-files.ts';
import { tpmOwner } from '../../../platforms/libvirt/state-owners.ts';

let dir: string;
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const odd = expect.any(OddStateFile) as OddStateFile;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-state-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('a file of kept state', () => {
  it('is replaced whole, with its mode, also after an attempt that was killed', async () => {
    const path = join(dir, 'vars.fd');
    await writeFile(path, 'old and longer');
    await writeFile(`${path}.vmferry-new`, 'left over');
    await chmod(`${path}.vmferry-new`, 0o444);
    await writeStateFile(path, Buffer.from('new'), { owner, mode: 0o600 });
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(['vars.fd']);
  });

  it('does not lead elsewhere by a link, neither read nor written', async () => {
    const victim = join(dir, 'victim');
    await writeFile(victim, 'untouched');
    for (const name of ['vars.fd', 'vars.fd.vmferry-new']) await symlink(victim, join(dir, name));
    await expect(readStateFile(join(dir, 'vars.fd'), 100)).rejects.toEqual(odd);
    await writeStateFile(join(dir, 'vars.fd'), Buffer.from('new'), { owner, mode: 0o600 });
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    expect(await readFile(join(dir, 'vars.fd'), 'utf8')).toBe('new');
  });

  it('is read within its bound only, and only if it is a file', async () => {
    await writeFile(join(dir, 'a'), 'abc');
    expect(await readStateFile(join(dir, 'a'), 3)).toEqual(Buffer.from('abc'));
    await expect(readStateFile(join(dir, 'a'), 2)).rejects.toEqual(odd);
    await expect(readStateFile(dir, 100)).rejects.toEqual(odd);
    expect(await readStateFile(join(dir, 'none'), 100)).toBeUndefined();
  });

  it('counts as there with more than a lock in its folder', async () => {
    const folder = join(dir, 'tpm2');
    expect(await isStateThere(folder)).toBe(false);
    await mkdir(folder);
    await writeFile(join(folder, '.lock'), '');
    expect(await isStateThere(folder)).toBe(false);
    await writeFile(join(folder, 'tpm2-00.permall'), '');
    expect(await isStateThere(folder)).toBe(true);
    expect(await stateFileNames(folder, 2)).toEqual(['.lock', 'tpm2-00.permall']);
    await expect(stateFileNames(folder, 1)).rejects.toEqual(odd);
  });

  it('comes in a whole folder, and what had its name is still there', async () => {
    for (const name of ['place', 'new', 'other']) {
      await mkdir(join(dir, name));
      await writeFile(join(dir, name, 'file'), name);
    }
    await putFolderInPlace(join(dir, 'new'), join(dir, 'place'));
    expect(await readFile(join(dir, 'place/file'), 'utf8')).toBe('new');
    const aside = (await readdir(dir)).find((name) => /^place\.before-\d+$/.test(name));
    expect(await readFile(join(dir, aside!, 'file'), 'utf8')).toBe('place');
    await putFolderInPlace(join(dir, 'other'), join(dir, 'free'));
    expect(await readFile(join(dir, 'free/file'), 'utf8')).toBe('other');
  });

  it('lies in a folder that keeps its mode where the host has it already', async () => {
    const folder = join(dir, 'nvram');
    const modeOf = async (): Promise<number> => (await stat(folder)).mode & 0o777;
    await ensureStateFolder(folder, { keep: true, owner, mode: 0o711 });
    expect(await modeOf()).toBe(0o711);
    await ensureStateFolder(folder, { keep: true, owner, mode: 0o755 });
    expect(await modeOf()).toBe(0o711);
    await ensureStateFolder(folder, { keep: false, owner, mode: 0o700 });
    expect(await modeOf()).toBe(0o700);
    await symlink(folder, join(dir, 'link'));
    await expect(
      ensureStateFolder(join(dir, 'link'), { keep: false, owner, mode: 0o777 }),
    ).rejects.toThrow();
    expect(await modeOf()).toBe(0o700);
  });
});

describe("the TPM emulator's user", () => {
  const read = () => tpmOwner({ fileRoot: dir, host: 'alpha' });
  const write = async (
    conf: string,
    accounts = 'root:x:0:0::\ntss:x:103:108::\nswtpm:x:77:77::\n',
  ) => {
    await mkdir(join(dir, 'etc/libvirt'), { recursive: true });
    await writeFile(join(dir, 'etc/passwd'), accounts);
    await writeFile(join(dir, 'etc/group'), accounts.replaceAll(/:(\d+):\d+::/g, ':$1:'));
    await writeFile(join(dir, 'etc/libvirt/qemu.conf'), conf);
  };

  it.each([
    ['tss by default', '#swtpm_user = "swtpm"\n', { uid: 103, gid: 103 }],
    [
      'the one of the configuration',
      'swtpm_user = "swtpm"\nswtpm_group="root"\n',
      { uid: 77, gid: 0 },
    ],
    ['a number', `  swtpm_user = '+12'\nswtpm_group = "34"\n`, { uid: 12, gid: 34 }],
  ])('is %s', async (_what, conf, expected) => {
    await write(conf);
    expect(await read()).toEqual(expected);
  });

  it('is root where there is no tss, or nothing at all', async () => {
    expect(await read()).toEqual({ uid: 0, gid: 0 });
    await write('', 'root:x:0:0::\n');
    expect(await read()).toEqual({ uid: 0, gid: 0 });
  });

  it('that nobody knows stops the move with a remedy', async () => {
    await write('swtpm_user = "gone"\n');
    await expect(read()).rejects.toEqual(
      expect.objectContaining({ code: 'swtpm-user-unknown', host: 'alpha' }),
    );
  });
});
