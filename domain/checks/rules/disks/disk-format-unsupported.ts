import { movedDisks } from '../../../disk-plan.ts';
import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';
import { isKindUnsupported } from './disk-kind-unsupported.ts';

export const diskFormatUnsupported: Rule<SourceView, 'disk-format-unsupported'> = {
  modes: everyMode,
  outcomes: {
    'disk-format-unsupported': {
      level: 'critical',
      meaning: 'A disk is neither raw nor qcow2.',
      remedy: 'Convert it: qemu-img convert -O qcow2.',
    },
  },
  judge: ({ vm }) =>
    movedDisks(vm)
      .filter((disk) => !isKindUnsupported(disk))
      .filter(({ format }) => format !== 'raw' && format !== 'qcow2')
      .map((disk) => ({
        code: 'disk-format-unsupported',
        message: `disk ${disk.name} of ${vm.name} has the format ${disk.format}; raw and qcow2 can be moved`,
        remedy: `Convert it: qemu-img convert -O qcow2 ${disk.path} NEW`,
      })),
};
