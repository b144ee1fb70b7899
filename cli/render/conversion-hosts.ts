/** What `vmferry conversion-hosts` prints. */
import { newConversion } from '../../domain/hosts/conversion.ts';
import type { ConversionInForce } from '../../domain/hosts/conversion.ts';
import { roomOf } from '../../domain/import/capacity.ts';
import type { UsageOverTime } from '../../domain/import/usage.ts';
import type { ConversionHostLine, ImportOnHost } from '../ferry.ts';
import { bytes, moment, percent, rate } from './quantity.ts';
import { bulletLines, concernLines, fieldLines, section } from './report-parts.ts';
import { table } from './table.ts';
import type { Cell, Column } from './table.ts';
import { harmless } from './text.ts';
import type { View } from './theme.ts';

const none = [
  'No conversion hosts: add `host.providers` to the configuration of a host and restart its worker.',
];

const onlineCell = ({ online }: ConversionHostLine): Cell =>
  online ? { text: 'online', paint: 'green' } : { text: 'offline', paint: 'red' };

/** Whether it answered, and is none by its configuration. */
const namesNoProvider = ({ online, facts, trouble }: ConversionHostLine): boolean =>
  facts === undefined ? online && trouble === undefined : facts.providers.length === 0;

function takesCell(host: ConversionHostLine): Cell {
  const { enabled, state = newConversion } = host;
  const { given, enabled: takes } = state.role;
  if (!given) return { text: 'deleted', paint: 'dim' };
  if (!takes) return { text: 'disabled', paint: 'yellow' };
  if (!enabled) return { text: 'disabled as a host', paint: 'yellow' };
  return namesNoProvider(host) ? { text: 'no provider', paint: 'yellow' } : { text: 'enabled' };
}

const kindsText = ({ facts }: ConversionHostLine): string =>
  [...new Set((facts?.providers ?? []).map(({ kind }) => kind))].join(' ');

export function conversionHostLines(hosts: readonly ConversionHostLine[], view: View): string[] {
  if (hosts.length === 0) return none;
  const columns: Column[] = [
    { title: 'Host' },
    { title: 'State' },
    { title: 'Imports' },
    { title: 'Running', align: 'right' },
    { title: 'Available', align: 'right' },
    { title: 'Cache', align: 'right' },
    { title: 'Down' },
    { title: 'Up' },
    { title: 'Platforms', elastic: true },
  ];
  const rows = hosts.map((host): Cell[] => {
    const { facts } = host;
    return [
      { text: host.name, paint: 'bold' },
      onlineCell(host),
      takesCell(host),
      { text: facts === undefined ? '' : `${facts.running}/${facts.parallel}` },
      { text: facts === undefined ? '' : bytes(roomOf(facts).availableBytes) },
      { text: facts === undefined ? '' : bytes(facts.cache.capacityBytes) },
      { text: capText(host, 'downBytesPerSecond') },
      { text: capText(host, 'upBytesPerSecond') },
      { text: host.trouble ?? kindsText(host), ...(host.trouble && { paint: 'red' }) },
    ];
  });
  return table(columns, rows, view);
}

/** What holds, or what was set and does not hold yet. */
function capText(
  { state, facts }: ConversionHostLine,
  which: 'upBytesPerSecond' | 'downBytesPerSecond',
): string {
  const set = state?.role[which];
  const held = facts?.[which] ?? state?.inForce?.[which];
  if (set !== undefined && set !== held) return `${rate(set)}, not yet taken over`;
  return held === undefined ? '' : rate(held);
}

/** One of them, with what it lacks and who did what. */
export function conversionHostDetails(host: ConversionHostLine, view: View): string[] {
  const { facts, state, trouble, concerns } = host;
  const deeds = (state?.deeds ?? []).map(
    ({ at, operator, what }) => `${moment(at)} ${operator}: ${what}`,
  );
  return [
    view.theme.paint('bold', host.name),
    ...fieldLines(
      [
        ['State', onlineCell(host).text],
        ['Imports', takesCell(host).text],
        ['Down', capText(host, 'downBytesPerSecond') || 'not known'],
        ['Up', capText(host, 'upBytesPerSecond') || 'not known'],
        ...(state?.trouble === undefined
          ? []
          : [['Not taken over', state.trouble] satisfies [string, string]]),
        ...(trouble === undefined ? [] : [['Trouble', trouble] satisfies [string, string]]),
        ...(facts === undefined ? [] : factFields(facts)),
      ],
      view,
    ),
    ...section(
      'Providers',
      bulletLines(
        (facts?.providers ?? []).map(({ name, kind, address }) => `${name} (${kind}), ${address}`),
        view,
      ),
      view,
    ),
    ...section('What it lacks', concernLines(concerns, view), view),
    ...section('Who did what', bulletLines(deeds, view), view),
  ];
}

function factFields(facts: NonNullable<ConversionHostLine['facts']>): [string, string][] {
  const room = roomOf(facts);
  const { cache } = facts;
  return [
    ['Running', `${facts.running} imports; ${facts.parallel} copies and conversions at a time`],
    ['Cache', `${cache.path}, ${bytes(room.totalBytes)}`],
    ['Free', bytes(room.freeBytes)],
    ['Promised', `${bytes(room.promisedBytes)} that running imports have still to write`],
    ['Available', bytes(room.availableBytes)],
    ['CPUs, memory', `${facts.cpus}, ${bytes(facts.memoryBytes)}`],
    ['Converts', facts.toolVersion ?? facts.toolTrouble ?? 'no'],
  ];
}

/** How full its disks were; the one of the cache first. */
export function usageLines({ cacheDisk, samples }: UsageOverTime, view: View): string[] {
  if (samples.length === 0) return ['Nothing was looked at in that time.'];
  const seen = new Set(samples.flatMap(({ disks }) => Object.keys(disks)));
  const others = [...seen].filter((disk) => disk !== cacheDisk).sort();
  const disks = [...(seen.has(cacheDisk) ? [cacheDisk] : []), ...others];
  const columns: Column[] = [
    { title: 'From' },
    { title: 'Cached VMs', align: 'right' },
    ...disks.map((disk): Column => ({ title: disk, align: 'right', elastic: true })),
  ];
  const rows = samples.map((sample): Cell[] => [
    { text: moment(new Date(sample.at * 1000).toISOString()) },
    { text: bytes(sample.cacheBytes) },
    ...disks.map((disk): Cell => {
      const use = sample.disks[disk];
      if (use === undefined) return { text: '' };
      const { usedBytes, freeBytes } = use;
      const share = percent(usedBytes, usedBytes + freeBytes);
      return { text: `${share}% (${bytes(freeBytes)} free)` };
    }),
  ]);
  return table(columns, rows, view);
}

/** What a person has to know before the role is taken away. */
export const endingLines = (imports: readonly ImportOnHost[], view: View): string[] => [
  imports.length === 1
    ? 'One import runs there, and is cancelled:'
    : `${imports.length} imports run there, and are cancelled:`,
  ...bulletLines(
    imports.map(({ id }) => id),
    view,
  ),
];

/** Why what was set of it does not show yet, if so. */
export function notYetLines(host: ConversionHostLine): string[] {
  const name = harmless(host.name);
  if (!host.online) return [`The worker of ${name} is away, and takes this over once it is back.`];
  if (!namesNoProvider(host)) return [];
  return [
    `The configuration of ${name} names no provider: no VM comes through it, and this is remembered for when it does.`,
    'Add one to `host.providers` there and restart its worker; `vmferry conversion-hosts` lists those that have one.',
  ];
}

/** Of a worker's answer, for one line. */
export const heldText = ({
  downBytesPerSecond,
  upBytesPerSecond,
  parallel,
}: ConversionInForce): string =>
  `down ${rate(downBytesPerSecond)}, up ${rate(upBytesPerSecond)}, ${parallel} at a time`;
