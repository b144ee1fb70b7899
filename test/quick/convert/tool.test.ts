import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newestKernel, probeAcceleration, provesKernel } from '../../../convert/acceleration.ts';
import {
  applianceShortcomings,
  detectTool,
  parseHelp,
  parseVersion,
} from '../../../convert/tool.ts';
import { helpOf220 } from './fixtures.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'convert-tool-'));
});
afterEach(() => rm(folder, { recursive: true }));

const program = async (script: string): Promise<string> => {
  const path = join(folder, 'virt-v2v-in-place');
  await writeFile(path, `#!/bin/sh\n${script}`, { mode: 0o755 });
  return path;
};
const detect = (path: string) => detectTool({ id: 'detect', acceleration: 'tcg', program: path });

describe('the conversion tool', () => {
  it('is known by what its help offers', async () => {
    await writeFile(join(folder, 'help'), helpOf220);
    const path = await program(
      `case $1 in --version) echo virt-v2v-in-place 2.2.0;; --help) cat '${folder}/help';; esac`,
    );
    const tool = await detect(path);
    expect(tool).toMatchObject({ version: '2.2.0', anyDeviceKey: false, acceleration: 'tcg' });
    expect(tool.options).toContain('key');
    expect(tool.options).toContain('machine-readable');
    expect(tool.options).not.toContain('parallel');
    expect([...tool.inputs]).toEqual(['disk', 'libvirt', 'libvirtxml', 'ova', 'vmx']);
  });

  it('is missing if it is not there or does not run', async () => {
    await expect(detect(join(folder, 'nothing'))).rejects.toMatchObject({
      code: 'conversion-tool-missing',
      handling: 'needs-operator',
    });
    await expect(detect(await program('exit 1'))).rejects.toMatchObject({
      code: 'conversion-tool-missing',
    });
  });

  it('is too old if it takes no XML', async () => {
    const path = await program('echo virt-v2v-in-place 1.40.2');
    await expect(detect(path)).rejects.toMatchObject({ code: 'conversion-tool-too-old' });
  });

  it('is read in the words of distributions', () => {
    expect(parseVersion('virt-v2v-in-place 2.5.6rhel=9,release=4.el9\n')).toBe('2.5.6');
    expect(parseVersion('virt-v2v 2.7.1')).toBe('2.7.1');
    expect(parseVersion('command not found')).toBe('');
    expect(
      parseHelp('  --key <SELECTOR>   Specify a LUKS key\n     (all:key:STRING)').anyDeviceKey,
    ).toBe(true);
  });
});

describe('acceleration', () => {
  it('is proved by a kernel that ran to its end, and by nothing less', () => {
    const booted =
      'Linux version 6.1\n[ 1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on';
    expect(provesKernel(booted)).toBe(true);
    expect(provesKernel('SeaBIOS\nBooting from ROM..\nKVM internal error. Suberror: 1')).toBe(
      false,
    );
  });

  it('is emulation where there is no kernel to try', async () => {
    expect(await newestKernel(join(folder, 'boot'))).toBeUndefined();
    expect(await probeAcceleration({ id: 'probe', kernel: join(folder, 'no-kernel') })).toBe('tcg');
    expect((await applianceShortcomings(folder))[0]?.what).toContain('/boot');
  });

  it('takes the newest kernel by number', async () => {
    for (const name of ['vmlinuz-6.1.0-9-amd64', 'vmlinuz-6.1.0-56-amd64', 'initrd.img-6.1.0-99'])
      await writeFile(join(folder, name), '');
    expect(await newestKernel(folder)).toBe(join(folder, 'vmlinuz-6.1.0-56-amd64'));
    expect(await applianceShortcomings(folder)).toEqual([]);
  });
});
