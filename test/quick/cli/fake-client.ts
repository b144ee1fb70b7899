/** A client that plays a move from a script instead of asking a server; also a program to look at the screen with. */
import type { Readable } from 'node:stream';
import type { Config } from '../../../config/schema.ts';
import type { Ferry, FerryMove, HostLine, MoveStatus, Story } from '../../../cli/ferry.ts';
import type { Backend } from '../../../cli/session.ts';
import { conversionFerry } from './fake-conversion-hosts.ts';
import { importFerry } from './fake-import.ts';
import { drainOf, drainPlanWith, drainReportWith, placedWith } from './fake-drain.ts';
import type { Screen, Terminal } from '../../../cli/terminal.ts';
import type { HostFacts } from '../../../domain/host.ts';
import { stepNames } from '../../../domain/move.ts';
import type { MovePlan, MoveReport, Phase, StepName } from '../../../domain/move.ts';

export const epochMs = Date.parse('2026-03-04T10:00:00.000Z');
const at = (ms: number): string => new Date(epochMs + ms).toISOString();
export const vm = { name: 'web-1', uuid: '0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90' };
export const moveId = `migrate/default/${vm.uuid}`;

const coldSteps = stepNames.filter((name) => name !== 'live');

/** A report of a move that has just begun; `change` overrides. */
export const reportWith = (change: Partial<MoveReport> = {}): MoveReport => ({
  id: moveId,
  runId: 'run-1',
  mode: 'cold',
  vm,
  source: 'alpha',
  target: 'beta',
  operator: 'ada@desk',
  phase: 'planned',
  steps: coldSteps.map((name) => ({ name, state: 'waiting', attempts: 0 })),
  concerns: [],
  disks: [],
  oneRunning: 'enforced',
  vmOn: 'alpha',
  vmRunning: true,
  failedCompensations: [],
  notes: [],
  startedAt: at(0),
  ...change,
});

export const statusWith = (change: Partial<MoveReport> = {}): MoveStatus => ({
  report: reportWith(change),
  progress: [],
});

/** How long each step of the played move takes, ms, and the phase it belongs to. */
const script: readonly { step: StepName; phase: Phase; ms: number }[] = [
  { step: 'check', phase: 'checking', ms: 800 },
  { step: 'reserve-target', phase: 'preparing', ms: 300 },
  { step: 'guard-source', phase: 'preparing', ms: 200 },
  { step: 'stop-source', phase: 'stopping', ms: 1500 },
  { step: 'export', phase: 'copying', ms: 250 },
  { step: 'copy', phase: 'copying', ms: 9000 },
  { step: 'verify', phase: 'verifying', ms: 1200 },
  { step: 'define', phase: 'verifying', ms: 200 },
  { step: 'cut-over', phase: 'cutting-over', ms: 300 },
  { step: 'start', phase: 'starting', ms: 2100 },
];

const gib = 1024 ** 3;
const playedDisks = [
  { name: 'vda', capacityBytes: 20 * gib, totalBytes: Math.floor(6.2 * gib) },
  { name: 'vdb', capacityBytes: 100 * gib, totalBytes: Math.floor(41.7 * gib) },
];
const hash = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';

/** The played move as it stands `ms` after its start; ends waiting for a commit. */
export function playedStatus(ms: number): MoveStatus {
  const report = reportWith({ phase: 'awaiting-commit', vmOn: 'beta', downtimeMs: 14_950 });
  report.concerns = [
    {
      code: 'cpu-differs',
      level: 'warning',
      message: 'alpha and beta have different CPU models',
      remedy: 'Nothing to do for a cold move.',
    },
  ];
  const progress: MoveStatus['progress'] = [];
  let from = 0;
  for (const { step: name, phase, ms: takes } of script) {
    const step = report.steps.find((one) => one.name === name)!;
    const share = Math.min(1, (ms - from) / takes);
    step.startedAt = at(from);
    if (name === 'copy' && share > 0.4) {
      step.attempts = 1;
      step.firstError = {
        code: 'worker-lost',
        handling: 'transient',
        message: 'the worker of beta stopped answering during: copy vdb',
        remedy: 'It goes on by itself.',
        host: 'beta',
      };
    }
    if (share < 1) {
      step.state = 'running';
      Object.assign(report, { phase, vmOn: 'alpha', vmRunning: from < 1300 });
      delete report.downtimeMs;
      if (name === 'copy') {
        progress.push(
          ...playedDisks.map((disk, index) => {
            const done = Math.min(1, share * (index === 0 ? 1.6 : 1));
            return {
              ...disk,
              doneBytes: Math.floor(disk.totalBytes * done),
              bytesPerSecond: done < 1 ? 412 * 1024 ** 2 : 0,
            };
          }),
        );
      }
      return { report, progress };
    }
    step.state = 'done';
    step.endedAt = at(from + takes);
    from += takes;
    if (name === 'copy') {
      report.disks = playedDisks.map(({ name: disk, capacityBytes, totalBytes }, index) => ({
        name: disk,
        capacityBytes,
        bytesCopied: totalBytes,
        bytesRecopied: index === 0 ? 0 : 64 * 1024 ** 2,
        verified: false,
      }));
      report.firstError = step.firstError!;
    }
    if (name === 'verify') {
      report.disks = report.disks.map((disk) => ({
        ...disk,
        sourceHash: hash,
        targetHash: hash,
        verified: true,
      }));
    }
  }
  return { report, progress };
}

/** A plan of two disks with nothing against it. */
export const planWith = (change: Partial<MovePlan> = {}): MovePlan => ({
  vm,
  source: 'alpha',
  target: 'beta',
  mode: 'cold',
  running: true,
  concerns: [],
  disks: [
    {
      name: 'vda',
      how: 'copy',
      capacityBytes: 20 * gib,
      allocationBytes: 6 * gib,
      from: { path: '/var/lib/libvirt/images/web-1.qcow2', format: 'qcow2' },
      to: { path: '/srv/fast/web-1.raw', format: 'raw', pool: 'fast' },
    },
    {
      name: 'vdb',
      how: 'shared',
      proof: 'nonce',
      capacityBytes: 100 * gib,
      allocationBytes: 42 * gib,
      from: { path: '/mnt/nfs/web-1-data.raw', format: 'raw' },
      to: { path: '/mnt/nfs/web-1-data.raw', format: 'raw', pool: 'nfs' },
    },
  ],
  steps: coldSteps,
  oneRunning: 'enforced',
  ...change,
});

/** The story of a move that was committed at once. */
const playedStory = (): Story => ({
  id: moveId,
  runId: 'run-1',
  vm,
  source: 'alpha',
  target: 'beta',
  operator: 'ada@desk',
  phase: 'committed',
  end: 'completed',
  startedAt: at(0),
  endedAt: at(17_000),
  vmOn: 'beta',
  vmRunning: true,
  targetHasRun: true,
  downMs: 14_950,
  downNow: false,
  concerns: [],
  failedUndo: [],
  timeline: [
    { kind: 'asked', at: at(0), by: 'ada@desk' },
    { kind: 'ended', at: at(17_000), how: 'completed' },
  ],
});

/** A move that shows the given statuses, one after the other, and remembers its orders. */
export class FakeMove implements FerryMove {
  readonly id = moveId;
  readonly orders: string[] = [];
  /** What comes next; an order may put more here. */
  readonly coming: (MoveStatus | Promise<MoveStatus> | Error)[];
  tunesAtOnce = true;
  onOrder: (order: string) => void = () => undefined;
  #now: MoveStatus;

  constructor(...statuses: (MoveStatus | Promise<MoveStatus> | Error)[]) {
    this.coming = statuses;
    this.#now = statuses.find((one): one is MoveStatus => 'report' in one) ?? statusWith();
  }

  status(): Promise<MoveStatus> {
    return Promise.resolve(this.#now);
  }

  story(): Promise<Story> {
    return Promise.resolve(playedStory());
  }

  async *watch({ signal }: { signal?: AbortSignal } = {}): AsyncIterable<MoveStatus> {
    for (let next = this.coming.shift(); next !== undefined; next = this.coming.shift()) {
      if (next instanceof Error) throw next;
      this.#now = await next;
      if (signal?.aborted === true) return;
      yield this.#now;
    }
  }

  commit = (): Promise<void> => this.#take('commit');
  cancel = (): Promise<void> => this.#take('cancel');
  retry = (): Promise<void> => this.#take('retry');
  tune = (limits: { bandwidthBytesPerSecond?: number; maxDowntimeMs?: number }): Promise<boolean> =>
    this.#take(`tune ${JSON.stringify(limits)}`).then(() => this.tunesAtOnce);
  rollback = (options: { discardTargetWrites?: boolean } = {}): Promise<void> =>
    this.#take(`rollback discard=${options.discardTargetWrites === true}`);

  #take(order: string): Promise<void> {
    this.orders.push(order);
    this.onOrder(order);
    return Promise.resolve();
  }
}

/** Facts of a host that lacks nothing. */
export const factsOf = (name: string): HostFacts => ({
  name,
  hostname: `${name}.example`,
  hostUuid: '00000000-0000-0000-0000-000000000001',
  libvirtVersion: '9.0.0',
  hypervisorVersion: '7.2.0',
  memoryBytes: 64 * gib,
  freeMemoryBytes: 41 * gib,
  cpus: 16,
  arch: 'x86_64',
  machines: [],
  pools: [
    {
      name: 'images',
      type: 'dir',
      active: true,
      path: '/var/lib/libvirt/images',
      capacityBytes: 500 * gib,
      availableBytes: 200 * gib,
    },
  ],
  networks: ['default'],
  bridges: [],
  vms: [],
  guard: { hookLive: true, detail: 'a probe was refused' },
  migrationAddress: '198.51.100.11',
  version: '0.1.0',
});

export const hostLine = (name: string, online = true): HostLine => ({
  name,
  online,
  announcement: { name, version: '0.1.0', migrationAddress: '198.51.100.11', startedAt: at(0) },
});

/** A client that knows one move and two hosts; `change` overrides. */
export const ferryWith = (move: FerryMove, change: Partial<Ferry> = {}): Ferry => ({
  close: () => Promise.resolve(),
  hosts: () => Promise.resolve([hostLine('alpha'), hostLine('beta')]),
  hostFacts: (host) => Promise.resolve(factsOf(host)),
  versions: () => Promise.resolve({ versions: [], waiting: [] }),
  vms: () => Promise.resolve({ vms: [], unreachable: [] }),
  locate: (word) =>
    Promise.resolve({
      host: 'alpha',
      ...vm,
      name: word,
      state: 'running',
      memoryBytes: 4 * gib,
      vcpus: 2,
      diskBytes: 120 * gib,
    }),
  moves: () => Promise.resolve([]),
  serverVersion: () => Promise.resolve('1.32.0'),
  missingSearchAttributes: () => Promise.resolve([]),
  migrate: () => Promise.resolve(move),
  plan: () => Promise.resolve(planWith()),
  move: () => Promise.resolve(move),
  work: () => Promise.resolve(move),
  ...importFerry(),
  ...conversionFerry(),
  place: () => Promise.resolve(placedWith()),
  planDrain: () => Promise.resolve(drainPlanWith()),
  undrain: (host) => Promise.resolve({ host, cancelled: false }),
  drain: () => Promise.resolve({ drain: drainOf(drainReportWith()), joined: false }),
  drainOf: () => drainOf(drainReportWith()),
  ...change,
});

export const backendWith = (ferry: Ferry, change: Partial<Backend> = {}): Backend => ({
  loadConfig: () =>
    Promise.resolve({
      cluster: 'default',
      temporal: { address: '127.0.0.1:7233', namespace: 'default' },
    } as Config),
  connect: () => Promise.resolve(ferry),
  runWorker: () => Promise.resolve(),
  readKeys: () => Promise.resolve(['k1']),
  ...change,
});

export interface RecordedTerminal extends Terminal {
  stdout(): string;
  stderr(): string;
  interrupt(signal?: NodeJS.Signals): void;
}

/** A terminal that keeps what is written to it; its clock stands still. */
export function terminalWith(
  change: {
    isTTY?: boolean;
    columns?: number;
    rows?: number;
    env?: Record<string, string>;
    ask?: Terminal['ask'];
    input?: Readable;
  } = {},
): RecordedTerminal {
  const written = { out: '', err: '' };
  const listeners = new Set<(signal: NodeJS.Signals) => void>();
  const screen = (name: 'out' | 'err'): Screen => ({
    isTTY: change.isTTY ?? false,
    columns: change.columns,
    rows: change.rows,
    write: (text) => {
      written[name] += text;
    },
    onResize: () => () => undefined,
  });
  return {
    out: screen('out'),
    err: screen('err'),
    ...(change.ask === undefined ? {} : { ask: change.ask }),
    input: () => change.input,
    env: change.env ?? {},
    now: () => epochMs + 60_000,
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stdout: () => written.out,
    stderr: () => written.err,
    interrupt: (signal = 'SIGINT') => {
      for (const listener of listeners) listener(signal);
    },
  };
}
