import { isDnsLabel, nameTrouble } from '../../../../import/names.ts';
import { nameOf } from '../../../../import/shape.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { quoted } from '../../words.ts';

type Code = 'name-invalid' | 'name-not-dns';

export const nameInvalid: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'name-invalid': {
      level: 'critical',
      meaning: 'libvirt, its files or a terminal cannot have a VM of that name.',
      remedy: 'Give it another one: --name.',
    },
    'name-not-dns': {
      level: 'information',
      meaning:
        'The name could not be a host’s in DNS, which matters only where something makes host names of VMs’ names. Names of volumes have other characters for it.',
      remedy: 'Nothing to do, or another one: --name.',
    },
  },
  judge: ({ vm, request }) => {
    const name = nameOf(vm, request.shape);
    const trouble = nameTrouble(name);
    if (trouble !== undefined) {
      const message = `no VM can be called ${quoted(name)}: ${trouble}`;
      return [{ code: 'name-invalid', message }];
    }
    return isDnsLabel(name)
      ? []
      : [{ code: 'name-not-dns', message: `${quoted(name)} is no name of a host in DNS` }];
  },
};
