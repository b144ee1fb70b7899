/** Real hosts, a real Temporal, real workers and a client: what every test of a whole move stands on. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectFrom } from '../../cli/connect.ts';
import type { Ferry, FerryMove } from '../../cli/ferry.ts';
import type { Move } from '../../client/move.ts';
import { VmFerry } from '../../client/vmferry.ts';
import { loadConfig } from '../../config/load.ts';
import { isEnd } from '../../domain/move.ts';
import type { MoveReport } from '../../domain/move.ts';
import { Fleet } from '../../lab/fleet.ts';
import { Lab } from '../../lab/lab.ts';
import type { LabOptions } from '../../lab/lab.ts';
import type { LabVm, LabVmOptions } from '../../lab/vm.ts';

const bootMs = 120_000;
const moveMs = 180_000;
const virshMs = 30_000;
/** A move tells of itself only when it is asked; each question costs server, worker and client some 15 ms. */
const askEveryMs = 100;
/** Of what does not pass before somebody acts. */
const askAtRestMs = 300;
/** Of each log, when a test failed. */
const shownLogBytes = 6_000;

export interface Stage {
  lab: Lab;
  fleet: Fleet;
  ferry: Ferry;
  dir: string;
  /** Defines a VM on a host; with `run`, boots it and waits until it ticks. */
  vm(host: string, options: LabVmOptions & { run?: boolean }): Promise<LabVm>;
  /** What `virsh` says on a host, trimmed; rejects if it is refused. */
  virsh(host: string, ...args: string[]): Promise<string>;
  /** Ends every guest that runs on these hosts, at once: the next tests are not to share the processors with it. */
  endGuests(...hosts: string[]): Promise<void>;
  /** The ends of all processes' logs, for a test that failed: `onTestFailed(async () => console.error(await ...))`. */
  logs(): Promise<string>;
  close(): Promise<void>;
}

/** `name` is the lab's: one a test file, so that files never meet. */
export async function openStage(
  options: Pick<LabOptions, 'hosts' | 'poolBytes' | 'stateBytes' | 'shared' | 'guestDir'> & {
    name: string;
    /** Default false: no test looks at the UI. */
    codec?: boolean;
  },
): Promise<Stage> {
  const dir = await mkdtemp(join(tmpdir(), `${options.name}-`));
  await using failed = new AsyncDisposableStack();
  failed.defer(() => rm(dir, { recursive: true, force: true }));
  const lab = await Lab.up({ ...options, dir: join(dir, 'lab'), discard: dir });
  failed.defer(() => lab.down());
  const fleet = await Fleet.start({ lab, dir, codec: options.codec ?? false });
  failed.defer(() => fleet.stop());
  await takeEveryMove(fleet);
  const ferry = await connectFrom(loadConfig({ path: fleet.configPath }));
  failed.defer(() => ferry.close());
  // All is up: from here on `close` ends it, in the same order.
  const closing = failed.move();
  const virsh = async (host: string, ...args: string[]): Promise<string> => {
    const said = await lab.host(host).exec(['virsh', '-q', ...args], { timeoutMs: virshMs });
    return said.stdout.trim();
  };
  return {
    lab,
    fleet,
    ferry,
    dir,
    virsh,
    vm: async (host, { run, ...vm }) => {
      const made = await lab.createVm(host, vm);
      if (run === true) {
        await lab.host(host).exec(['virsh', '-q', 'start', vm.name], { timeoutMs: 60_000 });
        await lab.waitForConsole(host, vm.name, /tick \d+/, { timeoutMs: bootMs });
      }
      return made;
    },
    endGuests: async (...hosts) => {
      for (const host of hosts)
        for (const name of (await virsh(host, 'list', '--name')).split('\n').filter(Boolean))
          await virsh(host, 'destroy', name);
    },
    logs: () => logEnds(fleet),
    close: () => closing.disposeAsync(),
  };
}

/** Tests play many moves side by side; who waits for a place is the matter of a few, which say so. */
async function takeEveryMove({ configPath, hosts }: Fleet): Promise<void> {
  const client = await VmFerry.connect({ config: configPath });
  try {
    const limits = { movesIn: 32, movesOut: 32 };
    for (const host of hosts.keys()) await client.setHost(host, { limits });
  } finally {
    await client.close();
  }
}

async function logEnds({ control, temporal, hosts }: Fleet): Promise<string> {
  const shown = [control, temporal, ...hosts.values()].map(async ({ name, logPath }) => {
    const text = await readFile(logPath, 'utf8').catch(String);
    return `--- ${name}\n${text.slice(-shownLogBytes)}`;
  });
  return (await Promise.all(shown)).join('\n');
}

/** Pauses of `everyMs`; the one in which `heard` resolves ends at once. */
export function pauses(everyMs: number, heard?: Promise<unknown>): () => Promise<void> {
  let isHeard = heard === undefined;
  return async () => {
    if (isHeard) await delay(everyMs);
    else
      isHeard = await Promise.race([
        delay(everyMs, false),
        Promise.resolve(heard).then(() => true),
      ]);
  };
}

/**
 * Asks a move until `done` says so; fails with the last report after a while. A server that is away is waited for. `heard`
 * ends a pause between two questions.
 */
export async function until(
  move: FerryMove,
  done: (status: Awaited<ReturnType<FerryMove['status']>>) => boolean,
  what: string,
  { everyMs = askEveryMs, heard }: { everyMs?: number; heard?: Promise<unknown> } = {},
): Promise<MoveReport> {
  const deadline = performance.now() + moveMs;
  let last: unknown;
  const pause = pauses(everyMs, heard);
  while (performance.now() < deadline) {
    try {
      const status = await move.status();
      last = status.report;
      if (done(status)) return status.report;
      if (isEnd(status.report.phase)) break;
    } catch (error) {
      last = error;
    }
    await pause();
  }
  const shown = last instanceof Error ? String(last) : JSON.stringify(last, null, 1);
  throw new Error(
    `the move ended or ${moveMs / 1000} s passed before it came to ${what}; at last: ${shown}`,
  );
}

const phaseIs =
  (...phases: string[]) =>
  ({ report }: { report: MoveReport }): boolean =>
    phases.includes(report.phase);

/** The report of a move that ended, whatever the end. */
export async function ended(move: FerryMove): Promise<MoveReport> {
  // The stage's client gives whole moves.
  const heard = (move as FerryMove & Pick<Move, 'result'>).result().catch(() => undefined);
  const isOver = phaseIs('committed', 'rolled-back', 'cancelled', 'failed');
  return until(move, isOver, 'its end', { everyMs: 1_000, heard });
}

/** The report once the move is in that phase; fails with the last report if the move ends otherwise. */
export const reached = (move: FerryMove, phase: MoveReport['phase']): Promise<MoveReport> =>
  until(move, phaseIs(phase), phase, {
    everyMs: phase === 'awaiting-commit' || phase === 'parked' ? askAtRestMs : askEveryMs,
  });

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
