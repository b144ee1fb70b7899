import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

export const nvramNotMoved: Rule<SourceView, 'nvram-not-moved'> = {
  modes: everyMode,
  outcomes: {
    'nvram-not-moved': {
      level: 'critical',
      meaning: 'The VM keeps its UEFI variables outside of the folder that libvirt keeps them in.',
      remedy:
        'Let libvirt keep them: take <nvram> out of the definition and copy the file to where libvirt then looks for it.',
    },
  },
  judge: ({ vm }) =>
    vm.hostFiles
      .filter(({ role }) => role === 'nvram')
      .map(({ path }) => ({
        code: 'nvram-not-moved',
        message: `${vm.name} keeps UEFI variables in ${path}, outside of the folder that libvirt keeps them in; they are not moved from there`,
      })),
};
