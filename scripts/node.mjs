// @ts-check
/** Node 24: the running one if new enough, else npm's own package of it inside the checkout. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { putFirstOnPath, root, run } from './process.mjs';
import { ensure } from './step.mjs';

const wantedMajor = 24;
const oldestMajor = 20;
const nodePackage = `node-${process.platform}-${process.arch}`;
const ownNode = join(root, '.tools/node/node_modules', nodePackage, 'bin/node');

const major = Number.parseInt(process.versions.node, 10);

/**
 * Makes sure that this process is Node 24 or newer and stands first on PATH (npm runs what it finds there). If it is
 * older, does the whole command again under the right one.
 * @param {string[]} command the command and its arguments
 * @returns {Promise<number | undefined>} the exit code if the command was done by another process
 */
export async function continueOnNode24(command) {
  if (major >= wantedMajor) {
    putFirstOnPath(dirname(process.execPath));
    return undefined;
  }
  const bring = {
    title: `Node ${wantedMajor}`,
    check: () => ownVersion(),
    act: async () => {
      if (major < oldestMajor) throw new Error(`this is Node ${process.versions.node}`);
      const prefix = join(root, '.tools/node');
      await run(
        'npm',
        ['install', '--prefix', prefix, '--no-audit', '--no-fund', `${nodePackage}@${wantedMajor}`],
        {
          timeoutMs: 600_000,
        },
      );
    },
    doing: `fetching ${nodePackage}@${wantedMajor} from the npm registry, because this is Node ${process.versions.node}`,
    remedy: `Install Node ${wantedMajor} yourself and put it first on PATH, or check that \`npm ping\` reaches the registry. Node ${oldestMajor} with npm is the least that can start the set-up.`,
  };
  // Said only if it had to be fetched: the other process says which Node it is.
  if (ownVersion() === undefined) await ensure(bring);
  putFirstOnPath(dirname(ownNode));
  const entry = fileURLToPath(new URL('./run.mjs', import.meta.url));
  return run(ownNode, [entry, ...command], { through: true });
}

function ownVersion() {
  if (!existsSync(ownNode)) return undefined;
  const manifest = join(root, '.tools/node/node_modules', nodePackage, 'package.json');
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
  return Number.parseInt(version, 10) >= wantedMajor ? version : undefined;
}
