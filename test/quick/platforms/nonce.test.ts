import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  noncePrefix,
  removeFileNonces,
  seesFileNonce,
  writeFileNonce,
} from '../../../platforms/libvirt/nonce.ts';

let dir: string;
let image: string;
const at = (name: string): string => join(dir, name);
const names = (folder = dir): string[] =>
  readdirSync(folder).filter((name) => name.startsWith('.'));

beforeEach(() => {
  // A file system with direct reads, unlike many a /tmp.
  dir = mkdtempSync('/var/tmp/vmferry-nonce-');
  image = at('vda.raw');
  writeFileSync(image, '');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

it('leaves a word that only its folder shows, and finds its own again', async () => {
  const nonce = (await writeFileNonce('move-1', image))!;
  expect(nonce.path).toMatch(new RegExp(`^${dir}/\\.vmferry-move-1-[0-9a-f]{32}$`));
  expect(nonce.value).toMatch(/^[0-9a-f]{64}$/);
  expect(statSync(nonce.path).mode & 0o777).toBe(0o400);
  expect(await writeFileNonce('move-1', image)).toEqual(nonce);
  expect(await seesFileNonce(nonce, image)).toBe(true);
  mkdirSync(at('other'));
  writeFileSync(at('other/vda.raw'), '');
  expect(await seesFileNonce(nonce, at('other/vda.raw'))).toBe(false);
});

it('lies beside the image itself, not beside a link to it', async () => {
  mkdirSync(at('links'));
  symlinkSync(image, at('links/vda.raw'));
  const nonce = (await writeFileNonce('move-1', at('links/vda.raw')))!;
  expect(names(at('links'))).toEqual([]);
  expect(await seesFileNonce(nonce, at('links/vda.raw'))).toBe(true);
  expect(await seesFileNonce(nonce, image)).toBe(true);
});

it('is not seen where the image is not there', async () => {
  const nonce = (await writeFileNonce('move-1', image))!;
  rmSync(image);
  expect(await seesFileNonce(nonce, image)).toBe(false);
});

it('is removed with its move, and with no other', async () => {
  await writeFileNonce('move-1', image);
  const longer = (await writeFileNonce('move-1-2', image))!;
  writeFileSync(at('.vmferry-move-1-notes'), 'a person wrote this');
  await removeFileNonces('move-1', image);
  await removeFileNonces('move-1', image);
  expect(names()).toEqual(['.vmferry-move-1-notes', longer.path.slice(dir.length + 1)].sort());
});

it('removes what a killed attempt left unfinished, and does not take it for a word', async () => {
  const torn = `.vmferry-move-1-${'a'.repeat(32)}`;
  writeFileSync(at(torn), 'cut o');
  const nonce = (await writeFileNonce('move-1', image))!;
  expect(nonce.path).not.toBe(at(torn));
  await removeFileNonces('move-1', image);
  expect(names()).toEqual([]);
});

it.each([
  [
    'a link to a word elsewhere',
    (path: string, word: string) => {
      writeFileSync(`${path}.word`, `${word}\n`);
      symlinkSync(`${path}.word`, path);
    },
  ],
  [
    'a pipe',
    (path: string) => {
      execFileSync('mkfifo', [path]);
    },
  ],
  [
    'a folder',
    (path: string) => {
      mkdirSync(path);
    },
  ],
  [
    'a long file',
    (path: string, word: string) => {
      writeFileSync(path, `${word}\n`.repeat(1000));
    },
  ],
  [
    'other words',
    (path: string) => {
      writeFileSync(path, `${'0'.repeat(64)}\n`);
    },
  ],
] as const)('takes %s for no word', async (_what, plant) => {
  const name = `.vmferry-move-1-${'b'.repeat(32)}`;
  const value = 'c'.repeat(64);
  plant(at(name), value);
  expect(await seesFileNonce({ path: at(name), value }, image)).toBe(false);
});

it('takes no word from outside the folder, whatever the other host says its path is', async () => {
  mkdirSync(at('pool'));
  writeFileSync(at('pool/vda.raw'), '');
  const nonce = (await writeFileNonce('move-1', image))!;
  const name = nonce.path.slice(dir.length + 1);
  for (const path of [`../${name}`, nonce.path, '..', '/', '']) {
    expect(await seesFileNonce({ ...nonce, path }, at('pool/vda.raw')), path).toBe(false);
  }
});

it('writes through no link that somebody put there', async () => {
  const victim = at('victim');
  writeFileSync(victim, 'precious');
  symlinkSync(victim, at(`.vmferry-move-1-${'d'.repeat(32)}`));
  const nonce = (await writeFileNonce('move-1', image))!;
  expect(readFileSync(victim, 'utf8')).toBe('precious');
  expect(statSync(nonce.path).isFile()).toBe(true);
  await removeFileNonces('move-1', image);
  expect(readFileSync(victim, 'utf8')).toBe('precious');
});

it('leaves none where the image or its folder is missing', async () => {
  expect(await writeFileNonce('move-1', at('none/vda.raw'))).toBeUndefined();
  await removeFileNonces('move-1', at('none/vda.raw'));
});

it.skipIf(process.getuid?.() === 0)('leaves none in a folder that it may not write', async () => {
  chmodSync(dir, 0o500);
  expect(await writeFileNonce('move-1', image)).toBeUndefined();
  chmodSync(dir, 0o700);
});

it.each(['../x', '', 'a/b', 'x'.repeat(65)])('refuses the migration ID %j', (id) => {
  expect(() => noncePrefix(id)).toThrow('not a migration ID');
});
