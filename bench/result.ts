/** One line of the outcome. Of several runs `ours` and `peer` are medians, in `unit`. */
export interface BenchResult {
  name: string;
  ours: number | null;
  /** Null where there is nothing to compare with. */
  peer: number | null;
  unit: string;
  /** Above 1 where we are better; null without a peer. */
  ratio: number | null;
  runs: number;
  /** The least and the most of ours. */
  min: number | null;
  max: number | null;
  /** Why there are no figures, if so. */
  skipped?: string;
}

/** What one run gave, in the result's unit. */
export interface Sample {
  ours: number;
  peer?: number;
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  if (upper === undefined || lower === undefined) throw new RangeError('no values, no median');
  return (lower + upper) / 2;
};

/** The ratio is that of the medians, for units of which less is better. */
export const resultOf = (name: string, unit: string, samples: readonly Sample[]): BenchResult => {
  const all = samples.map(({ ours }) => ours);
  const peers = samples.flatMap(({ peer }) => (peer === undefined ? [] : [peer]));
  const ours = median(all);
  const peer = peers.length === 0 ? null : median(peers);
  return {
    name,
    ours: rounded(ours),
    peer: peer === null ? null : rounded(peer),
    unit,
    ratio: peer === null ? null : rounded(peer / ours),
    runs: samples.length,
    min: rounded(Math.min(...all)),
    max: rounded(Math.max(...all)),
  };
};

/** An entry that says why nothing was measured. */
export const skippedResult = (name: string, unit: string, why: string): BenchResult => ({
  name,
  ours: null,
  peer: null,
  unit,
  ratio: null,
  runs: 0,
  min: null,
  max: null,
  skipped: why,
});

const rounded = (value: number): number => Math.round(value * 1000) / 1000;
