import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

export const managedSave: Rule<SourceView, 'managed-save'> = {
  modes: everyMode,
  outcomes: {
    'managed-save': {
      level: 'critical',
      meaning: 'libvirt keeps memory of the VM for its next start, which would be lost.',
      remedy: 'Start it and shut it down, or discard the saved memory: virsh managedsave-remove.',
    },
  },
  judge: ({ vm: { hasManagedSave, name, host } }) =>
    hasManagedSave
      ? [
          {
            code: 'managed-save',
            message: `${name} on ${host} has a managed save: memory that a cold move cannot take along`,
            remedy: `Start it and shut it down, or discard the saved memory: virsh managedsave-remove ${name}`,
          },
        ]
      : [],
};
