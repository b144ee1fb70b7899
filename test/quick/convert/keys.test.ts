import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyArguments } from '../../../convert/keys.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'convert-keys-'));
});
afterEach(() => rm(folder, { recursive: true }));

const passphrase = () => Promise.resolve(Buffer.from('open sesame'));
const uuid = '7cd2ab0b-9c1e-4d6f-8f3a-9a6d3b1c2e4f';

describe('keys of encrypted guests', () => {
  it('are named by files that only their owner reads', async () => {
    const keys = [
      { device: '/dev/sda2', passphrase },
      { device: uuid, passphrase },
    ];
    const args = await keyArguments(keys, { folder, anyDevice: false });
    expect(args).toEqual([
      ...['--key', `/dev/sda2:file:${folder}/key-0`],
      ...['--key', `${uuid}:file:${folder}/key-1`],
    ]);
    expect(args.join()).not.toContain('sesame');
    expect(await readFile(join(folder, 'key-1'), 'utf8')).toBe('open sesame');
    expect((await stat(join(folder, 'key-0'))).mode & 0o777).toBe(0o600);
  });

  it.each(['/dev/sda2:key:x', '../x', '', 'all:clevis', '/dev/sd a'])(
    'are refused for the device %j',
    async (device) => {
      const given = keyArguments([{ device, passphrase }], { folder, anyDevice: true });
      await expect(given).rejects.toMatchObject({ code: 'guest-key-invalid' });
      expect(await readdir(folder)).toEqual([]);
    },
  );

  it('open any device only where the tool can try', async () => {
    const keys = [{ device: 'all', passphrase }];
    await expect(keyArguments(keys, { folder, anyDevice: false })).rejects.toMatchObject({
      code: 'guest-key-selector-unsupported',
    });
    expect(await keyArguments(keys, { folder, anyDevice: true })).toHaveLength(2);
  });

  it('are refused when empty', async () => {
    const keys = [{ device: uuid, passphrase: () => Promise.resolve(new Uint8Array()) }];
    await expect(keyArguments(keys, { folder, anyDevice: false })).rejects.toMatchObject({
      code: 'guest-key-invalid',
    });
  });
});
