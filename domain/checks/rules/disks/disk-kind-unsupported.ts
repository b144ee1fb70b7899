import { movedDisks } from '../../../disk-plan.ts';
import type { VmDisk } from '../../../vm.ts';
import { everyMode } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { SourceView } from '../../views.ts';

/** Whether a disk is of a kind that cannot be opened from outside of the guest. */
export const isKindUnsupported = (disk: VmDisk): boolean =>
  disk.device === 'lun' || disk.network?.protocol === 'other';

export const diskKindUnsupported: Rule<SourceView, 'disk-kind-unsupported'> = {
  modes: everyMode,
  outcomes: {
    'disk-kind-unsupported': {
      level: 'critical',
      meaning: 'A disk is no file, block device, RBD, iSCSI or NFS image.',
      remedy: 'Detach it, or copy it to a volume first.',
    },
  },
  judge: ({ vm }) =>
    movedDisks(vm)
      .filter(isKindUnsupported)
      .map((disk) => ({
        code: 'disk-kind-unsupported',
        message: `disk ${disk.name} of ${vm.name} is a ${disk.device === 'lun' ? 'SCSI device passed through' : `network disk (${disk.path})`}; files, block devices, RBD, iSCSI and NFS can be moved`,
      })),
};
