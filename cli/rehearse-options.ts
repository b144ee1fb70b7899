/** Options of a rehearsal: what proves that the guest came up, and how long that may take. */
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { maxPatternLength } from '../domain/import/rehearsal.ts';
import type { RehearsalCheck, RehearsalWish } from '../domain/import/rehearsal.ts';
import { readDuration } from './options.ts';

export interface CheckOptions {
  check?: RehearsalCheck;
  checkTimeout?: number;
}

const expected = 'Expected agent, console:REGEX, port:ADDRESS:PORT or command:NAME.';

function readCheck(text: string): RehearsalCheck {
  if (text === 'auto' || text === 'agent') return { kind: text };
  const [, kind, rest = ''] = /^(console|port|command):([^]+)$/.exec(text) ?? [];
  if (kind === 'console') return { kind, pattern: readPattern(rest) };
  if (kind === 'command') return { kind, name: rest };
  const [, address, port] = /^(.+):(\d{1,5})$/.exec(rest) ?? [];
  const number = Number(port);
  if (kind !== 'port' || address === undefined || number < 1 || number > 65_535)
    throw new InvalidArgumentError(expected);
  return { kind, address, port: number };
}

function readPattern(text: string): string {
  try {
    new RegExp(text, 'm');
  } catch {
    throw new InvalidArgumentError(`${text} is no regular expression.`);
  }
  if (text.length <= maxPatternLength) return text;
  throw new InvalidArgumentError(`A pattern has ${maxPatternLength} characters at most.`);
}

export const withCheck = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--check <check>',
        'what proves that the rehearsed guest came up: agent, console:REGEX, port:ADDRESS:PORT, or command:NAME of the configuration of the conversion host (default: the agent if it answers)',
      ).argParser(readCheck),
    )
    .addOption(
      new Option(
        '--check-timeout <time>',
        'how long that may take (default: 3m, by emulation 15m)',
      ).argParser(readDuration),
    );

export const wishOf = (
  { check = { kind: 'auto' }, checkTimeout }: CheckOptions,
  only: boolean,
): RehearsalWish => ({
  check,
  ...(checkTimeout === undefined ? {} : { limitMs: checkTimeout }),
  only,
});
