/** Two hosts in memory, the real activities on each, the real workflow between them, and one fault. */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { HostActivities } from '../../../activities/contract.ts';
import { createHostActivities } from '../../../activities/index.ts';
import { Operations } from '../../../activities/operations.ts';
import type { Fault } from '../../../domain/errors.ts';
import type { MoveReport, MoveRequest } from '../../../domain/move.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { controlQueue } from '../../../workflows/contract.ts';
import { migrateVm } from '../../../workflows/migrate-vm.ts';
import { contexts } from './activity-context.ts';
import { attempts, die } from './attempt.ts';
import type { Attempt } from './attempt.ts';
import { Engine } from './engine.ts';
import type { Ending } from './engine.ts';
import { request } from '../workflows/move-request.ts';
import { MemoryHost, memoryDataPlane, memoryHypervisor, vm } from './memory-host.ts';
import type { MemoryWorld } from './memory-host.ts';

export type HostName = 'alpha' | 'beta';
export type Verb = keyof HostActivities;

export type Strike = { host: HostName; verb: Verb } & (
  | { how: 'fails'; when: 'before' | 'after'; handling: Fault['handling'] }
  /** The process dies before it acts, at one of its steps, or before its answer is heard. */
  | { how: 'dies'; at: number | 'before' | 'after' }
  /** The process freezes, is taken for dead, and wakes up: after the next attempt ended, or after the whole move. */
  | { how: 'sleeps'; until: 'next' | 'end' }
  /** The process freezes at one of its steps, locks and all, and goes on 20 s later. */
  | { how: 'freezes'; at: number }
  | { how: 'unreachable' }
  | { how: 'paused' }
  | { how: 'cancelled'; at: number | 'before' | 'after' }
);

/** Hosts with a place for every move; the control worker's verbs are not struck here. */
const places: Record<string, unknown> = {
  reserveMove: {
    granted: true,
    source: { limits: { movesIn: 2, movesOut: 2 } },
    target: { limits: { movesIn: 2, movesOut: 2 } },
  },
};

const data = Buffer.alloc(64 * 1024, 'the data ');

export class Stage {
  readonly folder: string;
  readonly world: MemoryWorld = { hosts: new Map(), splitBrain: undefined, log: [] };
  readonly alpha: MemoryHost;
  readonly beta: MemoryHost;
  /** Steps of each verb in the last move: `alpha checkSource` -> count. */
  readonly steps = new Map<string, number>();
  readonly #processes = new Map<string, HostActivities>();
  readonly #strikes: Strike[];
  readonly #sleepers: { until: 'next' | 'end'; wake: () => Promise<unknown> }[] = [];
  #engine: Engine | undefined;

  private constructor(folder: string, strikes: Strike[], shared: boolean) {
    this.folder = folder;
    this.#strikes = strikes;
    const make = (name: HostName) =>
      new MemoryHost({
        name,
        ledger: new Ledger({ stateDir: join(folder, name, 'state'), host: name }),
        pool: shared ? join(folder, 'shared') : join(folder, name, 'pool'),
        world: this.world,
      });
    this.alpha = make('alpha');
    this.beta = make('beta');
  }

  static async open(strikes: Strike[], { shared = false } = {}): Promise<Stage> {
    const memory = '/dev/shm';
    const base = existsSync(memory) ? memory : tmpdir();
    const folder = await mkdtemp(join(base, 'vmferry-faults-'));
    const stage = new Stage(folder, strikes, shared);
    for (const host of [stage.alpha, stage.beta]) {
      await mkdir(join(folder, host.name, 'state'), { recursive: true });
      await mkdir(host.pool, { recursive: true });
    }
    const path = join(stage.alpha.pool, 'web.raw');
    await writeFile(path, data);
    stage.alpha.defined = { xml: `disk=${path}`, running: true, autostart: true, state: 'uefi' };
    return stage;
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Runs the move to its end; `observe` may give orders whenever nothing moves. */
  async run(
    changes: Partial<MoveRequest> = {},
    observe: (engine: Engine) => void = () => undefined,
  ): Promise<MoveReport> {
    const engine = new Engine(`migrate/default/${vm.uuid}`, (call, signal) =>
      this.#perform(call, signal),
    );
    this.#engine = engine;
    const input = {
      cluster: 'default',
      vm,
      running: true,
      request: request(changes),
    };
    try {
      await engine.run(
        () => migrateVm(input),
        () => observe(engine),
      );
    } catch (error) {
      // The end of a failed or cancelled workflow; anything else would have been a failed task on a server.
      if (!(error instanceof ApplicationFailure) && !isCancelled(error)) throw error;
    }
    await this.#wake('end');
    return engine.query('report') as MoveReport;
  }

  async #perform(
    { taskQueue, verb, input }: { taskQueue: string; verb: string; input: unknown },
    signal: AbortSignal,
  ): Promise<Ending> {
    if (taskQueue === controlQueue) return { kind: 'returned', value: places[verb] };
    const host = taskQueue.replace('vmferry.host.', '') as HostName;
    this.world.log.push(`${host} ${verb}`);
    await this.#wake('next');
    const index = this.#strikes.findIndex((one) => one.host === host && one.verb === verb);
    const [strike] = index === -1 ? [] : this.#strikes.splice(index, 1);
    const attempt: Attempt = {
      process: Symbol(host),
      steps: 0,
      onStep: () => undefined,
      dead: false,
      onDeath: new Set(),
      frozen: false,
    };
    const work = () => this.#act(attempt, { host, verb: verb as Verb, input, signal });
    return strike === undefined ? work() : this.#struck(strike, { attempt, work, host });
  }

  async #act(
    attempt: Attempt,
    call: { host: HostName; verb: Verb; input: unknown; signal: AbortSignal },
  ): Promise<Ending> {
    const { host, verb, input, signal } = call;
    const verbs = this.#process(host) as unknown as Record<
      Verb,
      (input: unknown) => Promise<unknown>
    >;
    try {
      const value = await attempts.run(attempt, () =>
        contexts.run({ signal }, () => verbs[verb](input)),
      );
      return { kind: 'returned', value };
    } catch (error) {
      return { kind: 'threw', error };
    } finally {
      const key = `${host} ${verb}`;
      this.steps.set(key, Math.max(this.steps.get(key) ?? 0, attempt.steps));
    }
  }

  async #struck(
    strike: Strike,
    { attempt, work, host }: { attempt: Attempt; work: () => Promise<Ending>; host: HostName },
  ): Promise<Ending> {
    this.world.log.push(JSON.stringify(strike));
    switch (strike.how) {
      case 'fails': {
        if (strike.when === 'after') await work();
        return { kind: 'threw', error: injected(strike) };
      }
      case 'dies': {
        if (strike.at === 'before') return this.#restart(host);
        if (strike.at === 'after') {
          await work();
          return this.#restart(host);
        }
        const { promise, resolve } = Promise.withResolvers<Ending>();
        attempt.onStep = (step) => {
          if (step !== strike.at) return undefined;
          resolve(this.#restart(host));
          return die(attempt);
        };
        return Promise.race([work(), promise]);
      }
      case 'sleeps': {
        this.#sleepers.push({ until: strike.until, wake: work });
        // Whoever takes over is another process; the sleeper keeps its own.
        return this.#restart(host);
      }
      case 'freezes': {
        const { promise, resolve } = Promise.withResolvers<Ending>();
        attempt.onStep = (step) => {
          if (step !== strike.at) return undefined;
          attempt.frozen = true;
          resolve(this.#restart(host));
          return new Promise<void>((thaw) => {
            this.#engine?.at(20_000, () => {
              attempt.frozen = false;
              thaw();
            });
          });
        };
        return Promise.race([work(), promise]);
      }
      case 'unreachable':
        return { kind: 'not-taken' };
      case 'paused': {
        const error = ApplicationFailure.create({ type: 'ActivityPause', message: 'paused' });
        return { kind: 'threw', error };
      }
      case 'cancelled': {
        if (strike.at === 'before') this.#engine?.cancel();
        attempt.onStep = (step) => {
          if (step === strike.at) this.#engine?.cancel();
          return undefined;
        };
        const ending = await work();
        if (strike.at === 'after') this.#engine?.cancel();
        return ending;
      }
    }
  }

  /** The process of a host: a new one knows nothing of the old one but what is on disk. */
  #process(host: HostName): HostActivities {
    const found = this.#processes.get(host);
    if (found !== undefined) return found;
    const memory = host === 'alpha' ? this.alpha : this.beta;
    const stateDir = join(this.folder, host, 'state');
    const made = createHostActivities({
      name: host,
      version: '0',
      migrationAddress: '',
      stateDir,
      bandwidthBytesPerSecond: 0,
      hypervisor: memoryHypervisor(memory),
      dataPlane: memoryDataPlane(memory),
      ledger: new Ledger({ stateDir, host }),
      operations: new Operations(),
    });
    this.#processes.set(host, made);
    return made;
  }

  #restart(host: HostName): Ending {
    this.#processes.delete(host);
    return { kind: 'silent' };
  }

  /** A sleeper begins to act once the attempt after it has ended: before the next verb, or after the move. */
  async #wake(moment: 'next' | 'end'): Promise<void> {
    const due = this.#sleepers.filter(({ until }) => moment === 'end' || until === 'next');
    for (const sleeper of due) {
      // The first verb after the strike is the next attempt itself.
      if (moment === 'next' && !this.#secondTryBegan(sleeper)) continue;
      this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
      this.world.log.push('the late attempt acts');
      await sleeper.wake();
    }
  }

  readonly #seen = new WeakSet();
  #secondTryBegan(sleeper: object): boolean {
    if (this.#seen.has(sleeper)) return true;
    this.#seen.add(sleeper);
    return false;
  }

  /** What must hold after every move, however it ended; empty if it does. */
  async unsound(report: MoveReport): Promise<string[]> {
    const found: string[] = [];
    const expect = (holds: boolean, what: string) => {
      if (!holds) found.push(what);
    };
    const home = report.vmOn === 'alpha' ? this.alpha : this.beta;
    const other = home === this.alpha ? this.beta : this.alpha;
    expect(this.world.splitBrain === undefined, this.world.splitBrain ?? '');
    expect(home.running === report.vmRunning, `${home.name} runs: ${home.running}`);
    expect(home.defined !== undefined, `${home.name} has no definition`);
    expect(home.defined?.autostart === true, 'autostart is off');
    expect(home.defined?.state === 'uefi', 'its kept state is lost');
    const bytes = await readFile(home.diskPath()).catch(() => Buffer.alloc(0));
    expect(bytes.equals(data), `its data are damaged (${bytes.length} bytes)`);
    const entry = await home.ledger.read(vm.uuid);
    expect(entry === undefined || entry.state === 'owner', `${home.name}: ledger ${entry?.state}`);
    expect(!other.running, `${other.name} runs it too`);
    expect(other.defined === undefined, `${other.name} still has it defined`);
    const theirs = await other.ledger.read(vm.uuid);
    expect(
      theirs === undefined || theirs.state === 'released',
      `${other.name}: ledger ${theirs?.state}`,
    );
    for (const host of [this.alpha, this.beta]) {
      expect(host.exports.size === 0, `${host.name} exports ${[...host.exports.keys()].join()}`);
      const moves = await readdir(join(this.folder, host.name, 'state/moves')).catch(() => []);
      expect(moves.length === 0, `${host.name} remembers ${moves.join()}`);
      const expected = host === home || host.pool === home.pool ? [basename(home.diskPath())] : [];
      const files = await readdir(host.pool);
      expect(files.join() === expected.join(), `the pool of ${host.name} holds ${files.join()}`);
    }
    return found;
  }
}

const isCancelled = (error: unknown): boolean =>
  error instanceof CancelledFailure ||
  (error instanceof Error && error.cause instanceof CancelledFailure);

const injected = ({ host, verb, handling }: Strike & { how: 'fails' }): ApplicationFailure => {
  const fault: Fault = {
    code: `injected-${handling}`,
    handling,
    message: `injected into ${verb}`,
    remedy: 'This is a test.',
    host,
  };
  return ApplicationFailure.create({ type: fault.code, nonRetryable: true, details: [fault] });
};
