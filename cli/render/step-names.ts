import type { MoveReport, StepName } from '../../domain/move.ts';

/** What a step is called on the screen. */
export const stepTitles: Record<StepName, string> = {
  check: 'Check',
  'reserve-target': 'Reserve target',
  'guard-source': 'Guard source',
  live: 'Move live',
  'stop-source': 'Stop source',
  export: 'Export',
  copy: 'Copy',
  verify: 'Verify',
  'cut-over': 'Cut over',
  define: 'Define',
  start: 'Start',
  commit: 'Commit',
};

/** What a step does in this move, in a few words. */
export function stepPurpose(
  name: StepName,
  { source, target }: Pick<MoveReport, 'source' | 'target'>,
): string {
  const purposes: Record<StepName, string> = {
    check: `the VM, ${source} and ${target}`,
    'reserve-target': `room and volumes on ${target}`,
    'guard-source': `${source} refuses other starts`,
    live: `the running guest, to ${target}`,
    'stop-source': `off on ${source}, and kept off`,
    export: 'disks, read-only, over TLS',
    copy: `the data of each disk, to ${target}`,
    verify: 'hashes of both sides',
    'cut-over': `${target} becomes the owner`,
    define: `the VM on ${target}`,
    start: `the VM on ${target}`,
    commit: `removes the VM from ${source}`,
  };
  return purposes[name];
}

/** The phase in words. */
export const phaseWords = (phase: string): string => phase.replaceAll('-', ' ');
