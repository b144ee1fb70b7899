/** A rehearsal: the converted VM is started on the conversion host, apart from everything, looked at, and thrown away. */

/**
 * What proves that the guest came up. `auto`: its agent answers; a guest without one stays `unproved`, however long it
 * runs. `console`: a regular expression that the text of its serial console matches. `port`: a TCP port of the guest
 * that can be connected to. `command`: a program that the configuration of the conversion host names, ending with 0.
 */
export type RehearsalCheck =
  | { kind: 'auto' }
  | { kind: 'agent' }
  | { kind: 'console'; pattern: string }
  | { kind: 'port'; address: string; port: number }
  | { kind: 'command'; name: string };

export interface RehearsalWish {
  check: RehearsalCheck;
  /** How long the check may take, ms; `rehearsalLimitMs` if absent. */
  limitMs?: number;
  /** Nothing comes after it: what was copied stays in the cache for the import itself. */
  only: boolean;
}

/** What a rehearsal saw. One whose check fails has none: its fault tells. */
export interface RehearsalReport {
  /** `unproved`: the guest ran all the time, and nothing proves that it came up. */
  outcome: 'proved' | 'unproved';
  check: RehearsalCheck['kind'];
  /** A sentence. */
  saw: string;
  /** From the start of its CPUs to the check's answer. */
  elapsedMs: number;
  /** Started by emulation, which is several times as slow. */
  emulated: boolean;
  /** Last lines of its serial console, without control characters. */
  console: string[];
}

export const maxPatternLength = 500;
/** Lines of the console that a report keeps, and characters of each. */
const keptLines = 20;
const keptLineLength = 200;

/** What is waited for a check that says nothing of it, ms. A guest that is emulated takes several times as long. */
export const rehearsalLimitMs = ({ emulated }: Pick<RehearsalReport, 'emulated'>): number =>
  emulated ? 900_000 : 180_000;

/** Text of a console without its control sequences; lines end with `\n`. */
export const plainText = (text: string): string =>
  text
    // Colours and movements of the cursor, as terminals know them.
    // eslint-disable-next-line no-control-regex -- they are what is removed
    .replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g, '')
    .replace(/\r+\n?/g, '\n')
    // eslint-disable-next-line no-control-regex -- the same
    .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '');

/** The end of a console for people; `text` is plain. */
export const lastLines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trimEnd().slice(0, keptLineLength))
    .filter((line) => line !== '')
    .slice(-keptLines);
