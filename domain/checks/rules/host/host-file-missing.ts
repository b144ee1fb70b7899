import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const hostFileMissing: Rule<TargetView, 'host-file-missing'> = {
  modes: everyMode,
  outcomes: {
    'host-file-missing': {
      level: 'critical',
      meaning:
        'The target lacks a file that the VM needs to start: a kernel, a firmware, a medium.',
      remedy:
        'Put the file there, or take it out of the definition (for a CD: virsh change-media --eject).',
    },
  },
  judge: ({ vm, target, missingFiles }) =>
    missingFiles.map((path) => ({
      code: 'host-file-missing',
      message: `${target.name} has no file ${path}, which ${vm.name} needs to start`,
      remedy: `Put the file there, or take it out of the definition (for a CD: virsh change-media ${vm.name} --eject).`,
    })),
};
