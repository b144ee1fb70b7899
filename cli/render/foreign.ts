/** What is known of foreign platforms and their VMs, and what imports of them would do. */
import { blocks } from '../../domain/concerns.ts';
import type { ForeignDisk, ForeignNic, ForeignVm, ForeignVmSummary } from '../../domain/foreign.ts';
import type { PlannedImportNic } from '../../domain/import.ts';
import type { UseLine } from '../../domain/import/use.ts';
import type { ForeignLook, ProviderState, V2vForecast, V2vForecastLine } from '../ferry.ts';
import { bytes } from './quantity.ts';
import { bulletLines, concernLines, fieldLines, indent, section } from './report-parts.ts';
import { phaseWords } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { harmless } from './text.ts';
import type { View } from './theme.ts';

const inner = (view: View): View => ({ ...view, width: view.width - indent });
const shifted = (lines: readonly string[]): string[] =>
  lines.map((line) => ' '.repeat(indent) + line);

export function providerLines(providers: readonly ProviderState[], view: View): string[] {
  if (providers.length === 0)
    return [
      'No providers: add `host.providers` to the configuration of a host and restart its worker.',
    ];
  const { glyphs } = view.theme;
  const rows = providers.map(({ name, kind, address, host, reachable, trouble }): Cell[] => [
    { text: name, paint: 'bold' },
    { text: kind },
    { text: address },
    { text: host },
    reachable === true
      ? { text: `${glyphs.done} reachable`, paint: 'green' }
      : { text: `${glyphs.failed} ${trouble ?? 'not reachable'}`, paint: 'red' },
  ]);
  const columns = [
    { title: 'Provider' },
    { title: 'Kind' },
    { title: 'Address' },
    { title: 'By host' },
    { title: 'State', elastic: true },
  ];
  return table(columns, rows, view);
}

const sizeOf = (value: number): string => (value === 0 ? '' : bytes(value));
const stateStyle = (state: string): 'green' | 'dim' | 'yellow' =>
  state === 'running' ? 'green' : state === 'shut-off' ? 'dim' : 'yellow';

export function foreignVmLines(vms: readonly ForeignVmSummary[], view: View): string[] {
  if (vms.length === 0) return ['No VMs.'];
  const rows = vms.map((vm): Cell[] => [
    { text: vm.name, paint: 'bold' },
    { text: phaseWords(vm.state), paint: stateStyle(vm.state) },
    { text: vm.cpus === 0 ? '' : String(vm.cpus) },
    { text: sizeOf(vm.memoryBytes) },
    { text: sizeOf(vm.diskBytes) },
    { text: vm.id, paint: 'dim' },
    { text: vm.path, paint: 'dim' },
  ]);
  const columns = [
    { title: 'VM' },
    { title: 'State' },
    { title: 'CPUs', align: 'right' },
    { title: 'Memory', align: 'right' },
    { title: 'Disks', align: 'right' },
    { title: 'ID' },
    { title: 'Where', elastic: true },
  ] as const;
  return table(columns, rows, view);
}

function diskRows(disks: readonly ForeignDisk[], view: View): string[] {
  const marks = (disk: ForeignDisk): string =>
    [
      ...(disk.boot === true ? ['boot'] : []),
      ...(['independent', 'shared', 'raw', 'encrypted'] as const).filter((one) => disk[one]),
    ].join(', ');
  const rows = disks.map((disk): Cell[] => [
    { text: disk.key, paint: 'bold' },
    { text: bytes(disk.capacityBytes) },
    { text: sizeOf(disk.allocationBytes) },
    { text: disk.bus },
    { text: marks(disk), paint: 'yellow' },
    { text: disk.path, paint: 'dim' },
  ]);
  const columns = [
    { title: 'Key' },
    { title: 'Size', align: 'right' },
    { title: 'Data', align: 'right' },
    { title: 'Bus' },
    { title: '' },
    { title: 'Where', elastic: true },
  ] as const;
  return rows.length === 0 ? [] : shifted(table(columns, rows, inner(view)));
}

function nicRows({ nics, guestNetwork }: ForeignVm, view: View): string[] {
  const addressesOf = ({ mac }: ForeignNic): string =>
    guestNetwork
      .filter((one) => one.mac === mac)
      .flatMap(({ addresses }) => addresses)
      .map(({ address, prefix, origin }) => `${address}/${prefix} ${origin}`)
      .join(', ');
  const rows = nics.map((nic): Cell[] => [
    { text: nic.key, paint: 'bold' },
    { text: nic.network },
    { text: nic.mac },
    { text: nic.model },
    { text: nic.connected ? '' : 'not connected', paint: 'yellow' },
    { text: addressesOf(nic) },
  ]);
  const columns = [
    { title: 'Key' },
    { title: 'Network' },
    { title: 'MAC' },
    { title: 'Model' },
    { title: '' },
    { title: 'Addresses', elastic: true },
  ];
  return rows.length === 0 ? [] : shifted(table(columns, rows, inner(view)));
}

const orNone = (lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [`${' '.repeat(indent)}none`] : lines;

/** One VM: facts, disks, cards, and what speaks against bringing it. */
export function foreignLookLines(
  { provider, conversionHost, vm, concerns }: ForeignLook,
  view: View,
): string[] {
  const firmware = [
    vm.firmware.toUpperCase(),
    ...(vm.secureBoot ? ['Secure Boot'] : []),
    ...(vm.tpm ? ['TPM'] : []),
  ].join(', ');
  const cpus =
    vm.coresPerSocket > 1 ? `${vm.cpus}, ${vm.coresPerSocket} a socket` : String(vm.cpus);
  const entries: [string, string][] = [
    ['VM', `${vm.name}  ${phaseWords(vm.state)}`],
    ['ID', vm.id],
    ['UUID', vm.uuid],
    ['At', `${provider} (${vm.kind}), seen by ${conversionHost}`],
    ['Where', vm.path],
    ['Guest', `${vm.guestOs === '' ? 'not told' : vm.guestOs} (${vm.guestFamily})`],
    ['CPUs', `${cpus}, ${vm.arch}`],
    ['Memory', bytes(vm.memoryBytes)],
    ['Firmware', firmware],
    ['CD-ROMs', vm.cdroms.map((path) => (path === '' ? 'empty' : path)).join(', ')],
    ['Snapshots', vm.snapshots.join(', ')],
    ['Stay behind', vm.fixedDevices.join(', ')],
  ];
  return [
    ...fieldLines(
      entries.filter(([, text]) => text !== ''),
      view,
    ),
    ...section('Disks', orNone(diskRows(vm.disks, view)), view),
    ...section('Network', orNone(nicRows(vm, view)), view),
    ...section('Findings', orNone(concernLines(concerns, view)), view),
  ];
}

const useWords = {
  cpus: 'CPUs',
  memory: 'memory',
  storage: 'storage',
  addresses: 'addresses',
} as const;

/** Expected use of CPU, memory, storage and addresses against what the targets have. */
function useLines(use: readonly UseLine[], view: View): string[] {
  const amount = (what: UseLine['what'], value: number): string =>
    what === 'memory' || what === 'storage' ? bytes(value) : String(value);
  const { glyphs } = view.theme;
  const rows = use.map(({ host, what, of, wanted, wantedMost, available, fits }): Cell[] => [
    { text: host },
    { text: of === '' ? useWords[what] : `${useWords[what]} ${of}` },
    { text: amount(what, wanted) },
    { text: amount(what, wantedMost) },
    { text: available === undefined ? 'not known' : amount(what, available) },
    fits === undefined
      ? { text: '' }
      : fits
        ? { text: glyphs.done, paint: 'green' }
        : { text: `${glyphs.failed} too little`, paint: 'red' },
  ]);
  if (rows.length === 0) return [];
  const columns = [
    { title: 'Target' },
    { title: 'What', elastic: true },
    { title: 'Wanted', align: 'right' },
    { title: 'At most', align: 'right' },
    { title: 'There', align: 'right' },
    { title: '' },
  ] as const;
  return shifted(table(columns, rows, inner(view)));
}

function planRows(imports: readonly V2vForecastLine[], view: View): string[] {
  const { glyphs } = view.theme;
  const rows = imports.map(({ vm, request, plan, concerns }): Cell[] => {
    const name = plan?.name ?? vm.name;
    const stops = vm.state === 'running' && plan?.clone === false;
    const how = [
      plan?.clone === true ? 'clone' : stops ? `move, ${phaseWords(request.running)}` : 'move',
      request.convert === 'no' ? 'not converted' : 'converted',
    ].join(', ');
    const way = `${request.conversionHost} ${glyphs.arrow} ${request.to}`;
    return [
      blocks(concerns)
        ? { text: glyphs.failed, paint: 'red' }
        : { text: glyphs.done, paint: 'green' },
      { text: name === vm.name ? name : `${vm.name} ${glyphs.arrow} ${name}`, paint: 'bold' },
      { text: phaseWords(vm.state) },
      { text: how },
      { text: way },
      { text: plan === undefined ? '' : String(plan.cpus) },
      { text: plan === undefined ? '' : bytes(plan.memoryBytes) },
      { text: String(plan?.disks.length ?? '') },
    ];
  });
  const columns = [
    { title: '' },
    { title: 'VM', elastic: true },
    { title: 'State' },
    { title: 'How' },
    { title: 'By, to' },
    { title: 'CPUs', align: 'right' },
    { title: 'Memory', align: 'right' },
    { title: 'Disks', align: 'right' },
  ] as const;
  return table(columns, rows, view);
}

/** Where each disk and card of a single VM goes. */
function placesOf({ vm, plan }: V2vForecastLine, view: View): string[] {
  if (plan === undefined) return [];
  const disks = plan.disks.map(
    ({ key, name, targetPool, targetVolume, targetFormat, capacityBytes }) =>
      `disk ${key} (${bytes(capacityBytes)}) becomes ${name}: ${targetVolume} (${targetFormat}) in ${targetPool}`,
  );
  const cards = plan.nics.map(({ key, mac, network, set }) => {
    const from = vm.nics.find((nic) => nic.key === key)?.network;
    const given = set === undefined ? '' : `, with ${setText(set)}`;
    return from === undefined
      ? `a new card ${mac} on ${network}`
      : `card ${mac} goes from ${from} to ${network}${given}`;
  });
  return bulletLines([...disks, ...cards], view);
}

const setText = ({
  addresses,
  gateways = [],
  dns = [],
}: NonNullable<PlannedImportNic['set']>): string =>
  [
    addresses.join(', '),
    ...(gateways.length === 0 ? [] : [`gateway ${gateways.join(', ')}`]),
    ...(dns.length === 0 ? [] : [`name server ${dns.join(', ')}`]),
  ].join('; ');

/** What imports would do, before a yes. */
export function forecastLines({ imports, use, concerns }: V2vForecast, view: View): string[] {
  const [only] = imports;
  const findings = imports.flatMap(({ vm, concerns: own }) => {
    if (own.length === 0) return [];
    const lines = concernLines(own, view);
    return imports.length === 1
      ? lines
      : [`${' '.repeat(indent)}${view.theme.paint('bold', harmless(vm.name))}`, ...lines];
  });
  return [
    ...planRows(imports, view),
    ...(imports.length === 1 && only !== undefined
      ? section('Places', placesOf(only, view), view)
      : []),
    ...section('Expected use', useLines(use, view), view),
    ...section('Findings', [...concernLines(concerns, view), ...findings], view),
  ];
}
