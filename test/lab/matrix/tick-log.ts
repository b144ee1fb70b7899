/**
 * The guest's own word on where it ran: each tick that it printed, on whichever host, stamped by one clock. Two copies
 * at one time would both tick.
 */
import { closeSync, fstatSync, openSync, readSync, watch } from 'node:fs';
import type { Lab } from '../../../lab/lab.ts';
import { consolePath } from '../../../lab/console.ts';

/** One boot of the guest on one host, from its first tick to its newest. Times are CLOCK_MONOTONIC, ns. */
export interface Stretch {
  host: string;
  firstNs: bigint;
  lastNs: bigint;
  ticks: number;
}

/** What was read of one console so far. */
interface Reading {
  host: string;
  path: string;
  readBytes: number;
  rest: string;
  current: Stretch | undefined;
}

export class TickLog {
  readonly #readings: Reading[];
  readonly #stretches: Stretch[] = [];
  readonly #watchers: ReturnType<typeof watch>[];

  private constructor(lab: Lab, vm: string) {
    const file = consolePath(vm);
    this.#readings = lab.hosts.map((host) => ({
      host: host.name,
      path: `${host.folder}${file}`,
      readBytes: 0,
      rest: '',
      current: undefined,
    }));
    // What stands there already has no time; the ticks to come have.
    for (const reading of this.#readings) this.#read(reading, { stamp: false });
    const name = file.split('/').at(-1);
    this.#watchers = this.#readings.map((reading) =>
      watch(reading.path.slice(0, reading.path.lastIndexOf('/')), (_event, changed) => {
        if (changed === name) this.#read(reading, { stamp: true });
      }),
    );
  }

  /** Listens to a VM on all hosts until `end`. */
  static follow(lab: Lab, vm: string): TickLog {
    return new TickLog(lab, vm);
  }

  /** All stretches with a tick in them, in order of their first one. */
  end(): Stretch[] {
    for (const watcher of this.#watchers) watcher.close();
    for (const reading of this.#readings) this.#read(reading, { stamp: true });
    return this.#stretches.toSorted((a, b) => Number(a.firstNs - b.firstNs));
  }

  #read(reading: Reading, { stamp }: { stamp: boolean }): void {
    const fresh = readFrom(reading);
    if (fresh === undefined) return;
    const now = process.hrtime.bigint();
    const lines = `${reading.rest}${fresh}`.split(/\r?\n/);
    reading.rest = lines.pop() ?? '';
    const ticks = lines.filter((line) => /^tick \d+$/.test(line)).length;
    if (!stamp || ticks === 0) return;
    if (reading.current === undefined) {
      reading.current = { host: reading.host, firstNs: now, lastNs: now, ticks: 0 };
      this.#stretches.push(reading.current);
    }
    reading.current.lastNs = now;
    reading.current.ticks += ticks;
  }
}

/** The new text of a console; a console that became shorter belongs to a new boot and is read from its start. */
function readFrom(reading: Reading): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(reading.path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(descriptor);
    if (size < reading.readBytes)
      Object.assign(reading, { readBytes: 0, rest: '', current: undefined });
    const buffer = Buffer.alloc(size - reading.readBytes);
    const length = readSync(descriptor, buffer, 0, buffer.length, reading.readBytes);
    reading.readBytes += length;
    return buffer.toString('latin1', 0, length);
  } finally {
    closeSync(descriptor);
  }
}

/** Two stretches of which the second began before the first had ended; undefined if there are none. */
export function overlapOf(stretches: readonly Stretch[]): [Stretch, Stretch] | undefined {
  for (const [index, next] of stretches.entries()) {
    const before = stretches.slice(0, index).find(({ lastNs }) => lastNs > next.firstNs);
    if (before !== undefined) return [before, next];
  }
  return undefined;
}
