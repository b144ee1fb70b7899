import { describe, expect, it, vi } from 'vitest';
import { runCli } from '../../../cli/program.ts';
import type { Ferry, FerryMove, MoveStatus, VersionList } from '../../../cli/ferry.ts';
import type { Backend } from '../../../cli/session.ts';
import { permanent, transient } from '../../../domain/errors.ts';
import type { MoveReport } from '../../../domain/move.ts';
import {
  backendWith,
  epochMs,
  factsOf,
  FakeMove,
  ferryWith,
  hostLine,
  moveId,
  planWith,
  playedStatus,
  statusWith,
  terminalWith,
  vm,
} from './fake-client.ts';

interface Options {
  move?: FerryMove;
  ferry?: Partial<Ferry>;
  backend?: Partial<Backend>;
  terminal?: ReturnType<typeof terminalWith>;
}

async function run(line: string, options: Options = {}) {
  const terminal = options.terminal ?? terminalWith();
  const ferry = ferryWith(options.move ?? new FakeMove(), options.ferry);
  const close = vi.spyOn(ferry, 'close');
  const code = await runCli(line.split(' '), {
    terminal,
    backend: backendWith(ferry, options.backend),
  });
  return { code, out: terminal.stdout(), err: terminal.stderr(), closed: close.mock.calls.length };
}

const migrate = 'migrate web-1 --from alpha --to beta';
const unreachable = transient({
  code: 'temporal-unreachable',
  message: 'Temporal at x did not answer',
  remedy: 'Start it.',
});
const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

describe('vmferry migrate', () => {
  it('follows the move to where it rests and prints the report', async () => {
    const move = new FakeMove(...[0, 1000, 4000, 8000, 17_000].map(playedStatus));
    const { code, out, err, closed } = await run(migrate, { move });
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(closed).toBe(1);
    expect(out).toMatch(/^2026-03-04T10:01:00Z web-1 pipeline check reserve-target .* commit\n/u);
    expect(out).toContain('web-1 phase checking\n');
    expect(out).toContain('web-1 step stop-source done in 1.5 s\n');
    expect(out).toContain('web-1 disk vda 16% 1.05 of 6.20 GiB 412 MiB/s 12 s left\n');
    expect(out).toContain('web-1 step copy try 2, first error: the worker of beta stopped');
    expect(out).toContain('✓ web-1 lives on beta; alpha keeps its copy until you commit\n');
    expect(out).not.toContain('\u001b');
  });

  it('asks for what the options say', async () => {
    const ask = vi.fn<Ferry['migrate']>(() => Promise.resolve(new FakeMove(playedStatus(17_000))));
    const line = `${migrate} --auto-start --verify off --bandwidth 100MiB/s --shutdown force --shutdown-timeout 30s --pool fast --auto-commit`;
    await run(line, {
      ferry: { migrate: ask },
      terminal: terminalWith({ env: { SUDO_USER: 'ada' } }),
    });
    expect(ask).toHaveBeenCalledWith({
      vm: 'web-1',
      from: 'alpha',
      to: 'beta',
      autoStart: true,
      verify: 'off',
      bandwidthBytesPerSecond: 104_857_600,
      shutdown: 'force',
      shutdownTimeoutMs: 30_000,
      targetPool: 'fast',
      storage: 'auto',
      sharedDisks: [],
      targetFormat: '',
      disks: {},
      allocation: 'thin',
      chain: 'flatten',
      autoCommit: true,
      operator: expect.stringMatching(/^ada@/u) as unknown,
    });
  });

  it('asks for another way of single disks', async () => {
    const ask = vi.fn<Ferry['migrate']>(() => Promise.resolve(new FakeMove(playedStatus(17_000))));
    await run(
      `${migrate} --format qcow2 --disk vda:pool=fast,format=raw --disk vdb:pool=a=b --shared-disk vdc --allocation full --chain keep`,
      { ferry: { migrate: ask } },
    );
    expect(ask.mock.calls[0]![0]).toMatchObject({
      storage: 'auto',
      targetFormat: 'qcow2',
      disks: { vda: { pool: 'fast', format: 'raw' }, vdb: { pool: 'a=b' } },
      sharedDisks: ['vdc'],
      allocation: 'full',
      chain: 'keep',
    });
  });

  it('prints nothing but the report as JSON on stdout with -o json', async () => {
    const move = new FakeMove(playedStatus(0), playedStatus(17_000));
    const { out } = await run(`${migrate} -o json`, { move });
    expect((JSON.parse(out) as MoveReport).phase).toBe('awaiting-commit');
  });

  it('returns at once with --detach', async () => {
    const move = new FakeMove();
    move.watch = () => {
      throw new Error('watched');
    };
    const { code, out } = await run(`${migrate} --detach`, { move });
    expect(code).toBe(0);
    expect(out).toBe(`Started ${moveId}\n  follow   vmferry status web-1 --watch\n`);
  });

  it('detaches on Ctrl-C, says that the move goes on, and lets go of the watch', async () => {
    const terminal = terminalWith();
    let signal: AbortSignal | undefined;
    const move = new FakeMove();
    move.watch = async function* (options): AsyncGenerator<MoveStatus> {
      signal = options?.signal;
      yield playedStatus(1000);
      terminal.interrupt();
      await never();
    };
    const { code, err, closed } = await run(`--config lab.yaml ${migrate}`, { move, terminal });
    expect(code).toBe(130);
    expect(signal?.aborted).toBe(true);
    expect(closed).toBe(1);
    expect(err).toBe(
      [
        '',
        'Detached. The move of web-1 goes on without this window.',
        '  follow   vmferry --config lab.yaml status web-1 --watch',
        '  cancel   vmferry --config lab.yaml cancel web-1',
        '',
      ].join('\n'),
    );
  });

  it('does not claim to know whether a move began that was interrupted while it was started', async () => {
    const terminal = terminalWith();
    const { code, err } = await run(migrate, {
      terminal,
      ferry: {
        migrate: () => {
          queueMicrotask(() => terminal.interrupt('SIGTERM'));
          return never();
        },
      },
    });
    expect(code).toBe(143);
    expect(err).toContain('it may have begun. See `vmferry status web-1`.');
  });

  it.each([
    ['failed', 3],
    ['parked', 4],
    ['cancelled', 5],
    ['committed', 0],
  ] as const)('ends with a move that is %s by code %d', async (phase, expected) => {
    const { code } = await run(migrate, { move: new FakeMove(statusWith({ phase })) });
    expect(code).toBe(expected);
  });

  it('says which move stands in the way, on stderr alone', async () => {
    const error = permanent({
      code: 'move-already-running',
      message: `web-1 is already being moved by ${moveId}`,
      remedy: 'Follow it.',
      host: 'alpha',
    });
    const { code, out, err, closed } = await run(migrate, {
      ferry: { migrate: () => Promise.reject(error) },
    });
    expect(code).toBe(3);
    expect(out).toBe('');
    expect(err).toBe(
      `error:  web-1 is already being moved by ${moveId}\nhost:   alpha\nremedy: Follow it.\n`,
    );
    expect(closed).toBe(1);
  });

  it('tells an unreachable server apart, also as JSON', async () => {
    const backend = { connect: () => Promise.reject(unreachable) };
    const { code, err } = await run(`${migrate} -o json`, { backend });
    expect(code).toBe(6);
    expect(JSON.parse(err)).toEqual({ error: unreachable.toFault() });
  });

  it('gives up when the watch gives up', async () => {
    const move = new FakeMove(playedStatus(0), unreachable);
    const { code, out } = await run(migrate, { move });
    expect(code).toBe(6);
    expect(out).toContain('phase checking');
  });

  it.each([
    ['migrate web-1 --to beta', "required option '--from <host>' not specified"],
    ['migrate web-1 --from alpha --to alpha', '--from and --to both name alpha'],
    [`${migrate} --bandwidth fast`, 'is not a rate'],
    [`${migrate} --verify some`, 'Allowed choices are full, off'],
    [`${migrate} --format vmdk`, 'Allowed choices are raw, qcow2'],
    [`${migrate} --storage most`, 'Allowed choices are auto, copy, shared'],
    [`${migrate} --allocation some`, 'Allowed choices are thin, full'],
    [`${migrate} --chain some`, 'Allowed choices are flatten, keep'],
    [`${migrate} --disk vda`, 'Expected NAME:pool=POOL,format=FORMAT'],
    [`${migrate} --disk vda:`, 'Expected NAME:pool=POOL,format=FORMAT'],
    [`${migrate} --disk vda:size=3`, 'vda has size twice, or it is unknown'],
    [`${migrate} --disk vda:format=vmdk`, 'vda can be written as raw or qcow2'],
    [`${migrate} --disk vda:pool=a --disk vda:pool=b`, 'vda was named before'],
    [`${migrate} --disk vda:pool=a --shared-disk vda`, 'vda cannot be shared and go to another'],
    [`${migrate} --storage copy --shared-disk vda`, '--storage copy copies every disk'],
    [`${migrate} --storage shared --disk vda:pool=a`, '--storage shared copies no disk'],
    [`${migrate} --dry-run --detach`, '--dry-run starts no move'],
    ['migrat web-1', "unknown command 'migrat'"],
    ['status --watch', '--watch needs a move or an import'],
    ['hosts --facst', "unknown option '--facst'"],
  ])('refuses `%s` as wrong usage', async (line, said) => {
    const { code, out, err } = await run(line);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain(said);
    expect(err).toMatch(/^error: .*\nremedy: .*\n$/u);
  });
});

describe('vmferry migrate --dry-run', () => {
  const never = vi.fn<Ferry['migrate']>(() => Promise.reject(new Error('started')));

  it('shows findings, disks and steps, and starts nothing', async () => {
    const { code, out } = await run(`${migrate} --dry-run`, { ferry: { migrate: never } });
    expect(code).toBe(0);
    expect(never).not.toHaveBeenCalled();
    expect(out).toBe(`✓ web-1 can move from alpha to beta
  web-1 runs on alpha and would be shut down; disks would be copied. One running copy would be enforced: a live guard on both hosts.

Findings
  none

Disks
  Disk  How                             Size     Taken
  vda   copied                      20.0 GiB  6.00 GiB
      /var/lib/libvirt/images/web-1.qcow2, qcow2 → /srv/fast/web-1.raw, raw in pool fast
  vdb   shared, seen by both hosts   100 GiB  42.0 GiB
      /mnt/nfs/web-1-data.raw, raw

Steps
  1.  Check           the VM, alpha and beta
  2.  Reserve target  room and volumes on beta
  3.  Guard source    alpha refuses other starts
  4.  Stop source     off on alpha, and kept off
  5.  Export          disks, read-only, over TLS
  6.  Copy            the data of each disk, to beta
  7.  Verify          hashes of both sides
  8.  Define          the VM on beta
  9.  Cut over        beta becomes the owner
  10. Start           the VM on beta
  11. Commit          removes the VM from alpha

This was a dry run: nothing was touched.
`);
  });

  it('ends with the code of a refusal where a finding is critical', async () => {
    const concern = {
      code: 'target-room',
      level: 'critical',
      message: 'pool images on beta is full',
      remedy: 'Free some room.',
      host: 'beta',
    } as const;
    const plan = () => Promise.resolve(planWith({ concerns: [concern], oneRunning: 'none' }));
    const { code, out } = await run(`${migrate} --dry-run`, { ferry: { plan } });
    expect(code).toBe(3);
    expect(out).toContain('✗ web-1 cannot move from alpha to beta as asked\n');
    expect(out).toContain('✗ pool images on beta is full (beta)\n    Free some room.\n');
  });
});

describe('on a terminal', () => {
  it('ends the live view with a still frame, and the report below', async () => {
    const terminal = terminalWith({ isTTY: true, columns: 80, rows: 40, env: { NO_COLOR: '1' } });
    const move = new FakeMove(playedStatus(8000), playedStatus(17_000));
    const { code, out } = await run(migrate, { move, terminal });
    expect(code).toBe(0);
    expect(out).toContain('Looking for web-1 on alpha …');
    expect(out).toContain('Ctrl-C leaves this view; the move goes on.');
    const [, last = ''] = out.split(/(?=✓ web-1 lives on beta)/u);
    expect(last).not.toContain('\u001b');
    expect(last).toContain('vmferry commit web-1');
  });

  it.each([[{ TERM: 'dumb' }], [{ CI: 'true' }]])('prints plain lines with %j', async (env) => {
    const terminal = terminalWith({
      isTTY: true,
      columns: 80,
      rows: 40,
      env: { ...env, NO_COLOR: '1' },
    });
    const { out } = await run(migrate, { move: new FakeMove(playedStatus(17_000)), terminal });
    expect(out).not.toContain('\u001b');
    expect(out).toContain('web-1 phase awaiting-commit');
  });
});

describe('orders', () => {
  const waiting = statusWith({ phase: 'awaiting-commit' });

  it.each([
    ['commit web-1', 'commit', 'committed'],
    ['rollback web-1', 'rollback discard=false', 'rolled-back'],
    ['rollback web-1 --discard-target-writes', 'rollback discard=true', 'rolled-back'],
    ['cancel web-1', 'cancel', 'cancelled'],
  ] as const)(
    '`%s` gives the order and is done once the move is %s',
    async (line, order, phase) => {
      const move = new FakeMove(waiting);
      move.onOrder = () => move.coming.splice(0, 1, statusWith({ phase }));
      const { code } = await run(line, { move });
      expect(move.orders).toEqual([order]);
      expect(code).toBe(0);
    },
  );

  it('an order that ends otherwise than asked says so', async () => {
    const move = new FakeMove(waiting);
    move.onOrder = () => move.coming.splice(0, 1, statusWith({ phase: 'parked' }));
    expect((await run('commit web-1', { move })).code).toBe(4);
  });

  it('does not take the rest from before the order for its answer', async () => {
    const parked = statusWith({ phase: 'parked' });
    const move = new FakeMove(parked);
    let watches = 0;
    move.watch = async function* (): AsyncGenerator<MoveStatus> {
      watches += 1;
      yield await Promise.resolve(watches === 1 ? parked : waiting);
    };
    const { code } = await run('retry web-1', { move });
    expect(watches).toBe(2);
    expect(code).toBe(0);
  });

  it('a refused order has changed nothing', async () => {
    const move = new FakeMove(waiting);
    const message = 'web-1 has run on beta for about 3 min; say so with --discard-target-writes';
    move.rollback = () =>
      Promise.reject(permanent({ code: 'order-refused', message, remedy: 'See its status.' }));
    const { code, err } = await run('rollback web-1', { move });
    expect(code).toBe(3);
    expect(err).toContain(message);
  });

  it('--detach returns after the server accepted', async () => {
    const { code, out } = await run('commit web-1 --detach', { move: new FakeMove(waiting) });
    expect(code).toBe(0);
    expect(out).toBe(`Accepted: commit ${moveId}\n`);
  });
});

describe('vmferry status', () => {
  it('shows a move with its steps and its report, and its code', async () => {
    const { code, out } = await run('status web-1', {
      move: new FakeMove(statusWith({ phase: 'parked' })),
    });
    expect(code).toBe(4);
    expect(out).toContain('  · Reserve target  room and volumes on beta\n');
    expect(out).toContain('! The move of web-1 is parked');
  });

  it('prints every state as a JSON line while it watches', async () => {
    const move = new FakeMove(playedStatus(0), playedStatus(8000), playedStatus(17_000));
    const { out } = await run('status web-1 --watch -o json', { move });
    const phases = out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as MoveStatus).report.phase);
    expect(phases).toEqual(['checking', 'copying', 'awaiting-commit']);
  });

  it('lists the latest moves', async () => {
    const at = (ms: number): string => new Date(epochMs + ms).toISOString();
    const one = { id: moveId, runId: 'r', vmName: 'web-1', source: 'alpha', target: 'beta' };
    const moves = [
      { ...one, phase: 'copying', startedAt: at(0) },
      { ...one, vmName: 'db', phase: 'rolled-back', startedAt: at(-90_000), endedAt: at(-30_000) },
    ];
    const { out } = await run('status', { ferry: { moves: () => Promise.resolve(moves) } });
    expect(out.split('\n').map((line) => line.replace(/ {2}migrate\/.*$/u, ''))).toEqual([
      'VM     From   To    Phase        Started                    Took  ID',
      'web-1  alpha  beta  copying      2026-03-04 10:00:00 UTC  1m 00s',
      'db     alpha  beta  rolled back  2026-03-04 09:58:30 UTC  1m 00s',
      '',
    ]);
    expect((await run('status')).out).toBe('No moves or imports yet.\n');
  });
});

describe('vmferry versions', () => {
  const open = (vmName: string, phase: string) => ({
    id: `migrate/default/${vmName}`,
    vmName,
    phase,
  });
  const line = { version: '0.1.0-aaaaaaaaaaaa', current: false, online: true, moves: [] };
  const shown = async (list: VersionList) =>
    (await run('versions', { ferry: { versions: () => Promise.resolve(list) } })).out;

  it('names the moves that an old worker is kept for, and the worker that nothing needs', async () => {
    const out = await shown({
      versions: [
        { ...line, version: '0.3.0-cccccccccccc', current: true, moves: [open('new', 'copying')] },
        { ...line, moves: [open('web-1', 'parked'), open('db', 'awaiting-commit')] },
        { ...line, version: '0.2.0-bbbbbbbbbbbb' },
      ],
      waiting: [],
    });
    expect(out).toBe(
      [
        'Version             Worker  New moves  Open moves',
        '0.3.0-cccccccccccc  online  go here             1',
        '0.1.0-aaaaaaaaaaaa  online                      2',
        '0.2.0-bbbbbbbbbbbb  online                      0',
        '',
        '0.1.0-aaaaaaaaaaaa is needed until the moves of web-1 (parked), db (awaiting commit) are over.',
        '0.2.0-bbbbbbbbbbbb has no open moves: its worker may be ended.',
        '',
      ].join('\n'),
    );
  });

  it('says what waits for a worker that is not there', async () => {
    const out = await shown({
      versions: [
        { ...line, version: '0.2.0-bbbbbbbbbbbb', current: true, online: false },
        { ...line, online: false, moves: [open('web-1', 'copying')] },
      ],
      waiting: [open('web-2', 'planned')],
    });
    expect(out.split('\n').slice(4, -1)).toEqual([
      'No worker of 0.2.0-bbbbbbbbbbbb runs, and new moves wait for one: start it.',
      'No worker of 0.1.0-aaaaaaaaaaaa runs, and web-1 (copying) wait for one: start it.',
      '1 move is not taken up by a worker yet: web-2 (planned).',
    ]);
  });

  it('says that there is none yet, and names no more than twenty moves a version', async () => {
    expect(await shown({ versions: [], waiting: [] })).toMatch(/^No control worker has come up/);
    const moves = Array.from({ length: 22 }, (_, index) => open(`vm-${index}`, 'copying'));
    const out = await shown({ versions: [{ ...line, moves }], waiting: [] });
    expect(out).toContain('vm-19 (copying) and 2 more are over.');
    expect(out).not.toContain('vm-20');
  });
});

describe('vmferry vms and hosts', () => {
  const listed = {
    host: 'alpha',
    uuid: vm.uuid,
    name: 'web-1',
    state: 'running',
    memoryBytes: 2 ** 31,
    vcpus: 2,
    diskBytes: 20 * 2 ** 30,
    ownership: 'owner',
  } as const;

  it('lists VMs of the named hosts', async () => {
    const vms = vi.fn<Ferry['vms']>(() => Promise.resolve({ vms: [listed], unreachable: [] }));
    const { code, out } = await run('vms --host alpha --host beta', { ferry: { vms } });
    expect(vms).toHaveBeenCalledWith({ hosts: ['alpha', 'beta'] });
    expect(code).toBe(0);
    expect(out).toBe(
      'VM     Host   State    CPUs    Memory     Disks  Guard  UUID\n' +
        `web-1  alpha  running     2  2.00 GiB  20.0 GiB  owner  ${vm.uuid}\n`,
    );
  });

  it('does not let a list with holes pass for a whole one', async () => {
    const vms = () =>
      Promise.resolve({ vms: [listed], unreachable: [{ host: 'beta', reason: 'no worker' }] });
    const { code, err } = await run('vms', { ferry: { vms } });
    expect(code).toBe(1);
    expect(err).toBe('warning: no answer from beta: no worker\n');
  });

  it('shows hosts, and with --facts their guard and pools', async () => {
    const hosts = [{ ...hostLine('alpha'), facts: factsOf('alpha') }, hostLine('gamma', false)];
    const { out } = await run('hosts --facts', { ferry: { hosts: () => Promise.resolve(hosts) } });
    expect(out).toBe(
      [
        'Host   State    Address        vmferry  Guard  libvirt  QEMU   CPUs  Memory free  VMs',
        'alpha  online   198.51.100.11  0.1.0    live   9.0.0    7.2.0    16     41.0 GiB    0',
        'gamma  offline  198.51.100.11  0.1.0',
        '',
        'Host   Pool    Type  State      Free     Size  Path',
        'alpha  images  dir   active  200 GiB  500 GiB  /var/lib/libvirt/images',
        '',
      ].join('\n'),
    );
  });
});

describe('vmferry doctor', () => {
  it('is content where all is well', async () => {
    const ferry = {
      namespaceExists: () => Promise.resolve(true),
      clockOffsetMs: () => Promise.resolve(-12),
    };
    const { code, out } = await run('doctor', { ferry });
    expect(out).toBe(
      [
        '✓ Configuration      cluster default',
        '✓ Temporal           127.0.0.1:7233, version 1.32.0',
        '✓ Namespace          default',
        '✓ Search attributes  all there',
        '✓ Encryption key     k1 is active',
        '✓ Host alpha         online, guard live, vmferry 0.1.0',
        '✓ Host beta          online, guard live, vmferry 0.1.0',
        '✓ Clocks             this machine and the server are 12 ms apart',
        '',
        'All is well.',
        '',
      ].join('\n'),
    );
    expect(code).toBe(0);
  });

  it('goes on after each failure, with a remedy for it', async () => {
    const dead = {
      ...factsOf('beta'),
      guard: { hookLive: false, detail: 'the probe was not refused' },
    };
    const { code, out, closed } = await run('doctor', {
      backend: {
        readKeys: () =>
          Promise.reject(
            permanent({ code: 'secret-exposed', message: 'all may read it', remedy: 'chmod 0600' }),
          ),
      },
      ferry: {
        missingSearchAttributes: () => Promise.resolve(['Phase']),
        hosts: () =>
          Promise.resolve([hostLine('alpha'), hostLine('beta'), hostLine('gamma', false)]),
        hostFacts: (host) =>
          host === 'beta' ? Promise.resolve(dead) : Promise.reject(unreachable),
        clockOffsetMs: () => Promise.resolve(5000),
      },
    });
    expect(code).toBe(1);
    expect(closed).toBe(1);
    const bad = out.split('\n').filter((line) => line.startsWith('✗'));
    expect(bad).toEqual([
      '✗ Search attributes  missing: Phase',
      '✗ Encryption key     all may read it',
      '✗ Host alpha         Temporal at x did not answer',
      '✗ Host beta          online, but its guard is not live: the probe was not refused',
      '✗ Host gamma         no worker answers',
      '✗ Clocks             this machine and the server are 5.0 s apart',
    ]);
    expect(out.match(/remedy: /gu)).toHaveLength(bad.length);
    expect(out).toContain('6 of 9 checks failed.');
  });

  it('still looks at the keys when the server is away, and says what it could not look at', async () => {
    const { code, out } = await run('doctor -o json', {
      backend: { connect: () => Promise.reject(unreachable) },
    });
    expect(code).toBe(1);
    const states = (JSON.parse(out) as { check: string; state: string }[]).map(
      ({ check, state }) => `${check} ${state}`,
    );
    expect(states).toEqual([
      'Configuration good',
      'Temporal bad',
      'Namespace unknown',
      'Search attributes unknown',
      'Encryption key good',
      'Hosts unknown',
      'Clocks unknown',
    ]);
  });
});

describe('vmferry control, host and codec-server', () => {
  it('run the process of their name with the configuration', async () => {
    const runWorker = vi.fn<Backend['runWorker']>(() => Promise.resolve());
    for (const kind of ['control', 'host', 'codec-server'])
      await run(kind, { backend: { runWorker } });
    expect(runWorker.mock.calls.map(([kind, { cluster }]) => `${kind} ${cluster}`)).toEqual([
      'control default',
      'host default',
      'codec-server default',
    ]);
  });

  it('passes --log-level on', async () => {
    const loadConfig = vi.fn<Backend['loadConfig']>((globals) =>
      backendWith(ferryWith(new FakeMove())).loadConfig(globals),
    );
    await run('host --log-level debug --config /etc/x.yaml', { backend: { loadConfig } });
    expect(loadConfig).toHaveBeenCalledWith({ config: '/etc/x.yaml', logLevel: 'debug' });
  });
});
