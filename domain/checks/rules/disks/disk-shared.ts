import { copiedDisks } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

export const diskShared: Rule<StorageView, 'disk-shared'> = {
  modes: everyMode,
  outcomes: {
    'disk-shared': {
      level: 'critical',
      meaning:
        'A disk that would be copied is marked shareable: other guests may write it meanwhile.',
      remedy:
        'Detach it from the VM, or remove <shareable/>; on storage that both hosts see it can stay.',
    },
  },
  judge: (view) =>
    copiedDisks(view)
      .filter(({ shareable }) => shareable)
      .map((disk) => ({
        code: 'disk-shared',
        message: `disk ${disk.name} of ${view.vm.name} is marked shareable: other guests may write it during the copy`,
      })),
};
