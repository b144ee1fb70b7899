import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

export const vmTransient: Rule<SourceView, 'vm-transient'> = {
  modes: everyMode,
  outcomes: {
    'vm-transient': {
      level: 'critical',
      meaning: 'The VM has no stored definition.',
      remedy: 'Define it first: virsh dumpxml, then virsh define.',
    },
  },
  judge: ({ vm: { persistent, name, host } }) =>
    persistent
      ? []
      : [
          {
            code: 'vm-transient',
            message: `${name} on ${host} is transient: it has no stored definition`,
            remedy: `Define it first: virsh dumpxml ${name} > vm.xml && virsh define vm.xml`,
          },
        ],
};
