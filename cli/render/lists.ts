/** What `vmferry status` and `vms` list, as tables. */
import type { MoveSummary } from '../../domain/move.ts';
import type { VmSummary } from '../../domain/vm.ts';
import { phaseStyle } from './frame.ts';
import { bytes, duration, moment, wholeSeconds } from './quantity.ts';
import { phaseWords } from './step-names.ts';
import { table } from './table.ts';
import type { Cell, Column } from './table.ts';
import type { View } from './theme.ts';

const roomForIds = 118;

/** The latest moves, newest first as the client gives them; `now` in ms since the epoch. */
export function moveLines(moves: readonly MoveSummary[], view: View, now: number): string[] {
  if (moves.length === 0) return ['No moves or imports yet.'];
  const withId = view.width >= roomForIds;
  const columns: Column[] = [
    { title: 'VM', elastic: true },
    { title: 'From' },
    { title: 'To' },
    { title: 'Phase' },
    { title: 'Started' },
    { title: 'Took', align: 'right' },
    ...(withId ? [{ title: 'ID' }] : []),
  ];
  const rows = moves.map((move): Cell[] => {
    const from = Date.parse(move.startedAt);
    const took =
      move.endedAt === undefined
        ? wholeSeconds(now - from)
        : duration(Date.parse(move.endedAt) - from);
    return [
      { text: move.vmName, paint: 'bold' },
      { text: move.source },
      { text: move.target },
      { text: phaseWords(move.phase), paint: phaseStyle(move.phase) },
      { text: moment(move.startedAt) },
      { text: took },
      ...(withId ? [{ text: move.id, paint: 'dim' } as const] : []),
    ];
  });
  return table(columns, rows, view);
}

const vmStateStyle = (state: string): 'green' | 'dim' | 'yellow' =>
  state === 'running' ? 'green' : state === 'shut-off' ? 'dim' : 'yellow';

/** The VMs of the hosts that answered. */
export function vmLines(vms: readonly VmSummary[], view: View): string[] {
  if (vms.length === 0) return ['No VMs.'];
  const columns: Column[] = [
    { title: 'VM', elastic: true },
    { title: 'Host' },
    { title: 'State' },
    { title: 'CPUs', align: 'right' },
    { title: 'Memory', align: 'right' },
    { title: 'Disks', align: 'right' },
    { title: 'Guard' },
    ...(view.width >= 100 ? [{ title: 'UUID' }] : []),
  ];
  const rows = vms.map((vm): Cell[] => [
    { text: vm.name, paint: 'bold' },
    { text: vm.host },
    { text: phaseWords(vm.state), paint: vmStateStyle(vm.state) },
    { text: String(vm.vcpus) },
    { text: bytes(vm.memoryBytes) },
    { text: bytes(vm.diskBytes) },
    { text: vm.ownership ?? '', paint: vm.ownership === 'owner' ? 'green' : 'yellow' },
    ...(view.width >= 100 ? [{ text: vm.uuid, paint: 'dim' } as const] : []),
  ]);
  return table(columns, rows, view);
}
