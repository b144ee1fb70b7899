/**
 * A source, a conversion host and a target in memory that keep the promises of `activities/import/contract.ts`, and a
 * witness that looks at every step whether source and target run at once.
 */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { EpochRef, HostActivities } from '../../../activities/contract.ts';
import type { ImportActivities } from '../../../activities/import/contract.ts';
import type { Concern } from '../../../domain/concerns.ts';
import type { Fault, Handling } from '../../../domain/errors.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import type { ConversionHostFacts, ImportPlan } from '../../../domain/import.ts';
import { modeOfImport } from '../../../domain/import/mode.ts';
import { assertTransition } from '../../../domain/ownership.ts';
import type { LedgerEntry, OwnerState } from '../../../domain/ownership.ts';

export type Verb = keyof HostActivities | keyof ImportActivities;
export type PlayedVerbs = Record<string, (input: never) => Promise<unknown>>;

export interface Injection {
  verb: Verb;
  when: 'before' | 'after';
  handling: Handling;
  code?: string;
  /** How many calls fail. */
  times: number;
}

export const foreignVm: ForeignVm = {
  id: 'vm-42',
  name: 'web',
  kind: 'vsphere',
  state: 'shut-off',
  uuid: '6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e042',
  path: 'DC0/vm/web',
  arch: 'x86_64',
  cpus: 2,
  coresPerSocket: 1,
  memoryBytes: 1024 ** 3,
  firmware: 'bios',
  secureBoot: false,
  tpm: false,
  guestOs: 'debian12_64Guest',
  guestFamily: 'linux',
  disks: ['2000', '2001'].map((key, unit) => ({
    ...{ key, path: `[ds] web/${key}.vmdk`, capacityBytes: 4096, allocationBytes: 4096 },
    ...{ bus: 'scsi', unit: { controller: 0, unit } },
    ...{ independent: false, shared: false, raw: false, encrypted: false },
  })),
  nics: [
    { key: '4000', mac: '00:50:56:00:00:01', network: 'VM', model: 'vmxnet3', connected: true },
  ],
  cdroms: [],
  snapshots: [],
  guestNetwork: [],
  fixedDevices: [],
};

const facts: ConversionHostFacts = {
  name: 'alpha',
  arch: 'x86_64',
  cpus: 8,
  memoryBytes: 16 * 1024 ** 3,
  cache: { path: '/cache', capacityBytes: 1e12, availableBytes: 1e12 },
  toolVersion: '2.2.0',
  virtioWin: false,
  kvm: false,
  providers: [{ name: 'vc', kind: 'vsphere', address: 'vc.example' }],
  running: 0,
  parallel: 10,
  promisedBytes: 0,
};

const failure = (fault: Fault): ApplicationFailure =>
  ApplicationFailure.create({
    type: fault.code,
    message: fault.message,
    nonRetryable: true,
    details: [fault],
  });

export class ImportWorld {
  readonly source: { running: boolean; paused: boolean; memory?: { wasRunning: boolean } };
  /** What the conversion host has: keys of whole disks, whether they were converted, for how long it is kept, and how. */
  readonly cache = { disks: new Set<string>(), converted: false, until: '', compress: false };
  readonly exports = new Set<string>();
  readonly target = { volumes: new Set<string>(), defined: false, running: false };
  ledger: LedgerEntry | undefined;
  readonly injections: Injection[] = [];
  readonly log: string[] = [];
  /** Bytes that crossed from the source. */
  crossed = 0;
  splitBrain: string | undefined;
  /** The system of the guest, as the target and the conversion were told of it. */
  readonly judgedAs: string[] = [];
  readonly convertedAs: string[] = [];
  /** What was rehearsed, and what comes of the next one. */
  readonly rehearsed: ImportPlan[] = [];
  outcome: 'proved' | 'unproved' = 'proved';
  /** Caps that a running copy was given, and those that transfers asked for. */
  readonly caps: number[] = [];
  readonly transferCaps: number[] = [];
  /** What the conversion host lets this import send; another one than that never comes by itself. */
  share = 0;
  newShare: () => Promise<number> = () => Context.current().cancelled;
  /** Why its cache has no place for this import, by one after the other. */
  readonly waits: Fault[] = [];
  /** What the platform says of the VM. */
  readonly said: Concern[] = [];
  onCall: (verb: Verb) => Promise<void> | void = () => undefined;

  constructor(options: { running: boolean }) {
    this.source = { running: options.running, paused: false };
  }

  activities(): PlayedVerbs {
    const verbs = { ...this.#conversionHost(), ...this.#target() } as PlayedVerbs;
    return Object.fromEntries(
      Object.entries(verbs).map(([verb, act]) => [
        verb,
        (input: never) => this.#play(verb as Verb, () => act(input)),
      ]),
    );
  }

  async #play(verb: Verb, act: () => Promise<unknown>): Promise<unknown> {
    this.log.push(verb);
    await this.onCall(verb);
    if (Context.current().cancellationSignal.aborted) throw new CancelledFailure(verb);
    this.#inject(verb, 'before');
    const result = await act();
    this.#inject(verb, 'after');
    if (this.source.running && this.target.running) this.splitBrain ??= verb;
    return result;
  }

  #inject(verb: Verb, when: Injection['when']): void {
    const found = this.injections.find(
      (one) => one.verb === verb && one.when === when && one.times > 0,
    );
    if (found === undefined) return;
    found.times -= 1;
    const { handling, code = 'injected' } = found;
    throw failure({ code, handling, message: `${when} ${verb}`, remedy: 'none' });
  }

  #vm(): ForeignVm {
    return { ...foreignVm, state: this.source.running ? 'running' : 'shut-off' };
  }

  #conversionHost(): Partial<ImportActivities> {
    const { source, cache } = this;
    return {
      checkForeign: () => {
        const check = { vm: this.#vm(), concerns: this.said, host: facts, cachedBytes: 0 };
        return Promise.resolve(check);
      },
      reserveCache: ({ compress = false }) => {
        cache.compress = compress;
        const fault = this.waits.shift();
        return Promise.resolve(fault === undefined ? { granted: true } : { granted: false, fault });
      },
      uploadShare: ({ known }) => {
        if (known === undefined) return Promise.resolve({ bytesPerSecond: this.share });
        return this.newShare().then((bytesPerSecond) => ({ bytesPerSecond }));
      },
      stopForeign: ({ running }) => {
        source.memory ??= { wasRunning: source.running };
        source.running = false;
        const forced = running === 'shutdown-or-force-off' ? ({ forced: true } as const) : {};
        return Promise.resolve({ ...source.memory, downForMs: 5, ...forced });
      },
      ensureCached: ({ disks, running }) => {
        if (running === 'pause' && source.running) source.paused = true;
        const done = disks.map((key) => {
          const found = cache.disks.has(key);
          cache.disks.add(key);
          this.crossed += found ? 0 : 4096;
          const bytes = { bytesCopied: found ? 0 : 4096, bytesFromCache: found ? 4096 : 0 };
          return { key, ...bytes, bytesRecopied: 0 };
        });
        return Promise.resolve({ disks: done });
      },
      tuneCache: ({ bandwidthBytesPerSecond }) => {
        this.caps.push(bandwidthBytesPerSecond);
        return Promise.resolve(true);
      },
      verifyForeign: () => {
        if (!source.running) return Promise.resolve();
        cache.disks.clear();
        const message = 'it runs';
        throw failure({ code: 'source-changed', handling: 'unsafe', message, remedy: 'none' });
      },
      verifyCached: ({ disks }) => {
        if (disks.every((key) => cache.disks.has(key))) return Promise.resolve();
        throw new Error('not cached');
      },
      ensureConverted: ({ vm }) => {
        this.convertedAs.push(vm.guestFamily);
        const already = cache.converted;
        cache.converted = true;
        const said = { warnings: [], notes: [], logPath: '/log', elapsedMs: 1, already };
        return Promise.resolve(said);
      },
      checkRehearsal: () => Promise.resolve(),
      rehearse: ({ plan, wish }) => {
        if (!cache.converted || this.target.volumes.size > 0) throw new Error('out of order');
        this.rehearsed.push(plan);
        const { outcome } = this;
        const seen = { saw: 'it was seen', elapsedMs: 1, emulated: true, console: ['login:'] };
        return Promise.resolve({ outcome, check: wish.check.kind, ...seen });
      },
      ensureCachedExport: ({ name, overlay }) => {
        this.exports.add(name);
        const endpoint = { address: '', port: 1, exportName: name, serverName: 'alpha' };
        return Promise.resolve({ endpoint, fingerprint: `${name}:${overlay}` });
      },
      hashCached: ({ key }) => Promise.resolve({ root: key }),
      closeCachedExports: () => {
        this.exports.clear();
        return Promise.resolve();
      },
      keepCache: ({ seconds }) => {
        if (seconds === 0) cache.disks.clear();
        if (cache.disks.size === 0) return Promise.resolve({});
        cache.until = '2030-01-01T00:00:00Z';
        return Promise.resolve({ until: cache.until });
      },
      restartForeign: ({ restart }) => {
        source.paused = false;
        const wasStopped = source.memory !== undefined;
        if (restart && source.memory?.wasRunning === true) source.running = true;
        return Promise.resolve({ running: source.running, wasStopped });
      },
    };
  }

  #set(to: OwnerState, { epoch, migrationId, vm }: EpochRef): void {
    assertTransition(this.ledger, { uuid: vm.uuid, host: 'beta', to, epoch, migrationId });
    this.ledger = { ...vm, epoch, state: to, migrationId, note: '', disks: [] };
  }

  #require(state: OwnerState, { epoch }: EpochRef): void {
    if (this.ledger?.state === state && this.ledger.epoch === epoch) return;
    const message = `${JSON.stringify(this.ledger)} instead of ${state} ${epoch}`;
    throw failure({ code: 'stale-epoch', handling: 'unsafe', message, remedy: 'none' });
  }

  #target(): Partial<HostActivities & ImportActivities> {
    const { target } = this;
    return {
      checkImportTarget: ({ request, foreign, vm }) => {
        this.judgedAs.push(foreign.vm.guestFamily);
        const clone = modeOfImport(foreign.vm, request) === 'clone';
        return Promise.resolve({ concerns: [], guardLive: true, plan: planFor(vm.uuid, clone) });
      },
      reserveTarget: (input) => {
        this.#set('incoming', input);
        for (const { targetVolume } of input.disks) target.volumes.add(targetVolume);
        return Promise.resolve(input.disks);
      },
      tuneCopy: ({ bandwidthBytesPerSecond }) => {
        this.caps.push(bandwidthBytesPerSecond);
        return Promise.resolve(true);
      },
      ensureCopied: ({ disk, bandwidthBytesPerSecond }) => {
        this.transferCaps.push(bandwidthBytesPerSecond);
        if (!this.exports.has(disk.name)) throw new Error(`${disk.name} is not shown`);
        return Promise.resolve({ bytesCopied: 8, bytesRecopied: 0 });
      },
      hashDisk: ({ disk }) => {
        const place = Number(disk.name === 'sdb');
        return Promise.resolve({ root: foreignVm.disks[place]?.key ?? '' });
      },
      defineImport: (input) => {
        this.#require('incoming', input);
        target.defined = true;
        return Promise.resolve({ complaint: '' });
      },
      takeOwnership: (input) => {
        this.#set('owner', input);
        return Promise.resolve();
      },
      ensureStarted: (input) => {
        this.#require('owner', input);
        target.running = true;
        return Promise.resolve({ upForMs: 1 });
      },
      ensureHealthy: () => Promise.resolve(),
      settleTarget: (input) => {
        this.#require('owner', input);
        return Promise.resolve();
      },
      revokeTarget: (input) => {
        this.#set('released', input);
        target.running = false;
        return Promise.resolve();
      },
      clearImport: () => {
        if (this.ledger?.state === 'owner') throw new Error('the target still owns it');
        target.volumes.clear();
        target.defined = false;
        this.ledger = undefined;
        return Promise.resolve();
      },
    };
  }
}

export const planFor = (uuid: string, clone: boolean): ImportPlan => ({
  ...{ name: 'web', uuid, clone, domainType: 'qemu', machine: 'q35' },
  disks: foreignVm.disks.map(({ key, capacityBytes }, index) => ({
    key,
    name: index === 0 ? 'sda' : 'sdb',
    capacityBytes,
    targetPool: 'default',
    targetVolume: `web-${index}.qcow2`,
    targetPath: `/pool/web-${index}.qcow2`,
    targetFormat: 'qcow2',
    targetKind: 'file',
  })),
  nics: [{ key: '4000', mac: '00:50:56:00:00:01', network: 'bridge:br0' }],
  ...{ cpus: 2, memoryBytes: 1024 ** 3, converted: true, bus: 'virtio-scsi' },
  ...{ secureBoot: false, tpm: false },
});
