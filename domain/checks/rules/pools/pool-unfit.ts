import { isBelow } from '../../../chain.ts';
import { poolFor, wantedPool } from '../../../disk-plan.ts';
import type { VmDisk } from '../../../vm.ts';
import { copiedImages, fitOf } from '../../copied.ts';
import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { StorageView } from '../../views.ts';
import { listed } from '../../words.ts';

type Code = 'pool-missing' | 'pool-unusable' | 'format-unfit';

/** Told once of a chain, whose images all go to one pool. */
export const poolUnfit: Rule<StorageView, Code> = {
  modes: everyMode,
  outcomes: {
    'pool-missing': {
      level: 'critical',
      meaning: 'The target has no pool of the name where a disk would go.',
      remedy: 'Name one with --pool.',
    },
    'pool-unusable': {
      level: 'critical',
      meaning: 'The pool where a disk would go is not active, or of a type that cannot be written.',
      remedy: 'Start it, or name a pool of type dir, fs, netfs, logical or rbd with --pool.',
    },
    'format-unfit': {
      level: 'critical',
      meaning: 'A disk would be qcow2 in a pool that holds devices or RBD images.',
      remedy: 'Leave out --format, or say --disk NAME:format=raw.',
    },
  },
  judge: (view) =>
    copiedImages(view)
      .filter(({ name }) => !isBelow(name))
      .flatMap((disk): Finding<Code>[] => {
        const fit = fitOf(disk, view);
        if (typeof fit !== 'string') return [];
        return [fit === 'missing' ? missing(view, disk) : unfit(view, disk)];
      }),
};

function unfit(view: StorageView, disk: VmDisk): Finding<Code> {
  const { target } = view;
  const { name, type, active } = poolFor(disk, view) ?? { name: '', type: '', active: false };
  if (fitOf(disk, view) === 'unusable') {
    return {
      code: 'pool-unusable',
      message: `pool ${name} of ${target.name} is ${active ? `of type ${type}` : 'not active'}`,
      remedy: active
        ? 'Name a pool of type dir, fs, netfs, logical or rbd with --pool.'
        : `Start it: virsh pool-start ${name}`,
    };
  }
  return {
    code: 'format-unfit',
    message: `pool ${name} of ${target.name} holds ${type === 'rbd' ? 'RBD images' : 'devices'}, which are made raw; disk ${disk.name} cannot become qcow2 there`,
    remedy: `Leave out --format, or say --disk ${disk.name}:format=raw.`,
  };
}

function missing({ vm, target, request }: StorageView, disk: VmDisk): Finding<Code> {
  const wanted = wantedPool(disk, request);
  // libvirt lists them in any order.
  const pools = target.pools.map(({ name }) => name).sort();
  const message =
    wanted === ''
      ? `disk ${disk.name} of ${vm.name} (${disk.path}) lies in no libvirt pool on ${vm.host}, so none is meant on ${target.name}`
      : `${target.name} has no pool ${wanted} for disk ${disk.name} of ${vm.name}`;
  const shared =
    disk.kind === 'file'
      ? ''
      : ` If both hosts see this very disk, say --shared-disk ${disk.name}.`;
  return {
    code: 'pool-missing',
    message,
    remedy: `Name one with --pool; ${target.name} has: ${listed(pools)}.${shared}`,
  };
}
