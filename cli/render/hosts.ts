/** What `vmferry hosts` and `vmferry hosts show` print. */
import type { HostLine } from '../ferry.ts';
import type { PoolFacts } from '../../domain/host.ts';
import type { HostReading } from '../../domain/hosts/reading.ts';
import { movesInUnderWay, newHost } from '../../domain/hosts/state.ts';
import type { HostSettings, HostState, InSlot, SlotHolder } from '../../domain/hosts/state.ts';
import { bytes, moment, rate } from './quantity.ts';
import { table } from './table.ts';
import type { Cell, Column } from './table.ts';
import { harmless, padEnd } from './text.ts';
import type { View } from './theme.ts';

const none = ['No hosts yet: start `vmferry host` on each.'];

const onlineCell = ({ online }: HostLine): Cell =>
  online ? { text: 'online', paint: 'green' } : { text: 'offline', paint: 'red' };

const standingCell = ({ enabled, draining }: HostSettings): Cell => {
  if (draining) return { text: 'draining', paint: 'yellow' };
  return enabled ? { text: 'enabled' } : { text: 'disabled', paint: 'yellow' };
};

const labelsText = ({ labels }: HostSettings): string =>
  Object.entries(labels)
    .map(([key, value]) => (value === '' ? key : `${key}=${value}`))
    .join(' ');

/** The hosts that ever announced themselves, as they are remembered: no host is asked. */
export function hostLines(hosts: readonly HostLine[], view: View): string[] {
  if (hosts.length === 0) return none;
  const columns: Column[] = [
    { title: 'Host' },
    { title: 'State' },
    { title: 'New VMs' },
    { title: 'VMs', align: 'right' },
    { title: 'Memory free', align: 'right' },
    { title: 'In', align: 'right' },
    { title: 'Out', align: 'right' },
    { title: 'Labels', elastic: true },
  ];
  const rows = hosts.map((host): Cell[] => {
    const state = host.state ?? newHost;
    const { settings, reading, movesOut } = state;
    return [
      { text: host.name, paint: 'bold' },
      onlineCell(host),
      standingCell(settings),
      { text: reading === undefined ? '' : String(reading.vms) },
      { text: reading === undefined ? '' : bytes(reading.freeMemoryBytes) },
      { text: `${movesInUnderWay(state)}/${settings.limits.movesIn}` },
      { text: `${movesOut.length}/${settings.limits.movesOut}` },
      { text: labelsText(settings), paint: 'dim' },
    ];
  });
  return table(columns, rows, view);
}

/** One host, as it is remembered. */
export function hostDetailLines(host: HostLine, view: View): string[] {
  const state = host.state ?? newHost;
  const { settings, reading, changed } = state;
  const { limits } = settings;
  const facts: [string, string][] = [
    ['Host', host.name],
    ['State', onlineCell(host).text],
    ['New VMs', standingCell(settings).text],
    ['Labels', labelsText(settings) || 'none'],
    ['Moves in', `${movesInUnderWay(state)} of ${limits.movesIn}`],
    ['Moves out', `${state.movesOut.length} of ${limits.movesOut}`],
    ['Bandwidth up', capText(state, 'upBytesPerSecond')],
    ['Bandwidth down', capText(state, 'downBytesPerSecond')],
    ['vCPUs per CPU', String(settings.vcpuRatio)],
    ['Address', addressText(host, settings)],
    ['vmferry', host.announcement?.version ?? 'never announced'],
    ...(changed === undefined
      ? []
      : [['Changed', `${moment(changed.at)} by ${changed.operator}`] satisfies [string, string]]),
    ...(reading === undefined
      ? [['Facts', 'none told yet'] satisfies [string, string]]
      : ([
          ['libvirt', `${reading.libvirtVersion}, QEMU ${reading.hypervisorVersion}`],
          ['CPUs', `${reading.cpus}, with ${reading.runningVcpus} vCPUs running`],
          ['NUMA', numaText(reading)],
          ['Load', reading.load === undefined ? 'not known' : `${reading.load} in five minutes`],
          ['Memory', `${bytes(reading.freeMemoryBytes)} free of ${bytes(reading.memoryBytes)}`],
          ['VMs', `${reading.vms}, ${reading.runningVms} of them running`],
          ['Groups', groupsText(reading.groups)],
          ['Facts of', moment(reading.readAt)],
        ] satisfies [string, string][])),
  ];
  const width = Math.max(...facts.map(([label]) => label.length)) + 2;
  return [
    ...facts.map(
      ([label, value]) => `${view.theme.paint('dim', padEnd(label, width))}${harmless(value)}`,
    ),
    ...placeLines(state, view),
    ...remembered(host, view),
  ];
}

const numaText = ({ numa = [] }: HostReading): string =>
  numa.length === 0
    ? 'not known'
    : numa.map(({ cpus, memoryBytes }) => `${cpus} CPUs and ${bytes(memoryBytes)}`).join('; ');

/** What was set, and whether its worker holds to it. */
function capText(state: HostState, which: 'upBytesPerSecond' | 'downBytesPerSecond'): string {
  const set = state.settings.limits[which];
  const held = (state.bandwidth ?? state.reading?.bandwidth)?.[which];
  if (set === undefined)
    return held === undefined ? 'as configured there' : `${rate(held)}, as configured there`;
  if (held === set) return rate(set);
  return `${rate(set)}, which its worker has not taken over${
    state.bandwidthTrouble === undefined ? ' yet' : `: ${state.bandwidthTrouble}`
  }`;
}

const addressText = ({ announcement }: HostLine, { migrationAddress }: HostSettings): string => {
  const own = announcement?.migrationAddress ?? '';
  return migrationAddress === undefined ? own : `${migrationAddress} for live moves, else ${own}`;
};

const groupsText = (groups: Readonly<Record<string, number>>): string =>
  Object.entries(groups)
    .map(([group, vms]) => `${group} (${vms})`)
    .join(', ') || 'none';

function wayIn({ arrived, waits }: InSlot): string {
  if (arrived !== undefined) return 'has arrived';
  return waits === undefined ? 'in' : 'is to come';
}

/** Who has a place there now. */
function placeLines({ movesIn, movesOut }: HostState, view: View): string[] {
  const row = (direction: string, { vm, workflowId, since }: SlotHolder): Cell[] => [
    { text: vm, paint: 'bold' },
    { text: direction },
    { text: moment(since) },
    { text: workflowId, paint: 'dim' },
  ];
  const rows = [
    ...movesIn.map((slot) => row(wayIn(slot), slot)),
    ...movesOut.map((slot) => row('out', slot)),
  ];
  if (rows.length === 0) return [];
  const columns: Column[] = [
    { title: 'VM', elastic: true },
    { title: 'Move' },
    { title: 'Since' },
    { title: 'ID' },
  ];
  return ['', ...table(columns, rows, view)];
}

/** The pools that its worker told of. */
const remembered = (host: HostLine, view: View): string[] =>
  host.state?.reading === undefined
    ? []
    : poolLines([{ name: host.name, facts: { pools: host.state.reading.pools } }], view);

const guardCell = (host: HostLine): Cell =>
  host.facts === undefined
    ? { text: '' }
    : host.facts.guard.hookLive
      ? { text: 'live', paint: 'green' }
      : { text: 'not live', paint: 'red' };

/** The hosts with what their workers say now: what they run, and their storage pools. */
export function hostFactLines(hosts: readonly HostLine[], view: View): string[] {
  if (hosts.length === 0) return none;
  const columns: Column[] = [
    { title: 'Host' },
    { title: 'State' },
    { title: 'Address' },
    { title: 'vmferry' },
    { title: 'Guard' },
    { title: 'libvirt' },
    { title: 'QEMU' },
    { title: 'CPUs', align: 'right' },
    { title: 'Memory free', align: 'right' },
    { title: 'VMs', align: 'right' },
  ];
  const rows = hosts.map((host): Cell[] => [
    { text: host.name, paint: 'bold' },
    onlineCell(host),
    { text: host.announcement?.migrationAddress ?? '' },
    { text: host.announcement?.version ?? '' },
    guardCell(host),
    { text: host.facts?.libvirtVersion ?? '' },
    { text: host.facts?.hypervisorVersion ?? '' },
    { text: host.facts === undefined ? '' : String(host.facts.cpus) },
    { text: host.facts === undefined ? '' : bytes(host.facts.freeMemoryBytes) },
    { text: host.facts === undefined ? '' : String(host.facts.vms.length) },
  ]);
  return [...table(columns, rows, view), ...poolLines(hosts, view)];
}

interface WithPools {
  name: string;
  facts?: { pools: readonly PoolFacts[] };
}

function poolLines(hosts: readonly WithPools[], view: View): string[] {
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
