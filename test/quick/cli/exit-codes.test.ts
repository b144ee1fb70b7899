import { describe, expect, it } from 'vitest';
import { codesOf } from '../../../cli/manual/manual.ts';
import { manuals } from '../../../cli/manual/pages.ts';
import type { Ferry, FerryMove } from '../../../cli/ferry.ts';
import { cancelled, needsOperator, permanent, transient, unsafe } from '../../../domain/errors.ts';
import type { Fault, VmFerryError } from '../../../domain/errors.ts';
import type { MoveReport, Phase } from '../../../domain/move.ts';
import { FakeMove, planWith, statusWith, terminalWith } from './fake-client.ts';
import { run } from './run.ts';

const fault: Fault = { code: 'c', handling: 'permanent', message: 'm', remedy: 'r' };
const said = { message: 'm', remedy: 'r' };
const unreachable = transient({ code: 'temporal-unreachable', ...said });
const notFound = permanent({ code: 'vm-not-found', ...said });
const noMove = permanent({ code: 'move-not-found', ...said });
const refusal = permanent({ code: 'order-refused', ...said });
const tooLate = cancelled({ code: 'order-refused', ...said });
const risky = unsafe({ code: 'ownership-conflict', ...said });
const defect = needsOperator({ code: 'unexpected', ...said });

const migrate = 'migrate web-1 --from alpha --to beta';
const orders = ['commit', 'rollback', 'cancel', 'retry'] as const;
const onMoves = [migrate, 'status web-1', ...orders.map((order) => `${order} web-1`)];

/** A move in the given phase, as far as `copy` where it came so far. */
function moveIn(phase: Phase, { began = true }: { began?: boolean } = {}): FakeMove {
  const change: Partial<MoveReport> = { phase, ...(phase === 'failed' ? { fault } : {}) };
  const status = statusWith(change);
  status.report.steps.forEach((step, index) => {
    if (index === 0 || (began && index < 5)) step.state = 'done';
  });
  return new FakeMove(status);
}

const codeOf = async (line: string, options: Parameters<typeof run>[1] = {}): Promise<number> =>
  (await run(line.split(' '), options)).code;

describe('a move that is followed ends by its own code', () => {
  const ends: [Phase, { began?: boolean }, number][] = [
    ['committed', {}, 0],
    ['awaiting-commit', {}, 0],
    ['failed', {}, 1],
    ['failed', { began: false }, 3],
    ['parked', {}, 4],
    ['cancelled', {}, 5],
    ['rolled-back', {}, 5],
  ];
  for (const [phase, how, code] of ends) {
    const early = how.began === false ? ' by a check' : '';
    it(`${phase}${early}: ${code}`, async () => {
      for (const line of [migrate, 'status web-1', 'status web-1 --watch'])
        expect({ line, code: await codeOf(line, { move: moveIn(phase, how) }) }).toEqual({
          line,
          code,
        });
    });
  }

  it.each([
    ['commit', 'committed', 0],
    ['commit', 'rolled-back', 5],
    ['commit', 'failed', 1],
    ['commit', 'parked', 4],
    ['rollback', 'rolled-back', 0],
    ['rollback', 'committed', 0],
    ['rollback', 'parked', 4],
    ['cancel', 'cancelled', 0],
    ['cancel', 'failed', 1],
    ['cancel', 'parked', 4],
    ['retry', 'awaiting-commit', 0],
    ['retry', 'parked', 4],
    ['retry', 'failed', 1],
    ['retry', 'cancelled', 5],
  ] as const)('after `%s` it is %s: %d', async (order, phase, code) => {
    const move = new FakeMove(statusWith({ phase: 'awaiting-commit', notes: ['before'] }));
    move.onOrder = () => move.coming.splice(0, 1, ...moveIn(phase).coming);
    expect(await codeOf(`${order} web-1`, { move })).toBe(code);
  });
});

describe('a command that cannot be done says why by its code', () => {
  const failing = (error: VmFerryError): Partial<Ferry> => {
    const fail = () => Promise.reject(error);
    return {
      migrate: fail,
      plan: fail,
      move: fail,
      work: fail,
      moves: fail,
      vms: fail,
      hosts: fail,
    };
  };
  const asking = [`${migrate} --dry-run`, ...onMoves, 'explain web-1', 'status', 'vms', 'hosts'];

  it.each([
    ['no connection to Temporal', unreachable, 6],
    ['no such VM', notFound, 3],
    ['no such move', noMove, 3],
    ['a risk of two running copies', risky, 3],
    ['an unforeseen error', defect, 1],
  ] as const)('%s', async (_, error, code) => {
    for (const line of asking)
      expect({ line, code: await codeOf(line, { ferry: failing(error) }) }).toEqual({ line, code });
  });

  it('no connection from the start, and a configuration that cannot be used', async () => {
    const broken = permanent({ code: 'config-invalid', ...said });
    for (const line of asking) {
      const connect = () => Promise.reject(unreachable);
      expect(await codeOf(line, { backend: { connect } })).toBe(6);
      const loadConfig = () => Promise.reject(broken);
      expect(await codeOf(line, { backend: { loadConfig } })).toBe(2);
    }
  });

  it('an order that the move refuses has changed nothing', async () => {
    for (const order of orders) {
      for (const error of [refusal, tooLate]) {
        const move: FerryMove = moveIn('copying');
        move[order] = () => Promise.reject(error);
        expect(await codeOf(`${order} web-1`, { move })).toBe(3);
      }
    }
  });

  it('a dry run with a critical finding is refused, with a warning it is not', async () => {
    for (const [level, code] of [
      ['critical', 3],
      ['warning', 0],
    ] as const) {
      const concerns = [{ code: 'c', level, ...said }];
      const plan = () => Promise.resolve(planWith({ concerns }));
      expect(await codeOf(`${migrate} --dry-run`, { ferry: { plan } })).toBe(code);
    }
  });

  it('wrong usage', async () => {
    for (const line of [
      'migrate',
      'status a b',
      'status --watch',
      ...orders,
      'explain',
      'vms x',
      'hosts x',
      'doctor x',
      'guard claim',
      'guard',
      'control x',
      'config check a b',
      'config',
      'completion',
      'completion tcsh',
      'nonsense',
    ])
      expect({ line, code: await codeOf(line) }).toEqual({ line, code: 2 });
  });

  it('Ctrl-C, SIGTERM and a terminal that went away leave the move', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      for (const line of [migrate, 'status web-1 --watch', 'retry web-1']) {
        const terminal = terminalWith();
        const move = moveIn('copying');
        move.watch = async function* () {
          yield statusWith({ phase: 'copying' });
          terminal.interrupt(signal);
          await new Promise(() => undefined);
        };
        expect({ line, code: await codeOf(line, { move, terminal }) }).toEqual({ line, code });
      }
    }
  });

  it('help and version are no errors', async () => {
    for (const line of ['--help', '--version', 'help', 'migrate --help'])
      expect(await codeOf(line)).toBe(0);
    expect((await run([])).code).toBe(2);
  });
});

describe('the table of codes', () => {
  it('of each command holds wrong usage, and nothing twice', () => {
    for (const manual of Object.values(manuals)) {
      const codes = codesOf(manual!).map(([code]) => code);
      expect(codes).toContain(2);
      expect(new Set(codes).size).toBe(codes.length);
    }
  });
});

describe('who gives an order', () => {
  const asked = async (args: string[], env: Record<string, string> = {}) => {
    let operator = '';
    const { code, err } = await run([...args, 'hosts'], {
      terminal: terminalWith({ env }),
      backend: {
        connect: (_, who) => {
          operator = who;
          return Promise.reject(unreachable);
        },
      },
    });
    return code === 6 ? operator : err;
  };

  it('is the login, the person behind sudo, or a name that is given, beside the login', async () => {
    expect(await asked([])).toMatch(/^\S+@\S+$/u);
    expect(await asked([], { SUDO_USER: 'ada' })).toMatch(/^ada@\S+$/u);
    const env = { SUDO_USER: 'ada', VMFERRY_OPERATOR: 'Ada Lovelace' };
    expect(await asked([], env)).toMatch(/^Ada Lovelace \(ada@\S+\)$/u);
    expect(await asked(['--operator', 'night shift'], env)).toMatch(/^night shift \(ada@\S+\)$/u);
    expect(await asked([], { SUDO_USER: 'ada', VMFERRY_OPERATOR: '' })).toMatch(/^ada@\S+$/u);
  });

  it.each([[' '], ['x'.repeat(129)], ['a\u001b[2J'], ['a\u202eb'], ['a\nb']])(
    'is refused where it is no name: %j',
    async (name) => {
      expect(await asked(['--operator', name])).toContain('the operator has to be a name');
    },
  );
});
