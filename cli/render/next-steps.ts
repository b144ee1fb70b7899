import type { MoveReport, Phase } from '../../domain/move.ts';
import { shellWord } from './text.ts';
import type { View } from './theme.ts';

export interface NextStep {
  /** As a person would type it. */
  command: string;
  /** What it brings about, a few words. */
  effect: string;
}

/** How commands name a move: by the VM's name where a shell takes it as it is, else by its UUID. */
export const moveWord = (vm: MoveReport['vm']): string =>
  shellWord(vm.name) === vm.name && !vm.name.startsWith('-') ? vm.name : vm.uuid;

/** What decides which orders make sense; a report has it, and so has a story. */
export interface Standing extends Pick<MoveReport, 'vm' | 'source' | 'target' | 'phase'> {
  parkedIn?: Phase;
  /** Whether the VM ran on the target, so that going back loses what it wrote there. */
  targetHasRun: boolean;
}

/** How a move stands by its report. */
export const standingOf = (report: MoveReport): Standing => ({
  ...report,
  targetHasRun:
    (report.vmRunning && report.vmOn === report.target) ||
    report.steps.some((step) => step.name === 'start' && step.state === 'done'),
});

function goBack(report: Standing, command: string, word: string): NextStep {
  return report.targetHasRun
    ? {
        command: `${command} rollback ${word} --discard-target-writes`,
        effect: `go back to ${report.source}; what it wrote on ${report.target} is lost`,
      }
    : { command: `${command} rollback ${word}`, effect: `go back to ${report.source}` };
}

const cancellable: readonly (Phase | undefined)[] = [
  'planned',
  'checking',
  'preparing',
  'stopping',
  'moving',
  'copying',
  'verifying',
];

/** A target that cannot start the VM must not keep it from its source. */
const goesBackFrom: readonly (Phase | undefined)[] = ['cutting-over', 'starting'];

/** From the cutover on a move is not cancelled half-way. */
const cancelIn = (phase: Phase | undefined, report: Standing, command: string): NextStep[] =>
  cancellable.includes(phase) ? [{ command, effect: `stop and go back to ${report.source}` }] : [];

/** The orders that make sense now. */
export function nextSteps(report: Standing, view: View): NextStep[] {
  const word = moveWord(report.vm);
  const { command } = view;
  switch (report.phase) {
    case 'awaiting-commit':
      return [
        {
          command: `${command} commit ${word}`,
          effect: `remove the copy on ${report.source} for good`,
        },
        goBack(report, command, word),
      ];
    case 'committed':
    case 'rolled-back':
    case 'cancelled':
    case 'failed':
      return [];
    case 'parked':
      return [
        { command: `${command} retry ${word}`, effect: 'go on, once the cause is mended' },
        ...cancelIn(report.parkedIn, report, `${command} cancel ${word}`),
        ...(goesBackFrom.includes(report.parkedIn) ? [goBack(report, command, word)] : []),
      ];
    case 'planned':
    case 'checking':
    case 'preparing':
    case 'stopping':
    case 'moving':
    case 'copying':
    case 'verifying':
    case 'cutting-over':
    case 'starting':
    case 'committing':
    case 'rolling-back':
      return [
        { command: `${command} status ${word} --watch`, effect: 'follow it' },
        ...cancelIn(report.phase, report, `${command} cancel ${word}`),
      ];
  }
}
