import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmFerry, type Move } from '../client/vmferry.ts';
import { loadConfig } from '../config/load.ts';
import { isEnd, type MoveReport } from '../domain/move.ts';
import { Fleet } from '../lab/fleet.ts';
import { Lab } from '../lab/lab.ts';
import type { LabHost } from '../lab/host.ts';
import type { LabVmOptions } from '../lab/vm.ts';
import type { BenchContext } from './benchmark.ts';

const moveTimeoutMs = 600_000;
const journalSuffix = '.vmferry-journal';

/** Two hosts with all of vmferry around them: Temporal, a control worker, a worker a host. */
export class MoveStage {
  readonly lab: Lab;
  readonly fleet: Fleet;
  readonly ferry: VmFerry;

  private constructor(parts: { lab: Lab; fleet: Fleet; ferry: VmFerry }) {
    this.lab = parts.lab;
    this.fleet = parts.fleet;
    this.ferry = parts.ferry;
  }

  /** `shared`: both hosts see a folder at the same path, as the pool `shared`. */
  static async open(
    { dir, say, defer }: BenchContext,
    { shared = false }: { shared?: boolean } = {},
  ): Promise<MoveStage> {
    say('two hosts with their workers, and Temporal');
    const lab = await Lab.up({
      dir: join(dir, 'lab'),
      name: `bench-${process.pid % 10_000}`,
      poolBytes: 14 * 1024 ** 3,
      shared,
    });
    defer(() => lab.down());
    const fleet = await Fleet.start({ lab, dir });
    defer(() => fleet.stop());
    const ferry = await VmFerry.connect({ config: loadConfig({ path: fleet.configPath }) });
    defer(() => ferry.close());
    return new MoveStage({ lab, fleet, ferry });
  }

  /** A VM that is off, on alpha. */
  async vm(name: string, dataDisk: LabVmOptions['dataDisk']): Promise<void> {
    await this.lab.createVm('alpha', { name, ...(dataDisk && { dataDisk }) });
  }

  async virsh(host: LabHost, ...args: string[]): Promise<string> {
    const said = await host.exec(['virsh', '-q', ...args], { timeoutMs: 60_000 });
    return said.stdout.trim();
  }

  /** Waits for the end of a move; rejects if it is not a good one. It watches as `vmferry migrate` does. */
  async ended(move: Move, signal: AbortSignal): Promise<MoveReport> {
    const watching = new AbortController();
    const until = AbortSignal.any([signal, watching.signal, AbortSignal.timeout(moveTimeoutMs)]);
    try {
      // Watching sees a move that parks; the end itself is heard at once.
      const report = await Promise.race([move.result(), restOf(move, until)]);
      if (report.phase === 'committed') return report;
      throw new Error(`the move came to ${report.phase}: ${JSON.stringify(report)}`);
    } finally {
      watching.abort();
    }
  }

  /** Size of the one copy journal on a host; 0 if there is none. It grows with every piece that is asked for. */
  async journalBytes(host: LabHost): Promise<number> {
    const pool = host.rootOf(host.poolPath);
    const files = await readdir(pool);
    const journal = files.find((file) => file.endsWith(journalSuffix));
    if (journal === undefined) return 0;
    return (await stat(join(pool, journal)).catch(() => undefined))?.size ?? 0;
  }

  /** The most memory that a worker held since the last look, MiB; counts anew from here. */
  async peakRssMiB(host: string): Promise<number> {
    const { pid } = this.fleet.worker(host);
    const status = await readFile(`/proc/${pid ?? 0}/status`, 'utf8');
    const kib = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN);
    // 5 sets the peak back to what is held now (proc(5)).
    await writeFile(`/proc/${pid ?? 0}/clear_refs`, '5');
    return kib / 1024;
  }
}

async function restOf(move: Move, signal: AbortSignal): Promise<MoveReport> {
  let last: MoveReport | undefined;
  for await (const { report } of move.watch({ signal })) last = report;
  if (last !== undefined && (last.phase === 'parked' || isEnd(last.phase))) return last;
  throw new Error(`the move did not end in ${moveTimeoutMs / 1000} s`);
}
