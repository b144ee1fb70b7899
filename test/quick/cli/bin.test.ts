import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodeHelp } from '../../../cli/exit-code.ts';

const bin = fileURLToPath(new URL('../../../bin/vmferry', import.meta.url));
const play = fileURLToPath(new URL('play.ts', import.meta.url));
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmferry-bin-'));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (program: string, args: string[], env: Record<string, string> = {}) =>
  new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const options = { cwd: folder, env: { PATH: process.env['PATH'], ...env }, timeout: 15_000 };
    const child = execFile(program, args, options, (_, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err });
    });
  });

describe('a process that follows a move', () => {
  it('detaches on a real SIGINT and ends by itself', async () => {
    const child = spawn(process.execPath, [
      play,
      'migrate',
      'web-1',
      '--from',
      'alpha',
      '--to',
      'beta',
    ]);
    const output = { out: '', err: '' };
    child.stderr.on('data', (data: Buffer) => (output.err += data.toString()));
    child.stdout.on('data', (data: Buffer) => {
      output.out += data.toString();
      if (output.out.includes('step check running')) child.kill('SIGINT');
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(130);
    expect(output.err).toContain('Detached. The move of web-1 goes on without this window.');
    expect(output.out).not.toContain('awaiting-commit');
  }, 15_000);
});

describe('bin/vmferry', () => {
  it('explains itself through a link from elsewhere, exit codes included', async () => {
    const link = join(folder, 'vmferry');
    await symlink(bin, link);
    const { code, out, err } = await run(link, ['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const [exit, meaning] of exitCodeHelp) {
      expect(out).toMatch(new RegExp(`^ {2}${exit} +${meaning}$`, 'mu'));
    }
  });

  it('says on stderr what it lacks, with the exit code of a configuration', async () => {
    const { code, out, err } = await run(bin, ['--config', 'nowhere.yaml', 'hosts']);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^error: {2}.*nowhere\.yaml.*\nremedy: /u);
  });

  it('passes over a Node that is too old', async () => {
    const old = join(folder, 'old');
    const shell = await run('/bin/sh', [
      '-c',
      `mkdir ${old} && printf '#!/bin/sh\\necho v20.1.0\\n' > ${old}/node && chmod +x ${old}/node`,
    ]);
    expect(shell.code).toBe(0);
    const { code, out, err } = await run(bin, ['--version'], { PATH: `${old}:/usr/bin:/bin` });
    // With the project's own Node it runs, without it says what to do.
    if (code === 0) expect(out).toMatch(/^\d+\.\d+\.\d+\n$/u);
    else expect(err).toContain('vmferry needs Node 24 or later');
  });
});
