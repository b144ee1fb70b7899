/** What `--help` and the manual page say of a command beyond its options; one text for both. */
import { ExitCode, exitCodeHelp } from '../exit-code.ts';
import type { OutputName } from '../output/names.ts';

/** What `-o json` prints, and of which schema. */
export type JsonOutput = readonly [when: string, schema: OutputName];

export interface Manual {
  /** When a person wants it, in a sentence or a few. */
  when: string;
  /** A command line as it is typed, and what it does. */
  examples: readonly (readonly [command: string, effect: string])[];
  /** The codes that it can end with, besides `usage`, which all have. */
  codes: readonly ExitCode[];
  json: readonly JsonOutput[];
  /** Beside the configuration. */
  files?: readonly (readonly [path: string, what: string])[];
  /** Whether it reads the configuration; so nearly all. */
  configured: boolean;
}

const { done, failed, usage, refused, parked, cancelled, unreachable, detached } = ExitCode;

/** Codes of what only asks the server. */
export const asking = [done, failed, refused, unreachable] as const;
/** Codes of what follows a move. */
export const following = [done, failed, refused, parked, cancelled, unreachable, detached] as const;
/** Codes of what stays on this machine. */
export const local = [done, failed, refused] as const;

/** Environment that every command heeds, and the files that most read. */
export const environment: readonly (readonly [name: string, what: string])[] = [
  ['VMFERRY_CONFIG', 'the configuration, where --config is not given'],
  ['VMFERRY_OPERATOR', 'who gives the order, where --operator is not given'],
  ['SUDO_USER', 'stands for the login in reports, where sudo sets it'],
  ['NO_COLOR, FORCE_COLOR', 'colours off, colours on'],
  ['LC_ALL, LC_CTYPE, LANG, TERM', 'C, POSIX or linux: only ASCII signs; dumb: no moving picture'],
  ['CI', 'set: no moving picture'],
];

/** Where the configuration is looked for, in this order. */
export const configFiles: readonly (readonly [path: string, what: string])[] = [
  ['./vmferry.yaml', 'the configuration, after --config and $VMFERRY_CONFIG'],
  ['/etc/vmferry/vmferry.yaml', 'the configuration, looked for last'],
];

/** The codes of a manual with their meanings, lowest first. */
export const codesOf = (manual: Manual): (readonly [ExitCode, string])[] =>
  exitCodeHelp.filter(([code]) => code === usage || manual.codes.includes(code));
