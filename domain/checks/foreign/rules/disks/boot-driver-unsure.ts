import { bootDisk } from '../../../../import/disks.ts';
import { busFor } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

export const bootDriverUnsure: ForeignRule<VmView, 'boot-driver-unsure'> = {
  modes: everyMode,
  outcomes: {
    'boot-driver-unsure': {
      level: 'warning',
      meaning:
        'The guest is not converted and its boot disk changes to another bus: it starts only if it has that driver at hand at its boot.',
      remedy:
        'Let it be converted, or put the driver in its place at the source: ahci in the initramfs, storahci as a boot driver of Windows.',
    },
  },
  judge: ({ vm, request }) => {
    const disk = bootDisk(vm);
    const bus = busFor(vm, request);
    if (request.convert === 'yes' || disk === undefined || disk.bus === bus) return [];
    return [
      {
        code: 'boot-driver-unsure',
        message: `the boot disk ${disk.key} of ${vm.name} is on ${disk.bus === '' ? 'an unknown bus' : disk.bus}, and will be on ${bus}`,
      },
    ];
  },
};
