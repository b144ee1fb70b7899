import { broughtDisks } from '../../../../import/disks.ts';
import { moveOnly } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { VmView } from '../../views.ts';

/** Said also of a VM that runs still: once it was shut down for the import, it would be too late. */
export const diskOverNetwork: ForeignRule<VmView, 'disk-over-network'> = {
  modes: moveOnly,
  outcomes: {
    'disk-over-network': {
      level: 'critical',
      meaning:
        'A disk of a VM of a KVM host is reached over the network by its QEMU (RBD, iSCSI, NFS), and nobody reads it there while the VM is off.',
      remedy:
        'Bring the VM while it runs, as a clone (--running pause or leave); or leave the disk out (--disks).',
    },
  },
  judge: ({ vm, request }) =>
    vm.kind === 'kvm'
      ? broughtDisks(vm, request.shape)
          .filter(({ path }) => /^[a-z]+:/.test(path))
          .map(({ key, path }) => ({
            code: 'disk-over-network',
            message: `disk ${key} of ${vm.name} (${path}) is reached over the network, and would be read while the VM is off`,
          }))
      : [],
};
