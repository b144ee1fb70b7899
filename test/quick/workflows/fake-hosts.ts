/**
 * Two hosts in memory that keep the promises of `activities/contract.ts`, and a witness that looks at every step
 * whether two copies run. Faults are thrown before or after a verb acts, once or for ever.
 */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type {
  AdmitLiveInput,
  DiskPlan,
  EpochRef,
  HostActivities,
  HeldGuest,
  LiveAdmission,
  MoveLiveInput,
  MoveRef,
  ReserveTargetInput,
  SourceCheck,
} from '../../../activities/contract.ts';
import type { Concern } from '../../../domain/concerns.ts';
import type { Fault, Handling } from '../../../domain/errors.ts';
import type { MoveRequest } from '../../../domain/move.ts';
import { assertTransition } from '../../../domain/ownership.ts';
import type { LedgerEntry, OwnerState } from '../../../domain/ownership.ts';
import { mayGoCold } from '../../../domain/live.ts';
import type { LivePlace } from '../../../domain/live-outcome.ts';
import type { VmFacts } from '../../../domain/vm.ts';

export type Verb = keyof HostActivities;

export interface Injection {
  host: string;
  verb: Verb;
  when: 'before' | 'after';
  handling: Handling;
  /** How many calls fail. */
  times: number;
}

export const vm = { name: 'web', uuid: '6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e001' };

export const disk: DiskPlan = {
  name: 'vda',
  sourcePath: '/pool/web.raw',
  sourceFormat: 'raw',
  capacityBytes: 1024,
  targetPool: 'default',
  targetVolume: 'web.raw',
  targetPath: '/pool/web.raw',
  targetFormat: 'raw',
  sourceKind: 'file',
  targetKind: 'file',
  how: 'copy',
  allocation: 'thin',
  exclusive: true,
};

class FakeHost {
  readonly name: string;
  ledger: LedgerEntry | undefined;
  defined = false;
  running = false;
  autostart = false;
  volumes = new Map<string, string>();
  exports = new Set<string>();
  memory?: { wasRunning: boolean; autostart: boolean };
  made: string[] = [];
  /** Where libvirt says the VM is, if not by `running` and `defined`. */
  place: LivePlace | undefined;
  /** The admission of the latest run. */
  token = '';

  constructor(name: string) {
    this.name = name;
  }

  set(to: OwnerState, { epoch, migrationId }: EpochRef): void {
    assertTransition(this.ledger, { uuid: vm.uuid, host: this.name, to, epoch, migrationId });
    this.ledger = { ...vm, epoch, state: to, migrationId, note: '', disks: [] };
  }

  require(state: OwnerState, { epoch, migrationId }: EpochRef): void {
    const { ledger } = this;
    if (ledger?.state === state && ledger.epoch === epoch && ledger.migrationId === migrationId)
      return;
    throw failure({
      code: 'stale-epoch',
      handling: 'unsafe',
      message: `${this.name}: ${JSON.stringify(ledger)} instead of ${state} ${epoch}`,
      remedy: 'none',
    });
  }

  start(): void {
    // The hook: a VM that vmferry knows starts on its owner alone.
    if (this.ledger !== undefined && this.ledger.state !== 'owner')
      throw new Error('refused by the hook');
    this.running = true;
  }
}

/**
 * How a live run goes. `slips`: it arrives in the moment in which it is called off. `kept`: the source cannot let go of
 * what arrived paused. `unkept`: the guest is there, and libvirt there did not keep its definition. `taken-back`: the target's answer is lost at the switch, and libvirt has the source go on.
 */
export type LiveRun =
  | 'kept'
  | 'seen'
  | 'unkept'
  | 'taken-back'
  | 'arrives'
  | 'waits'
  | 'slips'
  | 'half'
  | 'stuck'
  | 'goes-down'
  | Fault;

const failure = (fault: Fault): ApplicationFailure =>
  ApplicationFailure.create({
    type: fault.code,
    message: fault.message,
    nonRetryable: true,
    details: [fault],
  });

export class FakeWorld {
  readonly alpha = new FakeHost('alpha');
  readonly beta = new FakeHost('beta');
  readonly injections: Injection[] = [];
  /** Everything that happened, for messages of failed tests. */
  readonly log: string[] = [];
  /** Set once two copies ran at a time. */
  splitBrain: string | undefined;
  /** What the target plans. All share one volume here: only their order is of interest. */
  disks: DiskPlan[] = [disk];
  /** How much larger than asked for each volume comes out. */
  volumeSurplusBytes = 0;
  /** Called before each verb: tests order things here. */
  onCall: (host: string, verb: Verb) => Promise<void> | void = () => undefined;

  /** What the target has against a move. */
  concernsOf: (request: MoveRequest) => Concern[] = () => [];
  /** What becomes of each live run, in their order; later ones arrive. */
  readonly liveRuns: LiveRun[] = [];
  /** What runs were told while they ran. */
  readonly tuned: unknown[] = [];
  liveWaits = false;
  /** Of a `seen` run: the target's worker saw the guest arrive, and libvirt ends later, with `libvirtEnds`. */
  readonly arrival = Promise.withResolvers<undefined>();
  libvirtEnds: Promise<unknown> = Promise.resolve();
  /** Of each copy and each live run, bytes a second. */
  readonly caps: number[] = [];
  lastRun = 0;
  lastEnd: Fault | HeldGuest = {};

  constructor(options: { running: boolean }) {
    this.alpha.defined = true;
    this.alpha.running = options.running;
    this.alpha.autostart = true;
    this.alpha.volumes.set(disk.sourcePath, 'the data');
  }

  host(name: string): FakeHost {
    return name === 'alpha' ? this.alpha : this.beta;
  }

  activities(name: 'alpha' | 'beta'): HostActivities {
    const real = verbs(this.host(name), this);
    const wrapped = Object.entries(real).map(([verb, act]) => [
      verb,
      async (input: never) =>
        this.#call({ name, verb: verb as Verb }, () => (act as (i: never) => unknown)(input)),
    ]);
    return Object.fromEntries(wrapped) as HostActivities;
  }

  async #call({ name, verb }: { name: string; verb: Verb }, act: () => unknown): Promise<unknown> {
    this.log.push(`${name} ${verb}`);
    await this.onCall(name, verb);
    this.#inject(name, verb, 'before');
    const result = await act();
    if (this.alpha.running && this.beta.running) this.splitBrain ??= `after ${name} ${verb}`;
    this.#inject(name, verb, 'after');
    return result;
  }

  #inject(host: string, verb: Verb, when: 'before' | 'after'): void {
    const found = this.injections.find(
      (one) => one.host === host && one.verb === verb && one.when === when && one.times > 0,
    );
    if (found === undefined) return;
    found.times -= 1;
    throw failure({
      code: `injected-${found.handling}`,
      handling: found.handling,
      message: `injected ${when} ${verb}`,
      remedy: 'This is a test.',
      host,
    });
  }
}

const facts = (host: FakeHost): VmFacts => ({
  ...vm,
  host: host.name,
  state: host.running ? 'running' : 'shut-off',
  persistent: true,
  autostart: host.autostart,
  hasManagedSave: false,
  snapshots: [],
  checkpoints: [],
  memoryBytes: 1,
  vcpus: 1,
  domainType: 'qemu',
  arch: 'x86_64',
  machine: 'q35',
  emulator: '/usr/bin/qemu',
  disks: [],
  nics: [],
  hostFiles: [],
  fixedDevices: [],
});

const endpoint = { address: '198.51.100.11', port: 49300, exportName: 'x', serverName: 'alpha' };
const view = ({ ledger }: FakeHost) =>
  ledger === undefined ? {} : { ledger: { state: ledger.state, epoch: ledger.epoch } };

const figures = { steps: [], elapsedMs: 900, downtimeMs: 12, iterations: 3, postCopy: false };

function placeOf(host: FakeHost): LivePlace {
  if (host.place !== undefined) return host.place;
  if (host.running) return 'running';
  return host.defined ? 'off' : 'gone';
}

/** The guest goes over; the target's guard lets it in by the token of its run alone. */
function goOver({ alpha, beta }: FakeWorld, { token, hold }: MoveLiveInput): void {
  if (beta.ledger?.state !== 'incoming' || beta.token === '' || beta.token !== token)
    throw new Error(`refused by the hook: ${token}, not ${beta.token}`);
  beta.token = '';
  alpha.running = false;
  alpha.place = 'moved-away';
  beta.defined = true;
  beta.running = hold !== true;
  beta.place = hold === true ? 'held' : undefined;
}

/** As the source's libvirt has a held guest go on at the target. */
function letGo({ beta }: FakeWorld): void {
  if (beta.place !== 'held') return;
  beta.place = undefined;
  beta.running = true;
}

const addressOf = ({ name }: FakeHost): string => `${name}.test`;

/** Only an activity that beats hears that it is called off. */
async function calledOff(unless?: Promise<unknown>): Promise<boolean> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 200);
  const isCalledOff = context.cancelled.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([isCalledOff, ...(unless ? [unless.then(() => false)] : [])]);
  } finally {
    clearInterval(beat);
  }
}

async function playRun(world: FakeWorld, input: MoveLiveInput): Promise<Fault | HeldGuest> {
  const run = world.liveRuns.shift() ?? 'arrives';
  if (typeof run === 'object') return run;
  switch (run) {
    case 'arrives':
      goOver(world, input);
      letGo(world);
      return { forMs: 3 };
    case 'seen':
      goOver(world, input);
      letGo(world);
      world.arrival.resolve(undefined);
      await world.libvirtEnds;
      return { forMs: 3 };
    case 'kept':
      goOver(world, input);
      return { trouble: 'no way there' };
    case 'unkept':
      goOver(world, input);
      letGo(world);
      return { ...notKept };
    case 'taken-back':
      goOver(world, input);
      world.alpha.running = true;
      world.alpha.place = undefined;
      return { ...lostAnswer };
    case 'waits':
    case 'slips':
      world.liveWaits = true;
      await calledOff();
      if (run === 'slips') goOver(world, input);
      throw new CancelledFailure('called off');
    case 'half':
      goOver(world, input);
      world.alpha.place = 'switching';
      return { ...endedAtSwitch };
    case 'stuck':
      world.alpha.running = false;
      world.alpha.place = 'switching';
      return { ...endedAtSwitch };
    case 'goes-down':
      world.alpha.running = false;
      return {};
  }
}

const notKept: Fault = {
  code: 'live-target-not-kept',
  handling: 'needs-operator',
  message: 'the definition was not kept',
  remedy: 'Define it there.',
};

/** As the source's worker tells it (activities/live/run-outcome.ts). */
const endedAtSwitch: Fault = {
  code: 'live-outcome-unknown',
  handling: 'outcome-unknown',
  message: 'it ended at the switch',
  remedy: 'none',
};

const lostAnswer: Fault = {
  code: 'live-interrupted',
  handling: 'transient',
  message: 'the answer of the target was lost',
  remedy: 'none',
};

function liveVerbs(host: FakeHost, world: FakeWorld): LiveVerbs {
  const view = () => ({ place: placeOf(host), job: 'none' as const });
  const admit = (input: AdmitLiveInput): LiveAdmission => {
    host.require('incoming', input);
    if (host.running) throw new Error('it is here already');
    host.token = `run ${input.run}`;
    return { token: host.token, ...(input.mayHold === true ? { holds: true } : {}) };
  };
  return {
    reserveLive: (input) => {
      const disks = reserve(host, world, input);
      return Promise.resolve({ disks, leave: admit({ ...input, run: 1 }) });
    },
    admitLive: (input) => Promise.resolve(admit(input)),
    moveLive: async (input) => {
      host.require('migrating-out', input);
      world.caps.push(input.bandwidthBytesPerSecond);
      // A run is begun once, however often it is asked for.
      if (world.lastRun !== input.run) {
        world.lastRun = input.run;
        if (!host.running) throw new Error('it does not run');
        world.lastEnd = await playRun(world, input);
      }
      const { lastEnd: end } = world;
      if ('code' in end) return { ...figures, fault: end };
      const isAway = host.place === 'moved-away';
      return { ...figures, ...(input.hold === true && isAway ? { held: end } : {}) };
    },
    liveView: () => Promise.resolve(view()),
    tuneLive: (input) => {
      world.tuned.push(input);
      return Promise.resolve(true);
    },
    tuneCopy: (input) => {
      world.tuned.push(input);
      return Promise.resolve(true);
    },
    endLive: (input) => {
      host.require('migrating-out', input);
      return Promise.resolve();
    },
    withdrawLive: (input) => {
      if (host.ledger?.state === 'incoming') host.require('incoming', input);
      host.token = '';
      return Promise.resolve(view());
    },
    settleLive: (input) => {
      host.require('migrating-out', input);
      if (host.place !== 'switching') throw new Error(`settled while ${String(host.place)}`);
      host.place = input.to === 'off' ? 'off' : undefined;
      host.running = input.to === 'resume';
      return Promise.resolve();
    },
    awaitArrival: async ({ sourceAddress }) => {
      if (sourceAddress !== addressOf(world.alpha))
        throw new Error(`nobody is at ${sourceAddress}`);
      if (await calledOff(world.arrival.promise)) throw new CancelledFailure('called off');
      return view();
    },
    settleArrival: (input) => {
      host.require('incoming', input);
      if (input.to === 'off') {
        if (host.running) throw new Error('ended while it runs');
        host.place = 'gone';
      } else letGo(world);
      return Promise.resolve(view());
    },
  };
}

function reserve(host: FakeHost, world: FakeWorld, input: ReserveTargetInput): DiskPlan[] {
  host.set('incoming', input);
  if (!host.volumes.has(disk.targetPath)) {
    host.volumes.set(disk.targetPath, '');
    host.made.push(disk.targetPath);
  }
  const { volumeSurplusBytes: more } = world;
  return input.disks.map((one) =>
    more === 0 ? one : { ...one, targetCapacityBytes: one.capacityBytes + more },
  );
}

type LiveVerbs = Pick<
  HostActivities,
  | 'reserveLive'
  | 'admitLive'
  | 'moveLive'
  | 'liveView'
  | 'tuneLive'
  | 'tuneCopy'
  | 'endLive'
  | 'withdrawLive'
  | 'settleLive'
  | 'awaitArrival'
  | 'settleArrival'
>;

function verbs(host: FakeHost, world: FakeWorld): HostActivities {
  const now = <T>(value: T): Promise<T> => Promise.resolve(value);
  return {
    ...liveVerbs(host, world),
    listVms: () => now([]),
    inspectVm: () => now(facts(host)),
    findVm: () => now(facts(host)),
    hostFacts: () => Promise.reject(new Error('not played')),
    checkSource: ({ migrationId, request }) => {
      if (mayGoCold(request)) host.exports.add(`${migrationId}:definition`);
      const check: SourceCheck = {
        vm: facts(host),
        concerns: [],
        guardLive: true,
        hostUuid: 'a',
        definitionHash: '',
        definition: endpoint,
        nonces: [],
        migrationAddress: addressOf(host),
        ...view(host),
      };
      return now(check);
    },
    checkTarget: ({ request }) =>
      now({
        concerns: world.concernsOf(request),
        guardLive: true,
        disks: world.disks,
        ...view(host),
      }),
    reserveTarget: (input) => now(reserve(host, world, input)),
    guardSource: (input) => {
      host.memory ??= { wasRunning: host.running, autostart: host.autostart };
      host.set('migrating-out', input);
      host.autostart = false;
      return now(undefined);
    },
    ensureStopped: (input) => {
      host.require('migrating-out', input);
      host.running = false;
      return now({ wasRunning: host.memory?.wasRunning ?? false, downForMs: 0, forced: false });
    },
    ensureExport: (input) => {
      host.require('migrating-out', input);
      host.exports.add(`${input.migrationId}:${input.disk.name}`);
      return now({ endpoint, fingerprint: 'f1' });
    },
    offerState: (input) => {
      host.require('migrating-out', input);
      host.exports.add(`${input.migrationId}:state`);
      return now({ endpoint, hash: 'h', sizeBytes: 8 });
    },
    ensureState: (input) => {
      host.require('incoming', input);
      return now(undefined);
    },
    closeExports: ({ migrationId }: MoveRef) => {
      for (const name of host.exports) if (name.startsWith(migrationId)) host.exports.delete(name);
      return now(undefined);
    },
    ensureCopied: (input) => {
      host.require('incoming', input);
      world.caps.push(input.bandwidthBytesPerSecond);
      host.volumes.set(disk.targetPath, world.alpha.volumes.get(disk.sourcePath) ?? 'nothing');
      return now({ bytesCopied: 8, bytesRecopied: 0 });
    },
    hashDisk: (input) => {
      const path = input.side === 'source' ? disk.sourcePath : disk.targetPath;
      return now({ root: `hash of ${host.volumes.get(path) ?? ''}` });
    },
    ensureDefined: (input) => {
      host.require('incoming', input);
      host.defined = true;
      return now({ complaint: '' });
    },
    releaseSource: (input) => {
      if (host.running || host.place === 'switching') throw new Error('released while it runs');
      host.set('released', input);
      return now(undefined);
    },
    takeOwnership: (input) => {
      host.set('owner', input);
      return now(undefined);
    },
    ensureStarted: (input) => {
      host.require('owner', input);
      host.start();
      return now({ upForMs: 0 });
    },
    ensureHealthy: () => now(undefined),
    settleTarget: (input) => {
      host.require('owner', input);
      host.autostart = input.autostart;
      host.made = [];
      return now(undefined);
    },
    removeSource: (input) => {
      host.require('released', input);
      host.defined = false;
      host.volumes.delete(disk.sourcePath);
      delete host.memory;
      return now({ left: [] });
    },
    revokeTarget: (input) => {
      host.set('released', input);
      host.running = false;
      host.place = undefined;
      return now(undefined);
    },
    clearTarget: (input) => {
      if (input.keepVolumes !== true) for (const path of host.made) host.volumes.delete(path);
      host.made = [];
      host.defined = false;
      if (host.ledger?.state === 'incoming' && host.ledger.migrationId === input.migrationId)
        host.ledger = undefined;
      return now(undefined);
    },
    restoreSource: (input) => {
      if (host.memory !== undefined) {
        host.set('owner', input);
        host.autostart = host.memory.autostart;
        if (input.restart && host.memory.wasRunning) host.start();
        delete host.memory;
      }
      return now({ running: host.running });
    },
  };
}
