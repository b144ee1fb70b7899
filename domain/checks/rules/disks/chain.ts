import { chainWish } from '../../../disk-plan.ts';
import { copiedDisks } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

type Code = 'chain-cannot-be-kept' | 'chain-kept' | 'chain-flattened';

/** What becomes of the images below a copied disk. */
export const chain: Rule<StorageView, Code> = {
  modes: everyMode,
  outcomes: {
    'chain-cannot-be-kept': {
      level: 'critical',
      meaning: 'A chain of images was asked to arrive as it is, and cannot.',
      remedy: 'Leave out --chain keep: then the copy is one image with all of it.',
    },
    'chain-kept': {
      level: 'information',
      meaning: 'Each image of a chain is copied, and the copies lie on each other likewise.',
      remedy: 'Nothing to do; a commit leaves the backing images where they are.',
    },
    'chain-flattened': {
      level: 'information',
      meaning: 'A disk lies on backing images; its copy is one image with all of it.',
      remedy: 'Nothing to do; the backing images stay where they are.',
    },
  },
  judge: (view) =>
    copiedDisks(view).flatMap((disk): Finding<Code>[] => {
      const { vm } = view;
      const { length } = disk.backing;
      if (length === 0) return [];
      const what = `disk ${disk.name} of ${vm.name} lies on ${length === 1 ? 'a backing image' : `${length} backing images`}`;
      const { keep, trouble } = chainWish(disk, view);
      if (trouble !== undefined) {
        return [
          {
            code: 'chain-cannot-be-kept',
            message: `${what}, and the chain cannot arrive as it is: ${trouble}`,
          },
        ];
      }
      return [
        keep
          ? {
              code: 'chain-kept',
              message: `${what}; each image is copied, and the copies lie on each other likewise`,
              remedy: `Nothing to do; a commit leaves the backing images on ${vm.host} where they are.`,
              host: vm.host,
            }
          : {
              code: 'chain-flattened',
              message: `${what}; the copy holds all of it in one image`,
              host: vm.host,
            },
      ];
    }),
};
