/** Real hosts, a real Temporal, real workers and a client: what every test of a whole move stands on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectFrom } from '../../cli/connect.ts';
import type { Ferry, FerryMove } from '../../cli/ferry.ts';
import { loadConfig } from '../../config/load.ts';
import type { MoveReport } from '../../domain/move.ts';
import { Fleet } from '../../lab/fleet.ts';
import { Lab } from '../../lab/lab.ts';
import type { LabOptions } from '../../lab/lab.ts';
import type { LabVm, LabVmOptions } from '../../lab/vm.ts';

const bootMs = 120_000;
const moveMs = 180_000;

export interface Stage {
  lab: Lab;
  fleet: Fleet;
  ferry: Ferry;
  dir: string;
  /** Defines a VM on a host; with `run`, boots it and waits until it ticks. */
  vm(host: string, options: LabVmOptions & { run?: boolean }): Promise<LabVm>;
  close(): Promise<void>;
}

/** `name` is the lab's: one a test file, so that files never meet. */
export async function openStage(
  options: Pick<LabOptions, 'hosts' | 'poolBytes'> & { name: string },
): Promise<Stage> {
  const dir = await mkdtemp(join(tmpdir(), `${options.name}-`));
  const lab = await Lab.up({ ...options, dir: join(dir, 'lab') });
  try {
    const fleet = await Fleet.start({ lab, dir });
    const ferry = await connectFrom(loadConfig({ path: fleet.configPath }));
    return {
      lab,
      fleet,
      ferry,
      dir,
      vm: async (host, { run, ...vm }) => {
        const made = await lab.createVm(host, vm);
        if (run === true) {
          await lab.host(host).exec(['virsh', '-q', 'start', vm.name], { timeoutMs: 60_000 });
          await lab.waitForConsole(host, vm.name, /tick \d+/, { timeoutMs: bootMs });
        }
        return made;
      },
      close: async () => {
        await ferry.close();
        await fleet.stop();
        await lab.down();
        await rm(dir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await lab.down();
    throw error;
  }
}

/** Follows a move until `done` says so; fails with the last report after a while. */
export async function until(
  move: FerryMove,
  done: (status: Awaited<ReturnType<FerryMove['status']>>) => boolean,
  what: string,
): Promise<MoveReport> {
  const signal = AbortSignal.timeout(moveMs);
  let last: MoveReport | undefined;
  while (!signal.aborted) {
    for await (const status of move.watch({ signal, patienceMs: moveMs })) {
      last = status.report;
      if (done(status)) return status.report;
    }
  }
  throw new Error(
    `waited ${moveMs / 1000} s for ${what}; the move: ${JSON.stringify(last, null, 1)}`,
  );
}

const phaseIs =
  (...phases: string[]) =>
  ({ report }: { report: MoveReport }): boolean =>
    phases.includes(report.phase);

/** The report of a move that ended, whatever the end. */
export const ended = (move: FerryMove): Promise<MoveReport> =>
  until(move, phaseIs('committed', 'rolled-back', 'cancelled', 'failed'), 'its end');

/** The report once the move is in that phase; ends the wait if it is over before. */
export const reached = (move: FerryMove, phase: MoveReport['phase']): Promise<MoveReport> =>
  until(move, phaseIs(phase, 'committed', 'rolled-back', 'cancelled', 'failed'), phase);

/** Resolves once at least `share` of the first disk's data is on the target's storage. */
export const midCopy = (move: FerryMove, share: number): Promise<MoveReport> =>
  until(
    move,
    ({ report, progress }) =>
      report.phase === 'copying' &&
      progress.some(
        ({ totalBytes, doneBytes }) => totalBytes > 0 && doneBytes >= totalBytes * share,
      ),
    `${share * 100} % of the copy`,
  );
