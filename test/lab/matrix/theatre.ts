/** Plays rows of the fault table on one stage: one fault at a time, while the VMs of earlier rows still boot. */
import { vi } from 'vitest';
import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RunLog } from '../../../lab/runs.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { checkVmDisk } from '../../../lab/vm.ts';
import { ended } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { told } from './ask.ts';
import { TickLog } from './tick-log.ts';
import type { FaultRow, Scene, Storage } from './scene.ts';
import { expectSound, newestTick } from './soundness.ts';

const mebibyte = 1024 * 1024;
/** 32 MiB take four seconds: time enough to strike in the middle. */
const bandwidthBytesPerSecond = 8 * mebibyte;
const mostVms = 2;

/** A VM and where it runs now. */
interface Player {
  vm: LabVm;
  storage: Storage;
  at: 'alpha' | 'beta';
}

/** One at a time, in order of asking. */
class Turn {
  #last: Promise<unknown> = Promise.resolve();

  async take(): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const before = this.#last;
    this.#last = before.then(() => promise);
    await before;
    return () => resolve(undefined);
  }
}

export class Theatre {
  readonly #stage: Stage;
  readonly #runs: RunLog;
  readonly #free: Player[] = [];
  readonly #living: Record<Storage, number> = { file: 0, block: 0 };
  #made = 0;
  readonly #waiting: (() => void)[] = [];
  /** Held from before a move begins until its fault is mended. */
  readonly #stageTurn = new Turn();
  #playing = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#runs = RunLog.follow(stage.lab);
  }

  close(): void {
    this.#runs.close();
  }

  /** Plays one row and judges it; `onFree` is called when the next row may begin. */
  async play(row: FaultRow, storage: Storage, onFree: () => void): Promise<void> {
    const leave = await this.#stageTurn.take();
    const freed = (): void => {
      leave();
      onFree();
    };
    try {
      if (row.alone === true) await this.#until(() => this.#playing === 0);
      const player = await this.#take(storage);
      this.#playing += 1;
      try {
        await this.#act(row, player, row.alone === true ? () => undefined : freed);
        this.#free.push(player);
      } catch (error) {
        // What state its VM is in nobody knows: the next row gets another one.
        this.#living[storage] -= 1;
        throw error;
      } finally {
        this.#playing -= 1;
        this.#wake();
      }
    } finally {
      freed();
    }
  }

  /** A Temporal that was just killed has forgotten who polls it, until the workers have asked again. */
  async #bothOnline(...names: string[]): Promise<void> {
    await vi.waitFor(
      async () => {
        const hosts = await this.#stage.ferry.hosts();
        for (const name of names)
          if (hosts.find((host) => host.name === name)?.online !== true)
            throw new Error(`no worker of ${name} is online`);
      },
      { timeout: 60_000, interval: 250 },
    );
  }

  async #act(row: FaultRow, player: Player, struck: () => void): Promise<void> {
    const { vm, storage, at: from } = player;
    const to = from === 'alpha' ? 'beta' : 'alpha';
    const { lab, ferry } = this.#stage;
    const [source, target] = [lab.host(from), lab.host(to)];
    const tickBefore = await newestTick(source, vm.name);
    const ticks = TickLog.follow(lab, vm.name);
    const undos: (() => Promise<void> | void)[] = [];
    const notes: string[] = [];
    const runsBefore = this.#runs.of(vm.uuid).length;
    const beganMs = performance.now();
    await this.#bothOnline(from, to);
    const move = await ferry.migrate({
      vm: vm.name,
      from,
      to,
      autoCommit: row.waits !== true,
      bandwidthBytesPerSecond,
      ...(storage === 'block' ? { sharedDisks: ['vda'] } : {}),
    });
    const scene: Scene = {
      ...{ stage: this.#stage, runs: this.#runs, runsBefore, vm, storage, move },
      ...{ from, to, source, target },
      mend: (undo) => undos.push(undo),
      note: (text) => notes.push(text),
    };
    try {
      await row.play(scene);
    } catch (error) {
      throw new Error(`${row.name}: ${await whereItStands(scene)}`, { cause: error });
    } finally {
      for (const undo of undos.toReversed()) await undo();
      struck();
    }
    const report = await ended(move);
    const outcome = { scene, row, report, tickBefore, runs: this.#runs.of(vm.uuid) };
    const stretches = ticks.end();
    await expectSound({ ...outcome, stretches });
    player.at = row.end === 'committed' ? to : from;
    const seconds = (performance.now() - beganMs) / 1000;
    await record({
      row: row.name,
      storage,
      end: report.phase,
      seconds,
      notes,
      error: report.firstError?.code,
    });
  }

  /** Every byte on every disk, read from outside; ends the VMs. */
  async checkDisks(): Promise<{ vm: string; bad: number; ok: number; boot: number }[]> {
    const found = [];
    for (const { vm, at } of this.#free) {
      const host = this.#stage.lab.host(at);
      await told(host, 'destroy', vm.name);
      const { bad, ok, boot } = await checkVmDisk(host, vm);
      found.push({ vm: vm.name, bad, ok, boot });
    }
    return found;
  }

  async #take(storage: Storage): Promise<Player> {
    const isFree = (player: Player): boolean => player.storage === storage;
    if (!this.#free.some(isFree) && this.#living[storage] < mostVms) return this.#make(storage);
    await this.#until(() => this.#free.some(isFree) || this.#living[storage] < mostVms);
    const [found] = this.#free.splice(this.#free.findIndex(isFree), 1);
    return found ?? this.#make(storage);
  }

  async #make(storage: Storage): Promise<Player> {
    this.#living[storage] += 1;
    this.#made += 1;
    const name = `${storage}-${this.#made}`;
    const size = { sizeMiB: 64, fillMiB: 32, seed: this.#made };
    const block =
      storage === 'block'
        ? await this.#stage.lab.addSharedBlock({ name, sizeBytes: 64 * mebibyte })
        : undefined;
    const vm = await this.#stage.vm('alpha', {
      name,
      run: true,
      witnessed: true,
      dataDisk: { ...size, ...(block === undefined ? {} : { blockPath: block.path }) },
    });
    return { vm, storage, at: 'alpha' };
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}

/** What the move says of itself, and what lies in both pools. */
async function whereItStands({ move, source, target }: Scene): Promise<string> {
  const says = await move.status().catch((error: unknown) => String(error));
  const lists = await Promise.all(
    [source, target].map(async (host) => {
      const pool = host.rootOf(host.poolPath);
      const names = await readdir(pool);
      const sizes = await Promise.all(names.map((name) => stat(join(pool, name))));
      return names.map((name, at) => `${host.name}: ${name} ${sizes[at]!.blocks * 512}`);
    }),
  );
  return JSON.stringify({ says, files: lists.flat() }, null, 1);
}

/** A line a row, for docs/reliability.md, if somebody wants it. */
async function record(line: object): Promise<void> {
  const file = process.env['VMFERRY_FAULTS_RESULTS'];
  if (file !== undefined) await appendFile(file, `${JSON.stringify(line)}\n`);
}
