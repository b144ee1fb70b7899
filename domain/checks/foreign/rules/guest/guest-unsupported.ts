import { everyMode } from '../../rule.ts';
import type { Finding } from '../../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';
import { quoted } from '../../words.ts';
import { outdated, unconvertible } from './systems.ts';

type Code = 'guest-unsupported' | 'guest-outdated' | 'guest-unknown';

export const guestUnsupported: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'guest-unsupported': {
      level: 'critical',
      meaning: 'The guest’s system is one that virt-v2v does not convert.',
      remedy: 'Bring it with emulated devices: --no-convert.',
    },
    'guest-outdated': {
      level: 'warning',
      meaning:
        'The guest’s system is so old that drivers for it may be missing: from newer sets of virtio-win, or from its own kernel.',
      remedy:
        'Give the conversion host a set of drivers of its time; or bring it with emulated devices: --no-convert.',
    },
    'guest-unknown': {
      level: 'warning',
      meaning:
        'Nothing tells which system the guest has; the conversion finds out, and may refuse.',
      remedy:
        'Nothing to do; if it is refused, ask again with --no-convert: what was copied is used again.',
    },
  },
  judge: ({ vm, request }): Finding<Code>[] => {
    if (request.convert === 'no') return [];
    const strange = unconvertible(vm);
    const said = vm.guestOs === '' ? '' : ` (${quoted(vm.guestOs)})`;
    if (strange !== undefined) {
      const message = `${vm.name} has ${strange}${said}, which is not converted`;
      return [{ code: 'guest-unsupported', message }];
    }
    const old = outdated(vm);
    if (old !== undefined) {
      return [{ code: 'guest-outdated', message: `${vm.name} has ${old}${said}` }];
    }
    return vm.guestFamily === 'other'
      ? [{ code: 'guest-unknown', message: `it is not known which system ${vm.name} has${said}` }]
      : [];
  },
};
