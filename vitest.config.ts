import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Three lanes: quick (no root, no daemons), contract (real servers, seconds), lab (real hosts, minutes).
const lane = (name: string, options: { testTimeout: number; parallel: boolean }) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: options.testTimeout,
    hookTimeout: 180_000,
    fileParallelism: options.parallel,
    pool: 'forks' as const,
    // Whole moves run the prebuilt bundle: it has to be that of these sources.
    ...(name === 'lab' ? { globalSetup: ['scripts/vitest-bundle.mjs'] } : {}),
  },
});

export default defineConfig({
  test: {
    // Vitest would leave a core to itself, which on two cores makes one file at a time.
    maxWorkers: Math.max(2, availableParallelism()),
    projects: [
      lane('quick', { testTimeout: 20_000, parallel: true }),
      lane('contract', { testTimeout: 60_000, parallel: false }),
      lane('lab', { testTimeout: 300_000, parallel: false }),
    ],
  },
});
