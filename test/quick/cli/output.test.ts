import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend } from '../../../cli/backend.ts';
import { outputs } from '../../../cli/output/catalogue.ts';
import { outputJsonSchema } from '../../../cli/output/json-schema.ts';
import type { OutputName } from '../../../cli/output/names.ts';
import { manuals } from '../../../cli/manual/pages.ts';
import type { Ferry } from '../../../cli/ferry.ts';
import { permanent } from '../../../domain/errors.ts';
import { Ledger } from '../../../guard/ledger.ts';
import {
  epochMs,
  factsOf,
  FakeMove,
  hostLine,
  moveId,
  planWith,
  playedStatus,
  statusWith,
  terminalWith,
  vm,
} from './fake-client.ts';
import { rememberedHost } from '../hosts/remembered.ts';
import { everyCommand, run } from './run.ts';
import type { RunOptions } from './run.ts';
import { savedEvents, storyOf } from './story/saved.ts';

const at = (ms: number): string => new Date(epochMs + ms).toISOString();
const fault = {
  code: 'c',
  handling: 'permanent',
  message: 'm',
  remedy: 'r',
  host: 'beta',
} as const;

/** What `text` holds, as the schema has it; fails with the place where it does not fit. */
function parsed(name: OutputName, text: string): unknown {
  const value: unknown = JSON.parse(text);
  const result = outputs[name].safeParse(value);
  expect(result.error?.issues ?? []).toEqual([]);
  return value;
}

describe('the published schemas', () => {
  const folder = new URL('../../../docs/schemas/', import.meta.url);

  it('are those of the code: run `npm run build` after a change', async () => {
    const names = Object.keys(outputs) as OutputName[];
    expect((await readdir(folder)).sort()).toEqual(names.map((name) => `${name}.json`).sort());
    for (const name of names) {
      const file = new URL(`${name}.json`, folder);
      const options = { ...(await resolveConfig(file)), parser: 'json' };
      const wanted = await format(JSON.stringify(outputJsonSchema(name)), options);
      expect(await readFile(file, 'utf8'), name).toBe(wanted);
    }
  });

  it('are named by each command that has -o json', () => {
    for (const [path, command] of everyCommand()) {
      const asks = command.options.some(({ long }) => long === '--output');
      expect({ path, json: (manuals[path]?.json.length ?? 0) > 0 }).toEqual({ path, json: asks });
    }
  });

  it('are all in the table of docs/cli.md', async () => {
    const page = await readFile(new URL('../../../docs/cli.md', import.meta.url), 'utf8');
    const table = /\| command \| schema \|\n([^]*?)\n\n/.exec(page)?.[1] ?? '';
    const schemas = table.split('\n').map((row) => row.split(/(?<!\\)\|/)[2] ?? '');
    const told = new Set([...schemas.join().matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name));
    expect(Object.keys(outputs).filter((name) => !told.has(name))).toEqual([]);
  });

  it('refuse a field that nobody described', () => {
    const { report } = playedStatus(17_000);
    expect(outputs.report.safeParse({ ...report, surprise: 1 }).success).toBe(false);
  });
});

describe('what -o json prints', () => {
  const parkedMove = () =>
    new FakeMove(
      statusWith({
        phase: 'parked',
        parkedIn: 'copying',
        fault,
        firstError: fault,
        failedCompensations: [fault],
        notes: ['a note'],
        orders: [{ order: 'retry', operator: 'ada@desk', at: at(3) }],
        endedAt: at(9),
        downtimeMs: 3,
      }),
    );
  const retried = () => {
    const move = parkedMove();
    move.onOrder = () => move.coming.splice(0, 1, statusWith({ phase: 'committed' }));
    return move;
  };
  const remembered = rememberedHost('alpha');
  const remembering = {
    host: () => Promise.resolve(remembered),
    setHost: () => Promise.resolve(remembered.state),
  };
  const hosts: Ferry['hosts'] = () =>
    Promise.resolve([
      { ...hostLine('alpha'), facts: factsOf('alpha') },
      { ...hostLine('beta'), trouble: 'no answer' },
    ]);
  const vms: Ferry['vms'] = () =>
    Promise.resolve({
      vms: [
        {
          host: 'alpha',
          uuid: vm.uuid,
          name: 'web-1',
          state: 'running',
          memoryBytes: 1,
          vcpus: 2,
          diskBytes: 3,
          ownership: 'owner',
        },
      ],
      unreachable: [{ host: 'beta', reason: 'no worker' }],
    });
  const versions: Ferry['versions'] = () =>
    Promise.resolve({
      versions: [
        {
          version: '0.1.0-aaaaaaaaaaaa',
          current: false,
          online: true,
          moves: [{ id: moveId, vmName: 'web-1', phase: 'parked' }],
        },
      ],
      waiting: [{ id: moveId, vmName: 'web-2', phase: 'planned' }],
    });
  const moves: Ferry['moves'] = () =>
    Promise.resolve([
      {
        id: moveId,
        runId: 'r',
        vmName: 'web-1',
        source: 'alpha',
        target: 'beta',
        phase: 'copying',
        startedAt: at(0),
        endedAt: at(1),
      },
    ]);
  const concern = {
    code: 'c',
    level: 'critical',
    message: 'm',
    remedy: 'r',
    host: 'beta',
  } as const;
  const orphans = () =>
    Promise.resolve({
      orphans: [
        {
          id: '3f0a52c81b7e',
          host: 'beta',
          kind: 'volume',
          what: '/srv/web-1.raw',
          moveId,
          migrationId: 'm',
          vm,
          since: at(0),
          why: 'its move was terminated',
          remedy: 'r',
          server: { clusterId: 'c', namespaceId: 'n' },
          volume: {
            pool: 'fast',
            name: 'web-1.raw',
            kind: 'file',
            format: 'raw',
            identity: '1:2:3',
            knownBefore: false,
          },
          sizeBytes: 1,
          usedBy: [],
          removable: true,
        } as const,
      ],
      unreachable: [],
    });
  const settleOrphan = () =>
    Promise.resolve({ id: '3f0a52c81b7e', what: '/srv/web-1.raw', done: 'kept' } as const);
  const plan: Ferry['plan'] = () => Promise.resolve(planWith({ concerns: [concern] }));
  const migrate = 'migrate web-1 --from alpha --to beta';

  it.each<[string, OutputName, () => RunOptions]>([
    [migrate, 'report', () => ({ move: new FakeMove(playedStatus(17_000)) })],
    [`${migrate} --detach`, 'started', () => ({})],
    [`${migrate} --dry-run`, 'plan', () => ({ ferry: { plan } })],
    ['status web-1', 'status', () => ({ move: new FakeMove(playedStatus(8000)) })],
    ['status web-1', 'status', () => ({ move: parkedMove() })],
    ['status', 'moves', () => ({ ferry: { moves } })],
    ['explain web-1', 'story', () => ({})],
    ['retry web-1', 'report', () => ({ move: retried() })],
    ['commit web-1 --detach', 'accepted', () => ({})],
    ['rollback web-1 --detach', 'accepted', () => ({})],
    ['cancel web-1 --detach', 'accepted', () => ({})],
    ['retry web-1 --detach', 'accepted', () => ({})],
    ['vms', 'vms', () => ({ ferry: { vms } })],
    ['hosts --facts', 'hosts', () => ({ ferry: { hosts } })],
    ['hosts show alpha', 'host', () => ({ ferry: remembering as unknown as Partial<Ferry> })],
    [
      'hosts disable alpha',
      'host-state',
      () => ({ ferry: remembering as unknown as Partial<Ferry> }),
    ],
    ['versions', 'versions', () => ({ ferry: { versions } })],
    ['doctor', 'findings', () => ({ ferry: { hosts } })],
    ['orphans', 'orphans', () => ({ ferry: { orphans } as unknown as Partial<Ferry> })],
    [
      'orphans keep 3f0a52c81b7e --host beta',
      'orphan-outcome',
      () => ({ ferry: { settleOrphan } as unknown as Partial<Ferry> }),
    ],
  ])('`%s` fits %s.json', async (line, name, options) => {
    const { out } = await run([...line.split(' '), '-o', 'json'], {
      ...options(),
      terminal: terminalWith(),
    });
    parsed(name, out);
  });

  it.each(['committed', 'cancelled', 'failed-and-undone', 'rolled-back', 'failed-after-cutover'])(
    'the story of a move that was %s fits story.json',
    async (name) => {
      const move = new FakeMove();
      const story = await storyOf(await savedEvents(name));
      move.story = () => Promise.resolve(story);
      const { out } = await run(['explain', 'web', '-o', 'json'], { move });
      expect(parsed('story', out)).toEqual(JSON.parse(JSON.stringify(story)));
    },
  );

  it('each line of a watch fits status.json', async () => {
    const move = new FakeMove(...[0, 4000, 17_000].map(playedStatus));
    const { out } = await run(['status', 'web-1', '--watch', '-o', 'json'], { move });
    const lines = out.trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) parsed('status', line);
  });

  it('an error is one line on stderr, wrong usage too, and stdout stays empty', async () => {
    const refusal = permanent({ code: 'vm-not-found', message: 'm', remedy: 'r', host: 'alpha' });
    const asked = { ferry: { migrate: () => Promise.reject(refusal) } };
    for (const [line, code] of [
      [`${migrate} -o json`, 3],
      [`${migrate} -o json --verify some`, 2],
      ['migrat -o json', 2],
      ['status --watch --output=json', 2],
    ] as const) {
      const { code: exit, out, err } = await run(line.split(' '), asked);
      expect({ line, exit, out }).toEqual({ line, exit: code, out: '' });
      expect(err.trimEnd()).not.toContain('\n');
      parsed('error', err);
    }
  });

  it('-o text is the default, and table, its old name, still works', async () => {
    const plain = await run(['hosts']);
    expect(plain.out).toContain('alpha');
    expect(await run(['hosts', '-o', 'text'])).toEqual(plain);
    expect(await run(['hosts', '-o', 'table'])).toEqual(plain);
    expect((await run(['hosts', '-o', 'yaml'])).code).toBe(2);
  });
});

describe('on one machine', () => {
  let dir: string;
  let config: string;
  const uuid = '6e1da7ec-f864-4a42-9bd1-93a335788ca2';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vmferry-output-'));
    config = join(dir, 'vmferry.yaml');
    await writeFile(
      config,
      [
        'encryption:',
        '  keys: [{ id: k1, key: "exec:/usr/bin/pass show top-secret" }]',
        '  active: k1',
        `host: { name: alpha, migrationAddress: 127.0.0.1, stateDir: ${dir}, limits: { bandwidth: 1000001B/s } }`,
        'codecServer: { listen: "[::1]:8234" }',
        '',
      ].join('\n'),
    );
    const ledger = new Ledger({ stateDir: dir, host: 'alpha' });
    const disks = [{ path: '/d', identity: '1:2:3' }];
    const note = 'moved';
    await ledger.transition(uuid, {
      to: 'released',
      epoch: 3,
      migrationId: 'm',
      name: 'web',
      note,
      disks,
    });
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  const here = (line: string) =>
    run(['--config', config, ...line.split(' ')], {
      backend: { loadConfig: (globals) => backend.loadConfig(globals) },
    });

  it('guard prints its ledger and the entry it claimed', async () => {
    parsed('ledger', (await here('guard show -o json')).out);
    parsed('ledger-entry', (await here(`guard claim ${uuid} --reason r -o json`)).out);
  });

  it('config check says what a file is good for', async () => {
    const { code, out } = await here('config check -o json');
    expect(code).toBe(0);
    expect(parsed('config-check', out)).toEqual({
      file: config,
      ok: true,
      problems: [],
      serves: ['client', 'control', 'host', 'codec-server'],
    });
    expect((await here('config check')).out).toBe(
      `✓ ${config} is sound.\nIt is enough for: client, control, host, codec-server.\n`,
    );
  });

  it('config check says all that is wrong, with line and remedy, by code 2', async () => {
    const broken = join(dir, 'broken.yaml');
    await writeFile(broken, 'clutser: a\nlog: { level: loud }\n');
    const { code, out } = await here(`config check ${broken} -o json`);
    expect(code).toBe(2);
    const { ok, problems } = parsed('config-check', out) as { ok: boolean; problems: unknown[] };
    expect(ok).toBe(false);
    expect(problems).toMatchObject([{ line: 1 }, { line: 2, key: 'log.level' }]);
    const text = await here(`config check ${broken}`);
    expect(text.code).toBe(2);
    expect(text.out).toContain(`${broken}:2:`);
    expect((await here('config check /nowhere/x.yaml')).code).toBe(2);
  });

  it('config show gives back a file that says the same, without what may be secret', async () => {
    const { out } = await here('config show');
    expect(out).not.toContain('top-secret');
    expect(out).toContain('exec:/usr/bin/pass ...');
    const again = join(dir, 'again.yaml');
    await writeFile(again, out);
    const shown = parsed('config-shown', (await here('config show -o json')).out);
    const second = await run(['--config', again, 'config', 'show', '-o', 'json']);
    expect((JSON.parse(second.out) as { config: unknown }).config).toEqual(
      (shown as { config: unknown }).config,
    );
    expect(out).toContain('bandwidth: 1000001B/s');
    expect(out).toContain('listen: "[::1]:8234"');
  });

  it('config schema prints what is published', async () => {
    const published = new URL('../../../config/vmferry-config.schema.json', import.meta.url);
    const { out } = await here('config schema');
    expect(JSON.parse(out)).toEqual(JSON.parse(await readFile(published, 'utf8')));
  });
});
