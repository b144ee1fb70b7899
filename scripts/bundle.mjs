// @ts-check
/** The workflow bundle: built once, so that a control worker starts in under a second. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './process.mjs';
import { ensure, hashOf, isStamped, stamp, unstamp } from './step.mjs';

const output = join(root, 'dist/workflow-bundle.js');
const inputs = () =>
  hashOf([
    'workflows',
    'domain',
    'workers/build-bundle.ts',
    'client/failure-converter.ts',
    'package-lock.json',
  ]);

/** @type {import('./step.mjs').Step} */
const bundleStep = {
  title: 'Workflow bundle',
  check: () => (existsSync(output) && isStamped('bundle', inputs()) ? 'as the sources' : undefined),
  act: async () => {
    unstamp('bundle');
    const from = inputs();
    await run(process.execPath, ['workers/build-bundle.ts'], { timeoutMs: 300_000 });
    stamp('bundle', from);
  },
  doing: 'building it (a few seconds)',
  remedy:
    'A workflow may import only `domain/` and what Temporal allows in its sandbox; the lines above name the import.',
};

/** Builds it if it is not of these sources; a checkout without workers has none. */
export const builtFromSources = async () => {
  if (existsSync(join(root, 'workers/build-bundle.ts'))) await ensure(bundleStep);
};
