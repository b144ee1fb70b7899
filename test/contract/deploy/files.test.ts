/** The files that a host is set up with, by the programs that read them there. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../config/load.ts';

const run = promisify(execFile);
const limit = { timeout: 30_000 };
const deploy = join(import.meta.dirname, '../../../deploy');
const systemd = join(deploy, 'systemd');

/** Skips loudly where a program is missing: these are no part of what the set-up installs. */
function have(program: string, from: string): boolean {
  const found = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'].some((dir) =>
    existsSync(join(dir, program)),
  );
  if (!found) console.warn(`SKIPPED: no ${program}; Debian's package ${from} has it.`);
  return found;
}

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmferry-units-'));
  // The unit names a program of an installed vmferry; verify wants to see one.
  const bin = join(root, 'opt/vmferry/bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'vmferry'), '#!/bin/sh\n');
  await chmod(join(bin, 'vmferry'), 0o755);
  await cp(systemd, join(root, 'units'), { recursive: true });
  for (const name of ['vmferry-host.service', 'vmferry-control.service']) {
    const path = join(root, 'units', name);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replaceAll('/opt/vmferry', join(root, 'opt/vmferry')));
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe.skipIf(!have('systemd-analyze', 'systemd'))("systemd's units", () => {
  it.each([
    { unit: 'vmferry-host.service', worst: 3.3 },
    { unit: 'vmferry-control.service', worst: 1.3 },
  ])('$unit is understood whole, and exposed by $worst at most', async ({ unit, worst }) => {
    const path = join(root, 'units', unit);
    const verify = await run('systemd-analyze', ['verify', '--man=no', path], limit);
    expect(`${verify.stdout}${verify.stderr}`.trim()).toBe('');
    const { stdout } = await run(
      'systemd-analyze',
      ['security', '--offline=true', '--no-pager', path],
      limit,
    );
    const level = /exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1];
    expect(Number(level)).toBeLessThanOrEqual(worst);
  });

  it('the drop-in for a worker without root is understood, too', async () => {
    const folder = join(root, 'units/vmferry-host.service.d');
    const example = await readFile(join(folder, 'non-root.conf.example'), 'utf8');
    await writeFile(join(folder, 'non-root.conf'), example);
    try {
      const path = join(root, 'units/vmferry-host.service');
      const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', path], limit);
      expect(`${stdout}${stderr}`.trim()).toBe('');
    } finally {
      await rm(join(folder, 'non-root.conf'));
    }
  });

  it('exports outlive the worker, and both workers always come back', async () => {
    const host = await readFile(join(systemd, 'vmferry-host.service'), 'utf8');
    expect(host).toContain('\nKillMode=process\n');
    const control = await readFile(join(systemd, 'vmferry-control.service'), 'utf8');
    for (const text of [host, control]) {
      expect(text).toContain('\nRestart=always\n');
      expect(text).toContain('\nStartLimitIntervalSec=0\n');
    }
  });
});

describe.skipIf(!have('systemd-tmpfiles', 'systemd'))('tmpfiles and sysusers', () => {
  it('make the folders, and shut a key that lay open', async () => {
    const tree = join(root, 'tree');
    await mkdir(join(tree, 'etc/vmferry'), { recursive: true });
    await writeFile(join(tree, 'etc/vmferry/payload.key'), 'k', { mode: 0o644 });
    await run(
      'systemd-tmpfiles',
      [`--root=${tree}`, '--create', join(systemd, 'vmferry.tmpfiles.conf')],
      limit,
    );
    expect((await stat(join(tree, 'etc/vmferry/payload.key'))).mode & 0o777).toBe(0o600);
    expect(await readdir(join(tree, 'etc/vmferry'))).toContain('tls');
  });

  it('name one user', async () => {
    const { stdout, stderr } = await run(
      'systemd-sysusers',
      ['--dry-run', join(systemd, 'vmferry.sysusers.conf')],
      limit,
    );
    expect(`${stdout}${stderr}`).toMatch(/vmferry/);
  });
});

describe.skipIf(!have('nft', 'nftables'))('the rules for nftables', () => {
  it('are valid, and can be loaded over themselves', async () => {
    const file = join(deploy, 'nftables.conf');
    const { stdout } = await run(
      'unshare',
      [
        '--net',
        'sh',
        '-c',
        'nft -c -f "$1" && nft -f "$1" && nft -f "$1" && nft list ruleset',
        'sh',
        file,
      ],
      limit,
    );
    expect(stdout.match(/table inet vmferry/g)).toHaveLength(1);
  });

  it('open the ports that a host uses by default', async () => {
    const rules = await readFile(join(deploy, 'nftables.conf'), 'utf8');
    const { host } = parseConfig(await readFile(join(systemd, 'vmferry.yaml'), 'utf8'));
    expect(rules).toContain(`${host?.exportPorts.first}-${host?.exportPorts.last}`);
  });
});

it.each(['vmferry.yaml', 'control.yaml'])('%s is a valid configuration', async (name) => {
  const config = parseConfig(await readFile(join(systemd, name), 'utf8'), name);
  expect(config.encryption?.active).toBe('k1');
});
