/** Imports as the client would tell them: a provider, a VM, a forecast, an import that plays its statuses. */
import type {
  FerryImport,
  FerryV2vStart,
  ForeignLook,
  ProviderList,
  V2vForecast,
  V2vForecastLine,
  V2vRequest,
} from '../../../cli/ferry.ts';
import { importStoryOf, savedEvents } from './story/saved.ts';
import { importDefaults, importStepNames } from '../../../domain/import.ts';
import type { ForeignVm, ForeignVmSummary } from '../../../domain/foreign.ts';
import type { ImportReport, ImportStatus, ImportStepName } from '../../../domain/import.ts';

const gib = 1024 ** 3;
const at = (ms: number): string =>
  new Date(Date.parse('2026-03-04T10:00:00.000Z') + ms).toISOString();
export const importId = 'import/default/vcenter/vm-42';

export const foreignVm = (change: Partial<ForeignVm> = {}): ForeignVm => ({
  id: 'vm-42',
  name: 'web',
  state: 'running',
  memoryBytes: 4 * gib,
  cpus: 2,
  path: 'DC0/vm/web',
  kind: 'vsphere',
  uuid: '0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90',
  arch: 'x86_64',
  coresPerSocket: 2,
  firmware: 'uefi',
  secureBoot: true,
  tpm: false,
  guestOs: 'debian12_64Guest',
  guestFamily: 'linux',
  disks: [
    {
      key: '2000',
      path: '[ds1] web/web.vmdk',
      capacityBytes: 20 * gib,
      allocationBytes: 6 * gib,
      bus: 'scsi',
      unit: { controller: 0, unit: 0 },
      independent: true,
      shared: false,
      raw: false,
      encrypted: false,
      boot: true,
    },
  ],
  nics: [
    {
      key: '4000',
      mac: '00:50:56:01:02:03',
      network: 'VM Network',
      model: 'vmxnet3',
      connected: false,
    },
  ],
  cdroms: [''],
  snapshots: ['before'],
  guestNetwork: [
    {
      mac: '00:50:56:01:02:03',
      name: 'ens192',
      addresses: [{ address: '192.0.2.7', prefix: 24, origin: 'static' }],
      gateways: ['192.0.2.1'],
      dns: [],
      searchDomains: [],
    },
  ],
  fixedDevices: ['PCI passthrough 0000:03:00.0'],
  ...change,
});

const concern = {
  code: 'snapshots-stay',
  level: 'warning',
  message: 'web has a snapshot, which does not come along',
  remedy: 'Keep the source as long as you need it.',
} as const;

const foreignLook = (): ForeignLook => ({
  provider: 'vcenter',
  conversionHost: 'alpha',
  vm: foreignVm(),
  concerns: [concern],
});

const foreignSummary = (index: number): ForeignVmSummary => ({
  ...{ id: `vm-${index}`, name: `web-${index}`, state: 'shut-off', memoryBytes: gib, cpus: 1 },
  ...{ diskBytes: 0, path: 'DC0/vm' },
});

export const providerList = (): ProviderList => ({
  providers: [
    { host: 'alpha', name: 'vcenter', kind: 'vsphere', address: 'vc.example', reachable: true },
  ],
  unreachable: [],
});

const forecastLine = (change: Partial<V2vForecastLine> = {}): V2vForecastLine => ({
  vm: foreignVm(),
  request: {
    ...importDefaults,
    ...{ provider: 'vcenter', vm: 'vm-42', conversionHost: 'alpha', to: 'beta' },
    networks: { 'VM Network': 'network:default' },
    storage: { pool: 'images', format: 'qcow2' },
    operator: 'ada@desk',
  },
  plan: {
    name: 'web',
    uuid: foreignVm().uuid,
    clone: false,
    domainType: 'kvm',
    machine: 'q35',
    disks: [
      {
        ...{ key: '2000', name: 'sda', capacityBytes: 20 * gib, targetPool: 'images' },
        ...{ targetVolume: 'web-0.qcow2', targetPath: '/srv/web-0.qcow2' },
        ...{ targetFormat: 'qcow2', targetKind: 'file' },
      },
    ],
    nics: [
      {
        ...{ key: '4000', mac: '00:50:56:01:02:03', network: 'network:default' },
        set: { addresses: ['198.51.100.30/24'], gateways: ['198.51.100.1'] },
      },
    ],
    ...{ cpus: 2, memoryBytes: 4 * gib, converted: true, bus: 'virtio-scsi' },
    ...{ secureBoot: true, tpm: false },
  },
  concerns: [concern],
  ...change,
});

export const forecastWith = (change: Partial<V2vForecast> = {}): V2vForecast => ({
  imports: [forecastLine()],
  use: [
    { host: 'beta', what: 'cpus', of: '', wanted: 2, wantedMost: 2, available: 40, fits: true },
    {
      ...{ host: 'beta', what: 'storage', of: 'images', wanted: 6 * gib, wantedMost: 20 * gib },
      ...{ available: 4 * gib, fits: false },
    },
    { host: 'beta', what: 'addresses', of: 'network:default', wanted: 1, wantedMost: 1 },
  ],
  concerns: [],
  ...change,
});

/** What forbids it. */
export const forbidden = (): V2vForecast =>
  forecastWith({
    imports: [
      forecastLine({
        concerns: [
          {
            code: 'network-unmapped',
            level: 'critical',
            message: 'the network "VM Network" of web is mapped to nothing',
            remedy: 'Map it: --map-network SOURCE=bridge:NAME.',
          },
        ],
      }),
    ],
  });

export const importReportWith = (change: Partial<ImportReport> = {}): ImportReport => ({
  id: importId,
  runId: 'run-1',
  kind: 'import',
  vm: { name: 'web', uuid: '' },
  foreign: { provider: 'vcenter', id: 'vm-42', name: 'web', kind: 'vsphere' },
  conversionHost: 'alpha',
  target: 'beta',
  operator: 'ada@desk',
  phase: 'planned',
  steps: importStepNames.map((name) => ({ name, state: 'waiting', attempts: 0 })),
  concerns: [],
  disks: [],
  oneRunning: 'none',
  sourceRunning: false,
  targetRunning: false,
  failedCompensations: [],
  notes: [],
  startedAt: at(0),
  ...change,
});

/** With all steps before `name` done and that one running. */
const stepsUntil = (name: ImportStepName): ImportReport['steps'] =>
  importStepNames.map((one) => {
    const place = importStepNames.indexOf(one) - importStepNames.indexOf(name);
    if (place > 0) return { name: one, state: 'waiting', attempts: 0 };
    const began = { startedAt: at(importStepNames.indexOf(one) * 1000), attempts: 0 };
    if (place === 0) return { name: one, state: 'running', ...began };
    return { name: one, state: 'done', ...began, endedAt: at(60_000) };
  });

export const copyingStatus = (done = 0.42): ImportStatus => ({
  report: importReportWith({ phase: 'copying', steps: stepsUntil('copy') }),
  progress: [
    {
      ...{ name: '2000', capacityBytes: 20 * gib, totalBytes: 6 * gib },
      ...{ doneBytes: Math.floor(6 * gib * done), bytesPerSecond: 100 * 1024 ** 2 },
    },
  ],
});

/** At the beginning of a copy, where the cache kept something compressed. */
export const unpackingStatus = (): ImportStatus => ({
  ...copyingStatus(),
  progress: [],
  conversion: { stage: 'Unpacking 2000, which was kept compressed', percent: 61, elapsedMs: 4000 },
});

export const convertingStatus = (): ImportStatus => ({
  report: importReportWith({ phase: 'converting', steps: stepsUntil('convert') }),
  progress: [],
  conversion: { stage: 'Inspecting the source', percent: 31, elapsedMs: 4000 },
});

/** On its target, with what a report can have. */
export const waitingStatus = (): ImportStatus => ({
  report: importReportWith({
    phase: 'awaiting-commit',
    vm: { name: 'web', uuid: foreignVm().uuid },
    clone: false,
    steps: stepsUntil('commit').map((step) =>
      step.name === 'commit' ? { name: 'commit', state: 'waiting', attempts: 0 } : step,
    ),
    disks: [
      {
        ...{ key: '2000', name: 'sda', capacityBytes: 20 * gib, bytesCopied: 5 * gib },
        ...{ bytesRecopied: 0, bytesFromCache: gib, bytesTransferred: 6 * gib },
        ...{ sourceHash: 'ab'.repeat(32), targetHash: 'ab'.repeat(32), verified: true },
      },
    ],
    oneRunning: 'observed',
    targetRunning: true,
    conversion: {
      ...{ warnings: ['a warning of the tool'], notes: ['Its network is set.'], virtio: true },
      ...{ logPath: '/var/log/x', elapsedMs: 300_000, already: false },
    },
    orders: [{ order: 'retry', operator: 'ada@desk', at: at(5000) }],
    downtimeMs: 95_000,
  }),
  progress: [],
});

export const failedStatus = (change: Partial<ImportReport> = {}): ImportStatus => ({
  report: importReportWith({
    phase: 'failed',
    steps: stepsUntil('convert').map((step) =>
      step.name === 'convert' ? { ...step, state: 'failed' as const, endedAt: at(61_000) } : step,
    ),
    cachedUntil: at(86_400_000),
    fault: {
      ...{ code: 'guest-hibernated', handling: 'permanent', message: 'the Windows of web sleeps' },
      ...{ remedy: 'Start it, shut it down fully, then `vmferry retry`.', host: 'alpha' },
    },
    endedAt: at(62_000),
    ...change,
  }),
  progress: [],
});

/** Shows the given statuses one after the other, the last one for ever, and remembers its orders. */
export class FakeImport implements FerryImport {
  readonly kind = 'import';
  readonly id: string = importId;
  readonly orders: string[] = [];
  readonly coming: ImportStatus[];
  #now: ImportStatus;

  constructor(...statuses: ImportStatus[]) {
    this.coming = statuses;
    this.#now = statuses[0] ?? waitingStatus();
  }

  status(): Promise<ImportStatus> {
    this.#now = this.coming.shift() ?? this.#now;
    return Promise.resolve(this.#now);
  }

  async *watch({ signal }: { signal?: AbortSignal } = {}): AsyncIterable<ImportStatus> {
    do yield await this.status();
    while (this.coming.length > 0 && signal?.aborted !== true);
  }

  story = async () => importStoryOf(await savedEvents('import-committed'));
  commit = () => this.#take('commit');
  cancel = () => this.#take('cancel');
  retry = () => this.#take('retry');
  discard = () => this.#take('discard');
  tune = ({ bandwidthBytesPerSecond = 0 }) =>
    this.#take(`tune ${bandwidthBytesPerSecond}`).then(() => true);
  rollback = ({ discardTargetWrites = false } = {}) =>
    this.#take(`rollback ${discardTargetWrites}`);

  #take(order: string): Promise<void> {
    this.orders.push(order);
    return Promise.resolve();
  }
}

/** What a client does about imports: one provider, whose every VM comes well. */
export const importFerry = () => ({
  providers: () => Promise.resolve(providerList()),
  async *foreignVms() {
    for (let index = 0; index < 3; index += 1) yield await Promise.resolve(foreignSummary(index));
  },
  inspectForeign: () => Promise.resolve(foreignLook()),
  forecastV2v: (_: readonly V2vRequest[]) => Promise.resolve(forecastWith()),
  v2v: (): Promise<FerryV2vStart[]> =>
    Promise.resolve([{ id: importId, vm: { id: 'vm-42', name: 'web' }, import: new FakeImport() }]),
});
