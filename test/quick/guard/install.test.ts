import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hookStatus, installHook, reloadLibvirtd } from '../../../guard/install.ts';
import { domainXml, runHook } from './hook-run.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const place = () => {
  const root = stateFolder();
  const hooksDir = join(root, 'hooks');
  return { hooksDir, stateDir: join(root, 'state'), file: join(hooksDir, 'qemu.d', '50-vmferry') };
};

describe('installHook', () => {
  it('puts an executable script into place and then has nothing more to do', async () => {
    const { file, ...where } = place();
    expect((await hookStatus(where)).state).toBe('absent');
    expect(await installHook(where)).toBe('installed');
    expect(await installHook(where)).toBe('unchanged');
    expect((await hookStatus(where)).state).toBe('current');
    expect(lstatSync(file).mode & 0o777).toBe(0o755);
    expect(readFileSync(file, 'utf8')).toMatch(/^#!\/bin\/sh\n# vmferry-hook [0-9a-f]{16} /);
    expect(readdirSync(where.hooksDir)).toEqual(['qemu.d']);
  });

  it('installs a script that guards the state folder it was given, whatever its name', async () => {
    const { hooksDir, stateDir, file } = place();
    const odd = `${stateDir} it's $(here) "x"`;
    await installHook({ hooksDir, stateDir: odd });
    const uuid = '0b0f6f0e-5d5f-4a41-9a3b-6f3a2f6a9c11';
    expect(runHook(file, domainXml(uuid))).toMatchObject({ status: 0, stderr: '' });
    await ledgerIn(odd).transition(uuid, to('released'));
    expect(runHook(file, domainXml(uuid)).status).toBe(1);
  });

  it('updates a version, a mode or a state folder that is not the one wanted', async () => {
    const { file, ...where } = place();
    await installHook(where);
    chmodSync(file, 0o644);
    expect(await hookStatus(where)).toMatchObject({ state: 'outdated' });
    expect(await installHook(where)).toBe('updated');
    writeFileSync(file, readFileSync(file, 'utf8').replace('limit_s=3', 'limit_s=30'));
    expect(await installHook(where)).toBe('updated');
    expect(readFileSync(file, 'utf8')).toContain('limit_s=3\n');
    expect(await installHook({ ...where, stateDir: `${where.stateDir}2` })).toBe('updated');
  });

  it.each([
    ['a script of somebody else', (file: string) => writeFileSync(file, '#!/bin/sh\nexit 0\n')],
    ['an empty file', (file: string) => writeFileSync(file, '')],
    ['a symbolic link', (file: string) => symlinkSync('/nowhere', file)],
    ['a folder', (file: string) => mkdirSync(file)],
  ])('leaves %s alone', async (_, make) => {
    const { file, ...where } = place();
    mkdirSync(join(where.hooksDir, 'qemu.d'), { recursive: true });
    make(file);
    const before = lstatSync(file);
    await expect(installHook(where)).rejects.toMatchObject({
      code: 'hook-foreign',
      handling: 'needs-operator',
    });
    const { ino, mode, mtimeMs } = before;
    expect(lstatSync(file)).toMatchObject({ ino, mode, mtimeMs });
    expect((await hookStatus(where)).state).toBe('foreign');
  });

  it('refuses a state folder that a script could not name', async () => {
    const { hooksDir } = place();
    for (const stateDir of ['relative', '/a\nb']) {
      await expect(installHook({ hooksDir, stateDir })).rejects.toMatchObject({
        code: 'state-dir-invalid',
      });
    }
  });

  it('needs nothing but a shell that follows POSIX', async () => {
    const { file, ...where } = place();
    await installHook(where);
    for (const shell of ['dash', 'bash']) {
      expect(spawnSync(shell, ['-n', file], { encoding: 'utf8' })).toMatchObject({
        status: 0,
        stderr: '',
      });
    }
  });
});

describe('reloadLibvirtd', () => {
  it('signals a process that is libvirtd', async () => {
    const root = stateFolder();
    const program = join(root, 'libvirtd');
    copyFileSync('/usr/bin/sleep', program);
    const daemon = spawn(program, ['30']);
    await once(daemon, 'spawn');
    const pidFile = join(root, 'libvirtd.pid');
    writeFileSync(pidFile, `${daemon.pid}\n`);
    const ended = once(daemon, 'exit');
    expect(await reloadLibvirtd({ pidFile })).toBe(daemon.pid);
    expect(await ended).toEqual([null, 'SIGHUP']);
  });

  it('never signals another process, as a stale file may name one', async () => {
    const root = stateFolder();
    const pidFile = join(root, 'libvirtd.pid');
    const stranger = spawn('sleep', ['30']);
    try {
      await once(stranger, 'spawn');
      for (const content of [String(stranger.pid), '0', '-1', '1', '', 'x', '999999999']) {
        writeFileSync(pidFile, content);
        await expect(reloadLibvirtd({ pidFile }), content).rejects.toMatchObject({
          code: 'libvirtd-not-found',
        });
      }
      await expect(reloadLibvirtd({ pidFile: join(root, 'none') })).rejects.toMatchObject({
        code: 'libvirtd-not-found',
      });
      expect(stranger.signalCode).toBeNull();
    } finally {
      stranger.kill('SIGKILL');
    }
  });
});
