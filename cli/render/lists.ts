/** What `vmferry status`, `vms` and `hosts` list, as tables. */
import type { MoveSummary } from '../../domain/move.ts';
import type { VmSummary } from '../../domain/vm.ts';
import type { HostLine } from '../ferry.ts';
import { phaseStyle } from './frame.ts';
import { bytes, duration, moment, wholeSeconds } from './quantity.ts';
import { phaseWords } from './step-names.ts';
import { table } from './table.ts';
import type { Cell, Column } from './table.ts';
import type { View } from './theme.ts';

const roomForIds = 118;

/** The latest moves, newest first as the client gives them; `now` in ms since the epoch. */
export function moveLines(moves: readonly MoveSummary[], view: View, now: number): string[] {
  if (moves.length === 0) return ['No moves yet.'];
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

const guardCell = (host: HostLine): Cell =>
  host.facts === undefined
    ? { text: '' }
    : host.facts.guard.hookLive
      ? { text: 'live', paint: 'green' }
      : { text: 'not live', paint: 'red' };

/** The hosts that ever announced themselves; with facts, also what they run and their storage pools. */
export function hostLines(hosts: readonly HostLine[], view: View, withFacts: boolean): string[] {
  if (hosts.length === 0) return ['No hosts yet: start `vmferry host` on each.'];
  const columns: Column[] = [
    { title: 'Host' },
    { title: 'State' },
    { title: 'Address' },
    { title: 'vmferry' },
    ...(withFacts
      ? ([
          { title: 'Guard' },
          { title: 'libvirt' },
          { title: 'QEMU' },
          { title: 'CPUs', align: 'right' },
          { title: 'Memory free', align: 'right' },
          { title: 'VMs', align: 'right' },
        ] satisfies Column[])
      : []),
  ];
  const rows = hosts.map((host): Cell[] => [
    { text: host.name, paint: 'bold' },
    host.online ? { text: 'online', paint: 'green' } : { text: 'offline', paint: 'red' },
    { text: host.announcement?.migrationAddress ?? '' },
    { text: host.announcement?.version ?? '' },
    ...(withFacts
      ? [
          guardCell(host),
          { text: host.facts?.libvirtVersion ?? '' },
          { text: host.facts?.hypervisorVersion ?? '' },
          { text: host.facts === undefined ? '' : String(host.facts.cpus) },
          { text: host.facts === undefined ? '' : bytes(host.facts.freeMemoryBytes) },
          { text: host.facts === undefined ? '' : String(host.facts.vms.length) },
        ]
      : []),
  ]);
  return [...table(columns, rows, view), ...(withFacts ? poolLines(hosts, view) : [])];
}

function poolLines(hosts: readonly HostLine[], view: View): string[] {
  const rows = hosts.flatMap((host) =>
    (host.facts?.pools ?? []).map((pool): Cell[] => [
      { text: host.name },
      { text: pool.name, paint: 'bold' },
      { text: pool.type },
      pool.active ? { text: 'active', paint: 'green' } : { text: 'inactive', paint: 'yellow' },
      { text: pool.active ? bytes(pool.availableBytes) : '' },
      { text: pool.active ? bytes(pool.capacityBytes) : '' },
      { text: pool.path, paint: 'dim' },
    ]),
  );
  if (rows.length === 0) return [];
  const columns: Column[] = [
    { title: 'Host' },
    { title: 'Pool' },
    { title: 'Type' },
    { title: 'State' },
    { title: 'Free', align: 'right' },
    { title: 'Size', align: 'right' },
    { title: 'Path', elastic: true },
  ];
  return ['', ...table(columns, rows, view)];
}
