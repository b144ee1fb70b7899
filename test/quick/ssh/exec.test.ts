/** Arguments as a shell reads them; a real shell is the judge. */
import { execFile } from 'node:child_process';
import { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commandLine, quoteArgument, runCommand, SshError } from '../../../protocols/ssh/index.ts';

const run = promisify(execFile);

describe('a command line', () => {
  it('gives a shell back the very arguments that it was made of', async () => {
    const marks = Array.from(`ab '"\\$\`!#&;|<>()*?[]{}~=\n\t\u00e9\u4e2d\u{1f600}\u0001`);
    const unit = fc.constantFrom(...marks);
    const argument = fc.string({ unit, maxLength: 30 });
    // One shell for all of them: what it prints shows where one argument ends and the next begins.
    const args = fc.sample(argument, 400);
    const { stdout } = await run('/bin/sh', ['-c', commandLine(['printf', '%s\\0', ...args])]);
    expect(stdout.split('\0').slice(0, -1)).toEqual(args);
  });

  it('runs nothing that an argument smuggles in', async () => {
    const nasty = ["';id;'", '$(id)', '`id`', '-n; id', '\\', "'\\''", 'a\nid', '*', '~', '!x'];
    const { stdout } = await run('/bin/sh', ['-c', commandLine(['printf', '[%s]', ...nasty])]);
    expect(stdout).toBe(nasty.map((each) => `[${each}]`).join(''));
  });

  it('refuses what no argument can be', () => {
    expect(() => quoteArgument('a\0b')).toThrow(SshError);
    expect(() => commandLine([])).toThrow(SshError);
    expect(() => commandLine(['echo', 'x'.repeat(70_000)])).toThrow(SshError);
  });

  it('leaves plain words readable', () => {
    expect(commandLine(['qemu-nbd', '-k', '/tmp/a.b_c-1/nbd', 'two words'])).toBe(
      "qemu-nbd -k /tmp/a.b_c-1/nbd 'two words'",
    );
    expect(quoteArgument('')).toBe("''");
  });
});

describe('a command without input', () => {
  it('ends well though the program has ended before it could read any', async () => {
    const command = new Duplex({
      read: () => command.push(null),
      write: (_chunk, _encoding, done) => done(new Error('write after end')),
    });
    const end = { exitCode: 0, signal: undefined, stderr: '' };
    const ended = Object.assign(command, { ended: Promise.resolve(end) });
    // Of the command no more is used than this.
    const openCommand = () => Promise.resolve(ended as never);
    expect(await runCommand({ openCommand }, ['true'])).toEqual({ ...end, stdout: '' });
  });
});
