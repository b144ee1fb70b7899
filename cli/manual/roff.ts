/** The manual page, in the man(7) macros that groff and mandoc know, from the commands themselves and their manuals. */
import type { Command, Option } from 'commander';
import { exitCodeHelp } from '../exit-code.ts';
import { wrap } from '../render/text.ts';
import type { Manual } from './manual.ts';
import { configFiles, environment } from './manual.ts';
import { manuals } from './pages.ts';

/** Text that roff takes as text: no macro at the start of a line, no escape, hyphens that can be copied. */
const safe = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', "'")
    .replaceAll('…', '...')
    .replace(/^([.'])/u, '\\&$1');

/** Longer lines of input are no error, but bad style to mandoc. */
const inputCells = 72;

/** Running text, in lines that an editor likes. */
const prose = (text: string): string =>
  wrap(text.replaceAll('’', "'"), inputCells).map(safe).join('\n');

const bold = (text: string): string => `\\fB${safe(text)}\\fR`;

const tagged = (rows: readonly (readonly [string, string])[]): string[] =>
  rows.flatMap(([name, what]) => ['.TP', bold(name), prose(what)]);

/** `--from <host>` and what it means, with choices and default. */
function optionRow(option: Option): [string, string] {
  const choices = option.argChoices === undefined ? '' : ` (${option.argChoices.join(', ')})`;
  const value: unknown = option.defaultValueDescription ?? option.defaultValue;
  const plain = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  const fallback = plain === '' ? '' : ` Default: ${plain}.`;
  return [option.flags, `${option.description}${choices}.${fallback}`];
}

const usageOf = (command: Command, path: string): string => `vmferry ${path} ${command.usage()}`;

function manualLines(manual: Manual): string[] {
  return [
    '.PP',
    prose(manual.when),
    ...manual.examples.flatMap(([command, effect]) => [
      '.PP',
      prose(`${effect.charAt(0).toUpperCase()}${effect.slice(1)}:`),
      '.PP',
      '.RS 4',
      '.nf',
      bold(command),
      '.fi',
      '.RE',
    ]),
    ...(manual.json.length === 0
      ? []
      : [
          '.PP',
          prose(
            `With -o json: ${manual.json.map(([when, name]) => `${name}.json (${when})`).join(', ')}.`,
          ),
        ]),
    '.PP',
    safe(`Exit codes: 2, ${manual.codes.join(', ')}.`),
    ...(manual.files === undefined ? [] : tagged(manual.files)),
  ];
}

/** The section of one command that does something, and of those below it. */
function commandLines(command: Command, path: string): string[] {
  if (command.commands.length > 0 && manuals[path] === undefined)
    return command.commands.flatMap((inner) => commandLines(inner, `${path} ${inner.name()}`));
  const manual = manuals[path];
  const description = command.description() === '' ? command.summary() : command.description();
  return [
    `.SS "vmferry ${safe(path)}"`,
    bold(usageOf(command, path)),
    '.PP',
    prose(description),
    ...tagged(command.options.filter(({ hidden }) => !hidden).map(optionRow)),
    ...(manual === undefined ? [] : manualLines(manual)),
    ...command.commands.flatMap((inner) => commandLines(inner, `${path} ${inner.name()}`)),
  ];
}

/** The whole page. `date` as `2026-03-04`. */
export function manualPage(program: Command, { version, date }: { version: string; date: string }) {
  const commands = program.commands.filter((command) => !hiddenCommands.includes(command.name()));
  const lines = [
    `.TH VMFERRY 1 "${date}" "vmferry ${version}" "User Commands"`,
    '.SH NAME',
    `vmferry \\- ${safe(
      program
        .description()
        .replace(/\.$/u, '')
        .replace(/^Moves/u, 'move'),
    )}`,
    '.SH SYNOPSIS',
    `${bold('vmferry')} [options] command [arguments]`,
    '.SH DESCRIPTION',
    prose(program.description()),
    prose(
      'Everything durable happens in Temporal: a closed window, a lost connection or Ctrl-C never stops a move.',
    ),
    '.SH OPTIONS',
    ...tagged(program.options.filter(({ hidden }) => !hidden).map(optionRow)),
    '.SH COMMANDS',
    ...commands.flatMap((command) => commandLines(command, command.name())),
    '.SH "EXIT STATUS"',
    ...tagged(exitCodeHelp.map(([code, meaning]): [string, string] => [String(code), meaning])),
    '.SH FILES',
    ...tagged(configFiles),
    '.SH ENVIRONMENT',
    ...tagged(environment),
  ];
  return `${lines.join('\n')}\n`;
}

/** `help` explains itself. */
const hiddenCommands = ['help', '__complete'];
