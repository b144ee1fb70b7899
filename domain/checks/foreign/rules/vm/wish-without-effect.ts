import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { RequestView } from '../../views.ts';

export const wishWithoutEffect: ForeignRule<RequestView, 'wish-without-effect'> = {
  modes: everyMode,
  outcomes: {
    'wish-without-effect': {
      level: 'information',
      meaning: 'Something was asked of a conversion, and the guest is not converted.',
      remedy: 'Leave it out, or leave out --no-convert.',
    },
  },
  judge: ({ vm, request: { convert, shape, root, luksKeys = [] } }) => {
    const wishes = [
      ...(shape.bus === undefined ? [] : [`disks on ${shape.bus}`]),
      ...(root === undefined ? [] : ['a root device']),
      ...(luksKeys.length === 0 ? [] : ['keys of encrypted disks']),
    ];
    return convert === 'yes' || wishes.length === 0
      ? []
      : [
          {
            code: 'wish-without-effect',
            message: `${vm.name} is not converted, and was asked to have ${wishes.join(', ')}`,
          },
        ];
  },
};
