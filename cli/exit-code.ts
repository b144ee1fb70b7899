import { constants } from 'node:os';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import type { MoveReport } from '../domain/move.ts';

/** What a script can tell from the end of `vmferry`; `docs/cli.md` and `--help` list the same. */
export const ExitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  parked: 4,
  cancelled: 5,
  unreachable: 6,
  detached: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The lines under `Exit codes` of `vmferry --help`. */
export const exitCodeHelp: readonly (readonly [ExitCode, string])[] = [
  [ExitCode.done, 'done, or waiting for your commit'],
  [ExitCode.failed, 'failed, or rolled back because of an error'],
  [ExitCode.usage, 'wrong usage or configuration'],
  [ExitCode.refused, 'refused by a check: nothing was touched'],
  [ExitCode.parked, 'parked: a person must act, until then it waits'],
  [ExitCode.cancelled, 'cancelled or rolled back, as somebody asked'],
  [ExitCode.unreachable, 'the Temporal server cannot be reached'],
  [ExitCode.detached, 'detached by Ctrl-C: the work goes on'],
];

/** Whether the move ended before anything but its checks began. */
const onlyChecked = (report: MoveReport): boolean =>
  report.steps.every(
    (step) => step.name === 'check' || step.state === 'waiting' || step.state === 'skipped',
  );

/** Whether an error, and not a person's wish, ended the move. */
const brokenByError = (report: MoveReport): boolean =>
  (report.fault !== undefined && report.fault.handling !== Handling.cancelled) ||
  report.steps.some((step) => step.state === 'failed');

/** The exit code for a move that rests or has ended; a move still under way counts as done: nothing went wrong. */
export function exitCodeOf(report: MoveReport): ExitCode {
  switch (report.phase) {
    case 'failed':
      return onlyChecked(report) ? ExitCode.refused : ExitCode.failed;
    case 'rolled-back':
      return brokenByError(report) ? ExitCode.failed : ExitCode.cancelled;
    case 'cancelled':
      return ExitCode.cancelled;
    case 'parked':
      return ExitCode.parked;
    case 'planned':
    case 'checking':
    case 'preparing':
    case 'stopping':
    case 'moving':
    case 'copying':
    case 'verifying':
    case 'cutting-over':
    case 'starting':
    case 'awaiting-commit':
    case 'committing':
    case 'rolling-back':
    case 'committed':
      return ExitCode.done;
  }
}

/** Faults of the configuration that do not say so by `config-`. */
const configurationCodes = [
  'usage',
  'encryption-missing',
  'payload-key-invalid',
  'payload-keys-invalid',
  'secret-unavailable',
  'secret-exposed',
  'tls-file-unreadable',
  'api-key-without-tls',
  'codec-server-missing',
  'codec-server-open',
];

/** The exit code for an order or a question that failed. */
export function exitCodeOfFault(fault: Fault): ExitCode {
  if (fault.code === 'temporal-unreachable') return ExitCode.unreachable;
  if (fault.code.startsWith('config-') || configurationCodes.includes(fault.code))
    return ExitCode.usage;
  // Whatever its handling says: an order that was refused has changed nothing.
  if (fault.code === 'order-refused') return ExitCode.refused;
  switch (fault.handling) {
    case 'permanent':
    case 'unsafe':
      return ExitCode.refused;
    case 'cancelled':
      return ExitCode.cancelled;
    case 'transient':
    case 'outcome-unknown':
    case 'needs-operator':
      return ExitCode.failed;
  }
}

/** As shells count: 130 for Ctrl-C, 143 for SIGTERM, 129 for a terminal that went away. */
export const exitCodeOfSignal = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
