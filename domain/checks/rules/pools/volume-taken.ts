import { targetFormatFor, volumeNameFor } from '../../../disk-plan.ts';
import { copiedImages, fitOf } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';

type Code = 'volume-name-clash' | 'volume-exists';

export const volumeTaken: Rule<StorageView, Code> = {
  modes: everyMode,
  outcomes: {
    'volume-name-clash': {
      level: 'critical',
      meaning: 'Two disks would go to one volume of the target.',
      remedy:
        'Rename one of the two images, or move it to a pool of its own: --disk NAME:pool=POOL.',
    },
    'volume-exists': {
      level: 'critical',
      meaning: 'The target already has a volume of the name that a disk would get.',
      remedy: 'If nothing needs it, delete it there; else name another pool with --pool.',
    },
  },
  judge: (view) => {
    const { vm, target, existingVolumes } = view;
    const planned = new Set<string>();
    return copiedImages(view).flatMap((disk): Finding<Code>[] => {
      const fit = fitOf(disk, view);
      if (typeof fit === 'string') return [];
      const found: Finding<Code>[] = [];
      const format = targetFormatFor(disk, view);
      const volume = `${fit.pool.name}/${volumeNameFor(disk, { vm, format })}`;
      if (planned.has(volume)) {
        found.push({
          code: 'volume-name-clash',
          message: `two disks of ${vm.name} would go to the same volume ${volume} of ${target.name}`,
        });
      }
      planned.add(volume);
      if (existingVolumes.includes(volume)) {
        found.push({
          code: 'volume-exists',
          message: `${target.name} already has a volume ${volume}, where disk ${disk.name} of ${vm.name} would go`,
        });
      }
      return found;
    });
  },
};
