/** How an import stands, in words: phases, shares, steps, exit code, what to do next. */
import { isImportEnd } from '../../domain/import.ts';
import type {
  ImportPhase,
  ImportReport,
  ImportStatus,
  ImportStepName,
} from '../../domain/import.ts';
import type { DiskProgress } from '../../domain/move.ts';
import { ExitCode } from '../exit-code.ts';
import { millisecondsLeft } from './disk-bars.ts';
import type { NextStep } from './next-steps.ts';
import { phaseWords } from './step-names.ts';
import { shellWord } from './text.ts';
import type { View } from './theme.ts';

/** What a step is called on the screen. */
export const importStepTitles: Record<ImportStepName, string> = {
  check: 'Check',
  'stop-source': 'Stop source',
  copy: 'Copy',
  'verify-source': 'Verify source',
  convert: 'Convert',
  rehearse: 'Rehearse',
  'reserve-target': 'Reserve target',
  transfer: 'Transfer',
  verify: 'Verify',
  define: 'Define',
  'cut-over': 'Cut over',
  start: 'Start',
  commit: 'Commit',
};

/** What a step does in this import, in a few words. */
export function importStepPurpose(name: ImportStepName, report: ImportReport): string {
  const { foreign, conversionHost, target } = report;
  const purposes: Record<ImportStepName, string> = {
    check: `the VM at ${foreign.provider}, ${conversionHost} and ${target}`,
    'stop-source': `off at ${foreign.provider}`,
    copy: `its disks, into the cache of ${conversionHost}`,
    'verify-source': 'off, and its disks unchanged',
    convert: `the guest, on ${conversionHost}`,
    rehearse: `a start of it on ${conversionHost}, apart from everything`,
    'reserve-target': `room and volumes on ${target}`,
    transfer: `the disks, to ${target}`,
    verify: 'hashes of both sides',
    define: `the VM on ${target}`,
    'cut-over': `${target} becomes the owner`,
    start: `the VM on ${target}`,
    commit: `drops what was copied on ${conversionHost}`,
  };
  return purposes[name];
}

/** Sum of all disks on their way; undefined while none is. */
function sumOfProgress(progress: readonly DiskProgress[]): DiskProgress | undefined {
  if (progress.length === 0) return undefined;
  const sum = (of: (disk: DiskProgress) => number): number =>
    progress.reduce((all, disk) => all + of(disk), 0);
  return {
    name: 'total',
    capacityBytes: sum(({ capacityBytes }) => capacityBytes),
    totalBytes: sum(({ totalBytes }) => totalBytes),
    doneBytes: sum(({ doneBytes }) => doneBytes),
    bytesPerSecond: sum(({ bytesPerSecond }) => bytesPerSecond),
  };
}

/** `copying 42 %`, `converting 12 %` */
export function stageWords({ report, progress, conversion }: ImportStatus): string {
  const words = phaseWords(report.phase);
  const sum = sumOfProgress(progress);
  const share =
    conversion?.percent !== undefined && ['copying', 'converting'].includes(report.phase)
      ? conversion.percent
      : sum !== undefined && sum.totalBytes > 0
        ? (sum.doneBytes / sum.totalBytes) * 100
        : undefined;
  return share === undefined ? words : `${words} ${Math.floor(Math.min(share, 100))} %`;
}

/** Estimate of what is left of the copy or transfer that runs, ms; undefined while it would be a guess. */
export const importMsLeft = ({ progress }: ImportStatus): number | undefined => {
  const sum = sumOfProgress(progress);
  return sum === undefined ? undefined : millisecondsLeft(sum);
};

/** Whether it ended before anything but its checks began. */
const onlyChecked = ({ steps }: ImportReport): boolean =>
  steps.every(({ name, state }) => name === 'check' || state === 'waiting' || state === 'skipped');

/** As `exitCodeOf` of a move. */
export function exitCodeOfImport(report: ImportReport): ExitCode {
  const { phase, steps } = report;
  if (phase === 'failed') return onlyChecked(report) ? ExitCode.refused : ExitCode.failed;
  if (phase === 'rolled-back') {
    const isBroken = steps.some(({ state }) => state === 'failed');
    return isBroken ? ExitCode.failed : ExitCode.cancelled;
  }
  if (phase === 'cancelled') return ExitCode.cancelled;
  return phase === 'parked' ? ExitCode.parked : ExitCode.done;
}

const gravest: readonly ExitCode[] = [
  ExitCode.failed,
  ExitCode.parked,
  ExitCode.cancelled,
  ExitCode.refused,
];

/** Of several imports: the gravest of what is not done. */
export const exitCodeOfAll = (codes: readonly ExitCode[]): ExitCode =>
  gravest.find((code) => codes.includes(code)) ?? ExitCode.done;

/** How commands name an import: by the VM's name where a shell takes it as it is, else by its ID. */
export const importWord = ({ id, foreign }: Pick<ImportReport, 'id' | 'foreign'>): string => {
  const { name } = foreign;
  const isPlain = name !== '' && shellWord(name) === name && !/^-|^(?:import|migrate)\//.test(name);
  return isPlain ? name : shellWord(id);
};

const cancellable: readonly (ImportPhase | undefined)[] = [
  ...(['planned', 'checking', 'stopping', 'copying', 'converting', 'rehearsing'] as const),
  ...(['preparing', 'transferring', 'verifying'] as const),
];
const goesBackFrom: readonly (ImportPhase | undefined)[] = ['cutting-over', 'starting'];

/** What decides which orders make sense; a report has it, and so has a story. */
export type ImportStanding = Pick<
  ImportReport,
  | 'id'
  | 'foreign'
  | 'target'
  | 'conversionHost'
  | 'phase'
  | 'parkedIn'
  | 'cachedUntil'
  | 'targetRunning'
  | 'steps'
>;

const hasRun = ({ targetRunning, steps }: ImportStanding): boolean =>
  targetRunning || steps.some(({ name, state }) => name === 'start' && state === 'done');

/** The orders that make sense now. */
export function importNextSteps(report: ImportStanding, { command }: View): NextStep[] {
  const word = importWord(report);
  const { target, foreign, conversionHost, phase, parkedIn, cachedUntil } = report;
  const cancel: NextStep = {
    command: `${command} cancel ${word}`,
    effect: `stop; ${foreign.provider} has the VM as it was`,
  };
  const back: NextStep = hasRun(report)
    ? {
        command: `${command} rollback ${word} --discard-target-writes`,
        effect: `remove it from ${target}; what it wrote there is lost`,
      }
    : { command: `${command} rollback ${word}`, effect: `remove it from ${target}` };
  if (phase === 'awaiting-commit')
    return [
      {
        command: `${command} commit ${word}`,
        effect: `done with it: drop what was copied on ${conversionHost}`,
      },
      back,
    ];
  if (phase === 'parked')
    return [
      { command: `${command} retry ${word}`, effect: 'go on, once the cause is mended' },
      ...(cancellable.includes(parkedIn) ? [cancel] : []),
      ...(goesBackFrom.includes(parkedIn) ? [back] : []),
    ];
  if (phase === 'committed') return [];
  // What was copied serves the import itself, which begins with the words of its own.
  if (phase === 'rehearsed')
    return [{ command: `${command} discard ${word}`, effect: 'drop what was copied' }];
  if (isImportEnd(phase))
    return [
      {
        command: `${command} retry ${word}`,
        effect:
          cachedUntil === undefined
            ? 'begin anew as it was asked for'
            : 'begin anew; what was copied is not copied again',
      },
      ...(cachedUntil === undefined
        ? []
        : [{ command: `${command} discard ${word}`, effect: 'drop what was copied' }]),
    ];
  return [
    { command: `${command} status ${word} --watch`, effect: 'follow it' },
    ...(cancellable.includes(phase) ? [cancel] : []),
  ];
}
