// @ts-check
/**
 * The one entry of `npm run ...`. Plain JavaScript without dependencies, because it has to start on Node 20 with
 * nothing installed: it brings Node 24 and everything else first, each part only if it is missing.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { builtFromSources } from './bundle.mjs';
import { runLanes } from './lanes.mjs';
import { formatAll, lintAll } from './lint.mjs';
import { continueOnNode24 } from './node.mjs';
import {
  CommandFailed,
  Interrupted,
  endWithParent,
  forwardSignals,
  root,
  run,
} from './process.mjs';
import { setUp } from './setup.mjs';
import { StepFailed } from './step.mjs';

const usage = `usage: npm run <command> [-- arguments], or node scripts/run.mjs <command> [arguments]

  setup   everything that tests and the demo need; a second run takes under a second and no network
  demo    set-up, then the demonstration in the lab; arguments go to it
  bench   set-up, then figures of this machine beside those of other tools; arguments go to it
  test    set-up, lint, then the lanes quick, contract and lab
  quick   what works without root and daemons: the quick lane; arguments go to vitest
  build   the workflow bundle, the JSON Schemas and the manual page
  lint    prettier, eslint, tsc, dependency-cruiser, knip
  format  prettier --write`;

/** @type {Record<string, (args: string[]) => Promise<number>>} */
const commands = {
  setup: async () => {
    await setUp('full');
    return 0;
  },
  demo: async (args) => {
    const { limits } = await setUp('full');
    if (limits.length > 0) {
      for (const limit of limits) console.error(`✗ ${limit.what}: ${limit.remedy}`);
      console.error('✗ The demo needs all of these. What works here: npm run test:quick');
      return 1;
    }
    return run(process.execPath, ['cli/demo.ts', ...args], { through: true });
  },
  bench: async (args) => {
    // What the machine lacks is said by name in the results.
    await setUp('full');
    return run(process.execPath, ['bench/main.ts', ...args], { through: true });
  },
  test: async () => runLanes(await setUp('full')),
  quick: async (args) => {
    await setUp('quick');
    // Else each file that plays workflows makes one for itself; for a few files that is their own matter.
    if (args.length === 0) await builtFromSources();
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    return run(process.execPath, [vitest, 'run', '--project', 'quick', ...args], { through: true });
  },
  build: async () => {
    await setUp('quick');
    await builtFromSources();
    for (const writer of ['config-schema', 'output-schemas', 'manual']) {
      const code = await run(process.execPath, [`scripts/write-${writer}.mjs`], { through: true });
      if (code !== 0) return code;
    }
    return 0;
  },
  lint: async () => {
    await setUp('quick');
    return (await lintAll()) ? 0 : 1;
  },
  format: async () => {
    await setUp('quick');
    return formatAll();
  },
};

async function main() {
  const [name = '', ...args] = process.argv.slice(2);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const asked = name === '' || name === '--help' || name === '-h' || name === 'help';
    console.error(asked ? usage : `✗ There is no command ${JSON.stringify(name)}.\n${usage}`);
    return asked ? 0 : 2;
  }
  if (!existsSync(join(root, 'package.json'))) {
    console.error(`✗ ${root} holds no package.json: run this file from a checkout of vmferry.`);
    return 2;
  }
  const reExecuted = await continueOnNode24([name, ...args]);
  return reExecuted ?? command(args);
}

forwardSignals();
endWithParent();
try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof Interrupted) {
    process.exitCode = error.exitCode;
  } else if (error instanceof StepFailed || error instanceof CommandFailed) {
    console.error(error.message);
    process.exitCode = 1;
  } else {
    console.error(error);
    process.exitCode = 1;
  }
}
