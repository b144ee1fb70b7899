import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

export const removableMedium: Rule<SourceView, 'removable-medium'> = {
  modes: everyMode,
  outcomes: {
    'removable-medium': {
      level: 'information',
      meaning: 'The VM has a CD-ROM or floppy drive; the drive moves, a medium does not.',
      remedy: 'See that the medium is on the target, or eject it.',
    },
  },
  judge: ({ vm }) =>
    vm.disks
      .filter(({ device }) => device === 'cdrom' || device === 'floppy')
      .map(({ device, name, path }) => ({
        code: 'removable-medium',
        message: `${vm.name} has a ${device === 'cdrom' ? 'CD-ROM' : 'floppy'} drive ${name}${path === '' ? ' without a medium' : ` with ${path}`}; the drive moves, a medium does not`,
        ...(path === '' ? { remedy: 'Nothing to do.' } : {}),
      })),
};
