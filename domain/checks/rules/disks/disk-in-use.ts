import { movedDisks, sharedProof } from '../../../disk-plan.ts';
import type { NeighbourVm } from '../../../host.ts';
import type { VmDisk, VmFacts } from '../../../vm.ts';
import { everyMode } from '../../rule.ts';
import type { Finding, Rule } from '../../rule.ts';
import type { SourceView, StorageView } from '../../views.ts';

type Code = 'disk-in-use';

const common = {
  modes: everyMode,
  outcomes: {
    'disk-in-use': {
      level: 'critical',
      meaning: 'A disk that only one may write also belongs to another VM of that host.',
      remedy: 'Detach it from the other VM first.',
    },
  },
} as const;

interface Place {
  vm: VmFacts;
  disk: VmDisk;
  /** Of the disk on the host. */
  path: string;
  host: string;
  neighbours: readonly NeighbourVm[];
}

function judge({ vm, disk, path, host, neighbours }: Place): Finding<Code>[] {
  if (disk.readonly || disk.shareable || path === '') return [];
  const other = neighbours.find(
    ({ uuid, diskPaths }) => uuid !== vm.uuid && diskPaths.includes(path),
  );
  if (other === undefined) return [];
  return [
    {
      code: 'disk-in-use',
      message: `disk ${disk.name} of ${vm.name} (${path}) also belongs to VM ${other.name} on ${host}${other.running ? ', which runs' : ''}`,
      remedy: `Detach it from ${other.name} first.`,
    },
  ];
}

/** On the source. */
export const diskInUseHere: Rule<SourceView, Code> = {
  ...common,
  judge: ({ vm, neighbours }) =>
    movedDisks(vm).flatMap((disk) =>
      judge({ vm, disk, path: disk.path, host: vm.host, neighbours }),
    ),
};

/** On the target, which sees disks that stay where they are. */
export const diskInUseThere: Rule<StorageView, Code> = {
  ...common,
  judge: (view) => {
    const { vm, target, seen } = view;
    return movedDisks(vm)
      .filter((disk) => sharedProof(disk, view) !== undefined)
      .flatMap((disk) => {
        const path = seen[disk.name]?.path ?? disk.path;
        return judge({ vm, disk, path, host: target.name, neighbours: target.vms });
      });
  },
};
