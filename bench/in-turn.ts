import type { BenchContext, Measured } from './benchmark.ts';
import type { Sample } from './result.ts';

export interface Pair {
  /** Rejects unless the copy of `ours` or `peer` reads as its source does. */
  check: (who: 'ours' | 'peer') => Promise<void>;
  /** Seconds. */
  ours: () => Promise<number>;
  peer: () => Promise<number>;
}

/** Ours and the peer in turn, after one run of each that does not count; both copies are compared once. */
export async function inTurn(context: BenchContext, name: string, pair: Pair): Promise<Measured> {
  const samples: Sample[] = [];
  for (let run = 0; run <= context.runs; run++) {
    context.signal.throwIfAborted();
    const ours = await pair.ours();
    const peer = await pair.peer();
    if (run === 0) {
      await pair.check('ours');
      await pair.check('peer');
    } else {
      samples.push({ ours, peer });
    }
    const which = run === 0 ? 'warm-up' : `run ${run}`;
    context.say(`${name}, ${which}: ours ${ours.toFixed(2)} s, peer ${peer.toFixed(2)} s`);
  }
  return { name, unit: 's', samples };
}
