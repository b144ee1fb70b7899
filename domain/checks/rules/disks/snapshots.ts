import { copiedDisks } from '../../copied.ts';
import { coldOnly } from '../../rule.ts';
import type { Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';
import { firstOf } from '../../words.ts';

/** Snapshots live inside the images or in files beside them: they stay with disks that stay, and only with them. */
export const snapshots: Rule<StorageView, 'snapshots' | 'snapshots-move'> = {
  modes: coldOnly,
  outcomes: {
    snapshots: {
      level: 'critical',
      meaning: 'The VM has snapshots, which a copy of its disks would lose.',
      remedy: 'Delete them first: virsh snapshot-delete.',
    },
    'snapshots-move': {
      level: 'information',
      meaning: 'The VM has snapshots, and its disks stay: what libvirt knows of them moves too.',
      remedy: 'Nothing to do.',
    },
  },
  judge: (view) => {
    const { host, name, snapshots: names } = view.vm;
    if (names.length === 0) return [];
    if (copiedDisks(view).length === 0) {
      return [
        {
          code: 'snapshots-move',
          message: `${name} on ${host} has snapshots (${firstOf(names)}); what libvirt knows of them moves too`,
          host,
        },
      ];
    }
    return [
      {
        code: 'snapshots',
        message: `${name} on ${host} has snapshots that would be lost: ${firstOf(names)}`,
        remedy: `Delete them first: virsh snapshot-delete ${name} NAME`,
        host,
      },
    ];
  },
};
