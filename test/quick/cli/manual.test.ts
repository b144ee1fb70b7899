import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completionScripts } from '../../../cli/completion/scripts.ts';
import { exitCodeHelp } from '../../../cli/exit-code.ts';
import { currentManualPage } from '../../../cli/manual/current.ts';
import { manuals } from '../../../cli/manual/pages.ts';
import { cells } from '../../../cli/render/text.ts';
import { hostLine, terminalWith } from './fake-client.ts';
import { everyCommand, run } from './run.ts';

const page = new URL('../../../docs/man/vmferry.1', import.meta.url);
const call = promisify(execFile);
const has = async (program: string): Promise<boolean> =>
  call('which', [program]).then(
    () => true,
    () => false,
  );

describe('help', () => {
  const paths = [...everyCommand().keys()].filter((path) => !path.startsWith('lab '));

  it('has a manual for every command, and none for commands that are gone', () => {
    expect(Object.keys(manuals).sort()).toEqual([...everyCommand().keys()].sort());
  });

  it.each(paths)(
    'of %s says when, how, and with which codes it ends, within 80 columns',
    async (path) => {
      const terminal = terminalWith({ isTTY: true, columns: 80 });
      const { code, out } = await run([...path.split(' '), '--help'], { terminal });
      expect(code).toBe(0);
      for (const part of ['Usage:', 'When to use it:', 'Examples:', 'Exit codes:', 'Environment:'])
        expect(out).toContain(part);
      // Examples are not broken: they are to be copied.
      const long = out.split('\n').filter((line) => cells(line) > 80 && !line.includes('vmferry '));
      expect(long).toEqual([]);
    },
  );

  it('names each exit code somewhere', () => {
    const named = new Set(Object.values(manuals).flatMap((manual) => manual?.codes ?? []));
    const missing = exitCodeHelp.filter(([code]) => code !== 2 && !named.has(code));
    expect(missing).toEqual([]);
  });
});

describe('the manual page', () => {
  it('is that of the commands: run `npm run build` after a change', async () => {
    expect(await readFile(page, 'utf8')).toBe(currentManualPage());
  });

  it('renders without a warning where there is something to render it', async () => {
    const file = page.pathname;
    const tools: [string, string[]][] = [
      ['groff', ['-ww', '-man', '-Tutf8', '-z', file]],
      ['mandoc', ['-T', 'lint', '-W', 'style', file]],
    ];
    for (const [tool, args] of tools) {
      if (!(await has(tool))) continue;
      const { stdout, stderr } = await call(tool, args);
      expect({ tool, said: stdout + stderr }).toEqual({ tool, said: '' });
    }
  });
});

describe('completion', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vmferry-completion-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const offer = async (line: string, options: Parameters<typeof run>[1] = {}) => {
    const { code, out, err } = await run(['__complete', '--', ...line.split(' ')], options);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    return out.split('\n').flatMap((row) => (row === '' ? [] : [row.split('\t')[0] ?? '']));
  };
  const fleet = {
    ferry: {
      hosts: () => Promise.resolve([hostLine('alpha'), hostLine('beta', false)]),
      vms: ({ hosts }: { hosts?: string[] } = {}) =>
        Promise.resolve({
          vms: ['web-1', 'db'].map((name) => ({
            host: hosts?.[0] ?? 'gamma',
            uuid: name,
            name,
            state: 'running' as const,
            memoryBytes: 1,
            vcpus: 1,
            diskBytes: 1,
          })),
          unreachable: [],
        }),
      moves: () =>
        Promise.resolve([
          {
            id: 'a',
            runId: 'r',
            vmName: 'web-1',
            source: 'alpha',
            target: 'beta',
            phase: 'parked',
            startedAt: '',
          },
          {
            id: 'b',
            runId: 'r',
            vmName: 'old',
            source: 'alpha',
            target: 'beta',
            phase: 'committed',
            startedAt: '',
            endedAt: 'x',
          },
        ]),
    },
  };

  it.each([
    ['co', ['commit', 'control', 'codec-server', 'config', 'completion', 'conversion-hosts']],
    ['guard ', ['show', 'claim']],
    ['migrate --shutdown ', ['graceful', 'force', 'refuse']],
    ['migrate --shutdown f', ['force']],
    ['migrate web-1 --shutdown-t', ['--shutdown-timeout']],
    ['hosts -o ', ['text', 'json']],
    ['hosts disable ', ['alpha', 'beta']],
    ['completion ', ['bash', 'zsh', 'fish']],
    ['config check ', [':files']],
    ['--config ', [':files']],
    ['migrate web-1 --from ', ['alpha', 'beta']],
    ['migrate web-1 --from alpha --to b', ['beta']],
    ['migrate ', ['web-1', 'db']],
    ['migrate --verify full w', ['web-1']],
    ['retry ', ['web-1']],
    ['explain ', ['old', 'web-1']],
    ['migrate web-1 ', []],
    ['nonsense ', []],
  ])('offers after `vmferry %s` %j', async (line, wanted) => {
    expect((await offer(line, fleet)).sort()).toEqual([...wanted].sort());
  });

  it('asks the fleet of the configuration that is named, and the host that is named', async () => {
    const seen: (string | undefined)[] = [];
    const { out } = await run('__complete -- --config lab.yaml migrate --from alpha '.split(' '), {
      ...fleet,
      backend: {
        loadConfig: ({ config }) => {
          seen.push(config);
          return Promise.resolve({} as never);
        },
      },
    });
    expect(seen).toEqual(['lab.yaml']);
    expect(out).toContain('web-1\trunning on alpha\n');
  });

  it('is silent where nobody can be asked', async () => {
    const backend = { connect: () => Promise.reject(new Error('no server')) };
    expect(await offer('migrate --from ', { backend })).toEqual([]);
  });

  it('does not wait for a server that does not answer', async () => {
    const hosts = () => new Promise<never>(() => undefined);
    expect(await offer('migrate --from ', { ferry: { hosts } })).toEqual([]);
  });

  it.each(Object.keys(completionScripts) as (keyof typeof completionScripts)[])(
    'the script of %s is printed, and sound to that shell where it is installed',
    async (shell) => {
      const { code, out } = await run(['completion', shell]);
      expect(code).toBe(0);
      expect(out).toBe(completionScripts[shell]);
      if (!(await has(shell))) return;
      const file = join(folder, shell);
      await writeFile(file, out);
      expect(await call(shell, ['-n', file])).toEqual({ stdout: '', stderr: '' });
    },
  );

  it('completes in a real bash', async () => {
    const script = `
      vmferry() { printf '%s\\n' "$*" >&2; printf 'alpha\\tonline\\nal pine\\toffline\\n'; }
      ${completionScripts.bash}
      COMP_WORDS=(vmferry migrate --from al); COMP_CWORD=3
      _vmferry
      printf '<%s>' "\${COMPREPLY[@]}"`;
    const { stdout } = await call('bash', ['-c', script]);
    expect(stdout).toBe('<alpha><al\\ pine>');
  });
});
