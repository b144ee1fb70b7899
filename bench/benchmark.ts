import type { Sample } from './result.ts';

/** What a benchmark may use. */
export interface BenchContext {
  /** How many counted runs; each name says what one is. */
  runs: number;
  /** Data on the disk of 4 GiB, MiB. */
  fillMiB: number;
  /** A folder of its own, removed afterwards. */
  dir: string;
  /** A line for people, on stderr. */
  readonly say: (line: string) => void;
  /** Shows a peer's command as it was run, once. */
  readonly showCommand: (name: string, command: string) => void;
  /** Runs when the benchmarks end, however they end; the last given runs first. */
  readonly defer: (act: () => Promise<void>) => void;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

/** Figures of one name. */
export interface Measured {
  name: string;
  unit: string;
  samples: Sample[];
}

/** Benchmarks that stand on one stage. */
export interface BenchGroup {
  /** Names of its results, with their units. */
  names: Readonly<Record<string, string>>;
  /** Why it cannot run here, by name; absent names can. */
  missing(): Promise<Partial<Record<string, string>>>;
  /** Measures the names asked for. Calls `done` after each, so that what is known survives a failure. */
  run(
    context: BenchContext,
    names: ReadonlySet<string>,
    done: (measured: Measured) => void,
  ): Promise<void>;
}
