import { broughtDisks } from '../../../../import/disks.ts';
import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

type Code = 'disk-raw' | 'disk-raw-copied';

/** A KVM host reads the device like any other; vSphere gives the bytes of a raw device mapping to nobody. */
export const diskRaw: ForeignRule<VmView, Code> = {
  modes: everyMode,
  outcomes: {
    'disk-raw': {
      level: 'critical',
      meaning: 'A disk is a raw device that the source platform does not let anybody read.',
      remedy:
        'Turn it into a virtual disk at the source (migrate its storage), or leave it out (--disks).',
    },
    'disk-raw-copied': {
      level: 'warning',
      meaning:
        'A disk is a device of the KVM host, handed through with its commands. Its bytes come as an ordinary disk.',
      remedy: 'See that nothing in the guest reserves it or speaks SCSI to the storage behind it.',
    },
  },
  judge: ({ vm, request }) => {
    const code: Code = vm.kind === 'kvm' ? 'disk-raw-copied' : 'disk-raw';
    return broughtDisks(vm, request.shape)
      .filter(({ raw }) => raw)
      .map(({ key, path }) => ({
        code,
        message: `disk ${key} of ${vm.name} (${path}) is a raw device`,
      }));
  },
};
