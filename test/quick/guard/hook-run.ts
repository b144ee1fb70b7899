import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderHook } from '../../../guard/install.ts';

/** Which shell and awk the hook is to run with; hosts differ in both. */
export interface Interpreters {
  shell: string;
  awk: string;
}

export const interpreters: [string, Interpreters][] = [
  ['dash and mawk', { shell: '/usr/bin/dash', awk: '/usr/bin/mawk' }],
  ['bash and gawk', { shell: '/usr/bin/bash --posix', awk: '/usr/bin/gawk' }],
  ['dash and busybox awk', { shell: '/usr/bin/dash', awk: '/usr/bin/busybox' }],
];

export const isHere = ({ shell, awk }: Interpreters): boolean =>
  existsSync(shell.split(' ')[0]!) && existsSync(awk);

/**
 * Writes the hook as it would be installed, but with these interpreters, and with stand-ins (name and script text)
 * before the machine's programs. Gives its path.
 */
export async function writeHook(
  stateDir: string,
  options: { use?: Interpreters; standIns?: Record<string, string>; limitS?: number } = {},
): Promise<string> {
  const { use, standIns = {} } = options;
  const bin = join(stateDir, 'bin');
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(stateDir, 'ledger'), { recursive: true });
  if (use !== undefined) symlinkSync(use.awk, join(bin, 'awk'));
  for (const [name, text] of Object.entries(standIns)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const text = (await renderHook(stateDir))
    .replace(/^#!.*/, `#!${use?.shell ?? '/bin/sh'}`)
    .replace(/^PATH=/m, `PATH=${bin}:`)
    .replace('limit_s=3', `limit_s=${options.limitS ?? 3}`);
  const path = join(stateDir, '50-vmferry');
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

export interface Verdict {
  status: number | null;
  stderr: string;
  stdout: string;
  ms: number;
}

/** Runs the hook as libvirt does. */
export function runHook(path: string, xml: string, operation = 'prepare'): Verdict {
  const began = performance.now();
  const { status, stderr, stdout, error } = spawnSync(path, ['guest', operation, 'begin', '-'], {
    input: xml,
    encoding: 'utf8',
    timeout: 15_000,
  });
  // A hook may end before it has read everything: libvirt does not mind either.
  if (error !== undefined && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  return { status, stderr, stdout, ms: performance.now() - began };
}

export const escapeXml = (value: string): string =>
  value.replace(/[&<>"'\n]/g, (character) => `&#${character.charCodeAt(0)};`);

/** A definition as libvirt hands it over, with file disks at these paths. */
export const domainXml = (uuid: string, ...disks: string[]): string =>
  `<domain type='qemu' id='1'>
  <name>guest</name>
  <uuid>${uuid}</uuid>
  <memory unit='KiB'>65536</memory>
  <devices>
${disks
  .map(
    (path) =>
      `    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='${escapeXml(path)}' index='1'/>
      <target dev='vda' bus='virtio'/>
    </disk>`,
  )
  .join('\n')}
  </devices>
</domain>
`;
