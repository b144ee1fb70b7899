import { maxCdroms } from '../../../../import/limits.ts';
import { firstOf } from '../../../words.ts';
import { everyMode } from '../../rule.ts';
import type { Finding } from '../../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'cdrom-stays' | 'medium-stays';

export const cdroms: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'cdrom-stays': {
      level: 'warning',
      meaning: `The VM has more than ${maxCdroms} CD-ROM drives; the others do not come along.`,
      remedy: 'Nothing to do, if the guest does not miss them.',
    },
    'medium-stays': {
      level: 'information',
      meaning: 'A CD-ROM drive holds a medium; the drive comes along empty.',
      remedy:
        'If the guest needs it, put the image on the target and insert it there: virsh change-media.',
    },
  },
  judge: ({ vm }) => {
    const found: Finding<Code>[] = [];
    if (vm.cdroms.length > maxCdroms) {
      found.push({
        code: 'cdrom-stays',
        message: `${vm.name} has ${vm.cdroms.length} CD-ROM drives, of which ${maxCdroms} come along`,
      });
    }
    const media = vm.cdroms.slice(0, maxCdroms).filter((path) => path !== '');
    if (media.length > 0) {
      found.push({
        code: 'medium-stays',
        message: `drives of ${vm.name} hold ${firstOf(media)}, and come along empty`,
      });
    }
    return found;
  },
};
