import { placedDisks, volumeName } from '../../../../import/disks.ts';
import { nameOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { TargetView } from '../../views.ts';

export const volumeTaken: ForeignRule<TargetView, 'volume-exists'> = {
  modes: everyMode,
  outcomes: {
    'volume-exists': {
      level: 'critical',
      meaning: 'The target already has a volume of the name that a disk would get.',
      remedy:
        'If nothing needs it, delete it there (virsh vol-delete); else give the VM or the volume another name (--name, --volumes), or name another pool.',
    },
  },
  judge: ({ vm, request, target, existingVolumes = [] }) => {
    const name = nameOf(vm, request.shape);
    return placedDisks(vm, request, target)
      .map(({ disk, index, pool }) => ({
        disk,
        volume: `${pool.name}/${volumeName({ vm: name, key: disk.key, index }, request)}`,
      }))
      .filter(({ volume }) => existingVolumes.includes(volume))
      .map(({ disk, volume }) => ({
        code: 'volume-exists',
        message: `${target.name} already has a volume ${volume}, where disk ${disk.key} of ${vm.name} would go`,
      }));
  },
};
