import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

// The scripts run as they would on a fresh machine, in a copy of the checkout that holds only what they read, with
// programs on PATH that note how they were called.
const repository = join(import.meta.dirname, '../../..');
let dir: string;
let bin: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vmferry-setup-'));
  bin = join(dir, 'bin');
  mkdirSync(bin);
  for (const path of ['scripts', 'config', 'domain'])
    cpSync(join(repository, path), join(dir, path), { recursive: true });
  write('package.json', '{"type":"module"}');
  write('package-lock.json', '{"packages":{"node_modules/a":{"version":"1.0.0"}}}');
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

function write(path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), content);
  chmodSync(join(dir, path), mode);
}
/** A program that notes its arguments in `calls` and then does what `body` says. */
const program = (name: string, body: string): void => {
  write(`bin/${name}`, `#!/bin/sh\necho "${name} $*" >> ${dir}/calls\n${body}\n`, 0o755);
};
const calls = (): string =>
  existsSync(join(dir, 'calls')) ? readFileSync(join(dir, 'calls'), 'utf8') : '';
const npmInstalls = (): void => {
  program(
    'npm',
    `mkdir -p ${dir}/node_modules; cp ${dir}/package-lock.json ${dir}/node_modules/.package-lock.json`,
  );
};
const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  PATH: `${bin}:/usr/bin:/bin`,
  HOME: dir,
  ...more,
});
const run = (args: string[], env: NodeJS.ProcessEnv = {}) => {
  const options = { env: environment(env), encoding: 'utf8', timeout: 15_000 } as const;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(dir, 'scripts/run.mjs'), ...args],
    options,
  );
  return { stdout, stderr, status };
};
const asRoot = process.getuid?.() === 0 && existsSync('/etc/debian_version');
const vitestStub = 'process.exitCode = 0;';

const isGone = (pid: number): boolean =>
  !existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

describe('the set-up', () => {
  it('installs npm packages once, and again only if the lock changes', () => {
    npmInstalls();
    write('node_modules/vitest/vitest.mjs', vitestStub);
    expect(run(['quick'])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^✓ npm packages .*s\)$/m) as string,
    });
    expect(run(['quick']).status).toBe(0);
    expect(calls()).toBe('npm ci --no-audit --no-fund\n');
    write('package-lock.json', '{"packages":{"node_modules/a":{"version":"1.0.1"}}}');
    expect(run(['quick']).status).toBe(0);
    expect(calls()).toBe('npm ci --no-audit --no-fund\n'.repeat(2));
  });

  it('leaves in peace what somebody installed by hand as locked', () => {
    program('npm', 'exit 1');
    write('node_modules/.package-lock.json', readFileSync(join(dir, 'package-lock.json'), 'utf8'));
    write('node_modules/vitest/vitest.mjs', vitestStub);
    expect(run(['quick']).status).toBe(0);
    expect(calls()).toBe('');
  });

  it('names the step, the command, its words and the remedy if one fails, and stops there', () => {
    program('npm', 'echo first words; seq 1 100; echo "npm error network" >&2; exit 7');
    const { stderr, status } = run(['setup']);
    expect(status).toBe(1);
    expect(stderr).toContain('✗ npm packages: npm ci --no-audit --no-fund: exit code 7');
    expect(stderr).toContain('| first words');
    expect(stderr).toContain('| npm error network');
    expect(stderr).toContain('What to do: Check that `npm ping`');
    expect(stderr.split('\n').length).toBeLessThan(30);
  });

  it('does not trust an installation that was cut short', () => {
    program('npm', `mkdir -p ${dir}/node_modules; exit 1`);
    expect(run(['quick']).status).toBe(1);
    npmInstalls();
    write('node_modules/vitest/vitest.mjs', vitestStub);
    expect(run(['quick']).status).toBe(0);
  });

  it('fetches Node 24 under an older one, and goes on with it', () => {
    npmInstalls();
    // An old Node is played by setting the version before the script looks.
    write('old.mjs', "Object.defineProperty(process.versions, 'node', { value: '20.1.0' });");
    const own = `.tools/node/node_modules/node-${process.platform}-${process.arch}`;
    program(
      'npm',
      `case "$1" in install) mkdir -p ${dir}/${own}/bin; echo '{"version":"24.99.0"}' > ${dir}/${own}/package.json
        printf '#!/bin/sh\\necho "went on: $*"\\n' > ${dir}/${own}/bin/node; chmod +x ${dir}/${own}/bin/node;; esac`,
    );
    const { stdout, status } = run(['quick', 'a'], {
      NODE_OPTIONS: `--import ${join(dir, 'old.mjs')}`,
    });
    expect(stdout).toMatch(/✓ Node 24 24\.99\.0/);
    expect(stdout).toMatch(/went on: .*scripts\/run\.mjs quick a$/m);
    expect(status).toBe(0);
    expect(calls()).toContain(`node-${process.platform}-${process.arch}@24`);
  });

  it.runIf(asRoot)(
    'installs the Debian packages that are missing, after an update, and no other',
    () => {
      npmInstalls();
      program('temporal', '');
      program('temporal-test-server', '');
      const absent = `if [ -e ${dir}/installed ]; then none=; else none=socat; fi`;
      const state = 'for name in "$@"; do [ "$name" = "$none" ] || echo "$name installed"; done';
      program('dpkg-query', `${absent}; ${state}`);
      program('apt-get', `case "$*" in *" install "*) touch ${dir}/installed;; esac`);
      expect(run(['setup'])).toMatchObject({ status: 0 });
      const apt = calls()
        .split('\n')
        .filter((line) => line.startsWith('apt-get'));
      expect(apt).toHaveLength(2);
      expect(apt[0]).toMatch(/ update$/);
      expect(apt[1]).toMatch(/ -y --no-install-recommends install socat$/);
      expect(run(['setup']).status).toBe(0);
      expect(calls().match(/^apt-get/gm)).toHaveLength(2);
    },
  );

  it('gives npm a home where there is none', () => {
    program('npm', `echo "$HOME" > ${dir}/home; exit 1`);
    run(['quick'], { HOME: '' });
    expect(readFileSync(join(dir, 'home'), 'utf8').trim()).toBe(join(dir, '.tools/home'));
  });
});

describe('the command line', () => {
  it('explains itself, and refuses what it does not know', () => {
    expect(run([])).toMatchObject({
      status: 0,
      stderr: expect.stringContaining('usage:') as string,
    });
    expect(run(['tset'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('"tset"') as string,
    });
    expect(run(['toString']).status).toBe(2);
  });

  it.runIf(existsSync('/proc'))(
    'ends with npm, and the tests with it, though kill -9 tells nobody',
    async () => {
      npmInstalls();
      const endWithParent = `import { endWithParent } from ${JSON.stringify(join(dir, 'scripts/process.mjs'))};`;
      write(
        'node_modules/vitest/vitest.mjs',
        `${endWithParent} endWithParent(); console.log('pid', process.pid); setInterval(() => {}, 1000);`,
      );
      for (const victim of ['npm', 'runner'] as const) {
        // What npm starts is a shell's child in some systems; here the shell stands for npm.
        const npm = spawn(
          'sh',
          [
            '-c',
            `"$@" & echo pid $!; wait`,
            'npm',
            process.execPath,
            join(dir, 'scripts/run.mjs'),
            'quick',
          ],
          {
            env: environment({ npm_lifecycle_event: 'test:quick' }),
            stdio: ['ignore', 'pipe', 'inherit'],
          },
        );
        const pids: number[] = [];
        for await (const line of createInterface(npm.stdout)) {
          if (line.startsWith('pid ')) pids.push(Number(line.slice(4)));
          if (pids.length === 2) break;
        }
        const [runner, tests] = pids as [number, number];
        expect(pids.map(isGone)).toEqual([false, false]);
        process.kill(victim === 'npm' ? npm.pid! : runner, 'SIGKILL');
        await expect.poll(() => [runner, tests].map(isGone)).toEqual([true, true]);
        npm.kill('SIGKILL');
      }
    },
  );

  it('passes arguments and the exit code through', () => {
    npmInstalls();
    write(
      'node_modules/vitest/vitest.mjs',
      'console.log(process.argv.slice(2).join(" ")); process.exitCode = 3;',
    );
    expect(run(['quick', 'test/quick/codec'])).toMatchObject({
      status: 3,
      stdout: expect.stringContaining('run --project quick test/quick/codec') as string,
    });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'passes %s on, waits for the child to clean up, and tells by the exit code',
    async (signal) => {
      npmInstalls();
      write(
        'node_modules/vitest/vitest.mjs',
        `import { writeFileSync } from 'node:fs';
      const alive = setInterval(() => {}, 1000);
      for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => setTimeout(() => {
        writeFileSync(${JSON.stringify(join(dir, 'cleaned'))}, name);
        clearInterval(alive);
      }, 100));
      console.log('child is up');`,
      );
      const child = spawn(process.execPath, [join(dir, 'scripts/run.mjs'), 'quick'], {
        env: environment(),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exit = once(child, 'exit');
      for await (const chunk of child.stdout.setEncoding('utf8'))
        if (String(chunk).includes('child is up')) break;
      child.kill(signal);
      const [code] = (await exit) as [number];
      expect(readFileSync(join(dir, 'cleaned'), 'utf8')).toBe(signal);
      expect(code).toBe(signal === 'SIGTERM' ? 143 : 130);
    },
  );
});

describe('npm test', () => {
  /** Everything below the lanes is played: linters by exit code, vitest by the report that it leaves. */
  const prepare = (
    lint: number,
    reports: Record<string, { passed: number; failed: number; code: number }>,
  ): void => {
    npmInstalls();
    const linters = [
      'eslint/bin/eslint.js',
      'typescript/bin/tsc',
      'prettier/bin/prettier.cjs',
      'dependency-cruiser/bin/dependency-cruiser.mjs',
      'knip/bin/knip.js',
    ];
    for (const linter of linters)
      write(`node_modules/${linter}`, `process.exit(${linter.startsWith('knip') ? lint : 0})`);
    write('node_modules/knip/package.json', '{}');
    write(
      'node_modules/vitest/vitest.mjs',
      `import { writeFileSync } from 'node:fs';
      const lane = process.argv[process.argv.indexOf('--project') + 1];
      const { passed, failed, code } = ${JSON.stringify(reports)}[lane];
      const file = process.argv.find((one) => one.startsWith('--outputFile.json=')).slice(18);
      writeFileSync(file, JSON.stringify({ numPassedTests: passed, numFailedTests: failed, numPendingTests: 1, numTodoTests: 0 }));
      console.log('lane', lane);
      process.exit(code);`,
    );
    program('temporal', '');
    program('temporal-test-server', '');
    // All packages there, whatever this machine has.
    program('dpkg-query', 'for name in "$@"; do echo "$name installed"; done');
  };
  const green = { passed: 2, failed: 0, code: 0 };
  const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? '';

  it.runIf(asRoot)('sums up over the lanes in its very last line', () => {
    prepare(0, { quick: { ...green, passed: 40 }, contract: green, lab: { ...green, passed: 5 } });
    const { stdout, status } = run(['test']);
    // The lab is two runs: what is measured runs by itself.
    expect(lastLine(stdout)).toBe('52 passed, 0 failed');
    expect(stdout).toContain('lab: 10 passed, 0 failed, 2 skipped');
    expect(stdout).toContain('4 skipped inside the lanes');
    expect(status).toBe(0);
  });

  it.runIf(asRoot)('stops after a lane that failed, and fails', () => {
    prepare(0, { quick: green, contract: { passed: 1, failed: 2, code: 1 }, lab: green });
    const { stdout, stderr, status } = run(['test']);
    expect(lastLine(stdout)).toBe('3 passed, 2 failed');
    expect(stdout).not.toContain('lane lab');
    expect(stderr).toContain('lab: not run');
    expect(status).toBe(1);
  });

  it.runIf(asRoot)('counts a lane that broke without a failing test as a failure', () => {
    prepare(0, { quick: { passed: 3, failed: 0, code: 1 }, contract: green, lab: green });
    const { stdout, status } = run(['test']);
    expect(lastLine(stdout)).toBe('3 passed, 1 failed');
    expect(status).toBe(1);
  });

  it.runIf(asRoot)('runs no test if a linter objects', () => {
    prepare(1, { quick: green, contract: green, lab: green });
    const { stdout, stderr, status } = run(['test']);
    expect(stderr).toContain('✗ knip');
    expect(lastLine(stdout)).toBe('0 passed, 1 failed');
    expect(status).toBe(1);
  });

  it('names loudly what it cannot run without root, and fails for it only in CI', () => {
    prepare(0, { quick: { ...green, passed: 9 }, contract: green, lab: green });
    write('plain-user.mjs', 'process.getuid = () => 1000;');
    const env = { NODE_OPTIONS: `--import ${join(dir, 'plain-user.mjs')}` };
    const { stdout, stderr, status } = run(['test'], env);
    expect(stderr).toMatch(/! contract: SKIPPED, not root/);
    expect(stderr).toMatch(/! lab: SKIPPED, not root/);
    expect(lastLine(stdout)).toBe('9 passed, 0 failed');
    expect(status).toBe(0);
    expect(run(['test'], { ...env, CI: 'true' }).status).toBe(1);
  });
});

describe('package-lock.json', () => {
  it('names the optional packages of every platform: without them npm ci refuses it (scripts/complete-lock.mjs)', () => {
    cpSync(join(repository, 'package-lock.json'), join(dir, 'package-lock.json'));
    const { stdout } = spawnSync(process.execPath, [join(dir, 'scripts/complete-lock.mjs')], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
  });
});
