import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';
import type { TestSpecification } from 'vitest/node';
import { findTemporalCli } from './config/temporal-binary.ts';

/** The longest files, longest first: several at a time end soonest if none of these is left for the last. */
const long = [
  ...['quick/workflows/migrate-vm', 'quick/faults/fault-table'],
  ...['quick/setup/run', 'contract/workflows/'],
  ...[
    'lab/import/debian',
    'lab/matrix/',
    'lab/live-moves/live-moves',
    'lab/import/kvm',
    'lab/disks/',
    'lab/import/ova',
    'lab/deploy/',
    'lab/reconcile/terminated',
    'lab/refusals/',
    'lab/faults/faults',
    'lab/import/windows',
  ],
  'contract/import/rehearsal',
  ...['contract/faults/every-step', 'contract/reconcile/supervision', 'contract/pki/data-plane'],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = long.findIndex((name) => moduleId.includes(`/test/${name}`));
      return place === -1 ? long.length : place;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

/** A lab ends its servers itself. */
function mortalTemporal(): Record<string, string> {
  try {
    return {
      VMFERRY_TEMPORAL_CLI: findTemporalCli().path,
      TEMPORAL_CLI: fileURLToPath(new URL('scripts/temporal-of-a-test.sh', import.meta.url)),
    };
  } catch {
    // The tests that need it say so themselves.
    return {};
  }
}

// Three lanes: quick (no root, no daemons), contract (real servers, seconds), lab (real hosts, minutes).
const lane = (name: string, options: { testTimeout: number; parallel: boolean }) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: options.testTimeout,
    hookTimeout: 180_000,
    // Of the quick `concurrent` tests most of the time is a wait; whole guests want a processor each.
    maxConcurrency: name === 'quick' ? 10 : 5,
    env: name === 'lab' ? {} : mortalTemporal(),
    // What is awaited comes soon, or late on a busy machine; vitest would give it a second.
    expect: { poll: { timeout: options.testTimeout / 2 } },
    fileParallelism: options.parallel,
    pool: 'forks' as const,
    // A process a file takes as much of the processor as all that the small files do in it.
    ...(name === 'quick' ? { isolate: false, setupFiles: ['test/quick/fresh-modules.ts'] } : {}),
    // Whole moves run the prebuilt bundle: it has to be that of these sources.
    globalSetup: [
      'scripts/vitest-parent.mjs',
      ...(name === 'lab' ? ['scripts/vitest-bundle.mjs'] : []),
    ],
  },
});

export default defineConfig({
  test: {
    // Vitest would leave a core to itself, which on two cores makes one file at a time.
    maxWorkers: Math.max(2, availableParallelism()),
    sequence: { sequencer: LongestFirst },
    projects: [
      lane('quick', { testTimeout: 20_000, parallel: true }),
      lane('contract', { testTimeout: 60_000, parallel: true }),
      // Asked for by name one at a time, as it is clearest; `npm test` runs most of them in pairs (scripts/lanes.mjs).
      lane('lab', { testTimeout: 300_000, parallel: false }),
    ],
  },
});
