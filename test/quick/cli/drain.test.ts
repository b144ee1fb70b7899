import { describe, expect, it } from 'vitest';
import { outputs } from '../../../cli/output/catalogue.ts';
import type { OutputName } from '../../../cli/output/names.ts';
import type { DrainRequest } from '../../../domain/drain/drain.ts';
import type { PlaceRequest } from '../../../client/vmferry.ts';
import { drainOf, drainReportWith, placedWith } from './fake-drain.ts';
import { terminalWith } from './fake-client.ts';
import { run } from './run.ts';

const described = (name: OutputName, text: string): void =>
  expect(outputs[name].safeParse(JSON.parse(text)).error?.issues ?? []).toEqual([]);

const moved = drainReportWith().vms.slice(1);

describe('vmferry drain', () => {
  it.each([
    [['alpha'], { running: 'live', rest: 'leave', off: 'move', parallel: 2, autoCommit: false }],
    [['alpha', '--live'], { off: 'leave' }],
    [['alpha', '--cold-only', '--parallel', '5'], { running: 'cold', parallel: 5 }],
    [['alpha', '--policy', 'cold', '--auto-commit'], { rest: 'cold', autoCommit: true }],
    [['alpha', '--skip-kernel-check', '--skip-cpu-check'], { skip: ['cpu', 'kernel'] }],
    [['alpha', '--to', 'rack=2', '--to', 'disk=nvme'], { labels: { rack: '2', disk: 'nvme' } }],
  ])('%j asks for %j', async (args, wanted) => {
    const asked: Partial<DrainRequest>[] = [];
    const drain = (_: string, request: Partial<DrainRequest> = {}) => {
      asked.push(request);
      return Promise.resolve({ drain: drainOf(drainReportWith()), joined: false });
    };
    await run(['drain', ...args], { ferry: { drain } });
    expect(asked).toMatchObject([wanted]);
  });

  it.each([
    ['--cold-only --live', 'has nothing to say'],
    ['--cold-only --policy fail', 'has nothing to say'],
    ['--cancel --dry-run', 'begins nothing'],
    ['--parallel 0', 'from 1 to 64'],
    ['--to rack', 'KEY=VALUE'],
  ])('refuses %s before anything starts', async (args, words) => {
    const { code, err } = await run(['drain', 'alpha', ...args.split(' ')]);
    expect(code).toBe(2);
    expect(err).toContain(words);
  });

  it.each([
    ['every VM has gone', { vms: moved }, 0],
    ['one was left', {}, 1],
    ['a move is parked', { vms: [{ uuid: 'u', name: 'db', state: 'parked', why: 'no room' }] }, 4],
    ['it was cancelled', { phase: 'cancelled', vms: moved }, 5],
  ] as const)('ends, where %s, with its code', async (_, change, wanted) => {
    const drain = drainOf(drainReportWith(change as never));
    const ferry = { drain: () => Promise.resolve({ drain, joined: false }) };
    expect((await run(['drain', 'alpha'], { ferry })).code).toBe(wanted);
  });

  it('tells each change, then which VMs are where, why, and what to do next', async () => {
    const begun = drainReportWith({
      phase: 'moving',
      vms: [{ uuid: 'u2', name: 'web-1', state: 'moving', to: 'beta' }],
    });
    const drain = drainOf(begun, drainReportWith());
    const ferry = { drain: () => Promise.resolve({ drain, joined: true }) };
    const { out, err } = await run(['drain', 'alpha'], { ferry });
    expect(err).toContain('alpha is being drained already');
    expect(out).toContain('web-1: moving to beta\n');
    expect(out).toContain('web-1: moved, awaits commit to beta\n');
    expect(out).toContain('alpha still has VMs: 1 moved, 1 left');
    expect(out).toContain('db: it has a device of its host');
    expect(out).toContain('vmferry commit VM');
    expect(out).toContain('vmferry undrain alpha');
  });

  it('draws a table that follows, no higher than the screen', async () => {
    const vms = Array.from({ length: 50 }, (_, at) => ({
      ...{ uuid: `u${at}`, name: `vm${at}`, state: 'waiting' as const },
    }));
    const drain = drainOf(drainReportWith({ phase: 'moving', vms }));
    const terminal = terminalWith({ isTTY: true, columns: 80, rows: 20 });
    const ferry = { drain: () => Promise.resolve({ drain, joined: false }) };
    const { out } = await run(['drain', 'alpha'], { ferry, terminal });
    expect(out).toMatch(/and \d+ more/u);
    expect(out).toContain('50 waiting');
  });

  it('is called back by --cancel, and prints data that is described', async () => {
    const drain = drainOf(drainReportWith({ phase: 'cancelled' }));
    const ferry = { drainOf: () => drain };
    const { code, out } = await run(['drain', 'alpha', '--cancel', '-o', 'json'], { ferry });
    expect({ code, cancelled: drain.cancelled }).toEqual({ code: 5, cancelled: true });
    described('drain', out);
    described('drain-plan', (await run(['drain', 'alpha', '--dry-run', '-o', 'json'])).out);
    described('undrained', (await run(['undrain', 'alpha', '-o', 'json'])).out);
    const { out: plan } = await run(['drain', 'alpha', '--dry-run']);
    expect(plan).toContain('This was a dry run: nothing was touched.');
    expect((await run(['undrain', 'alpha'])).out).toContain('VMs may come to alpha again.');
  });
});

describe('vmferry place', () => {
  it('prints the host alone, or every host with its reasons, or data that is described', async () => {
    const ferry = { place: () => Promise.resolve(placedWith()) };
    expect((await run(['place', 'web-1', '--from', 'alpha'], { ferry })).out).toBe('beta\n');
    const { out } = await run(['place', 'web-1', '--from', 'alpha', '--explain'], { ferry });
    expect(out).toContain('web-1 would go to beta');
    expect(out).toContain('running-vms 1000.000: 2 VMs run or are awaited');
    expect(out).toContain('not-source: web-1 is on it');
    expect(out).toContain('and 1 more hosts');
    described(
      'placed',
      (await run(['place', 'web-1', '--from', 'alpha', '-o', 'json'], { ferry })).out,
    );
  });

  it('looks a name up where no host is given, and says that none takes it', async () => {
    const asked: PlaceRequest[] = [];
    const { chosen: _, ...answer } = placedWith().answer;
    const ferry = {
      locate: () => Promise.resolve({ uuid: 'u2', host: 'alpha' } as never),
      place: (request: PlaceRequest) => {
        asked.push(request);
        return Promise.resolve({ ...placedWith(), answer });
      },
    };
    const { code, out } = await run(['place', 'web-1', '--prefer-host', 'gamma'], { ferry });
    expect(asked).toMatchObject([{ vm: 'u2', from: 'alpha', preferHost: 'gamma' }]);
    expect(code).toBe(3);
    expect(out).toContain('no host takes web-1');
    expect(out).toContain('1 host: not-source');
  });
});

describe('a move without --to', () => {
  it.each(['migrate', 'live'])('%s leaves the choice to the fleet', async (command) => {
    const asked: unknown[] = [];
    const plan = (request: unknown) => {
      asked.push(request);
      return Promise.reject(new Error('enough'));
    };
    const args = [command, 'web-1', '--from', 'alpha', '--dry-run', '--prefer-host', 'gamma'];
    await run(args, { ferry: { plan } });
    expect(asked).toMatchObject([{ from: 'alpha', to: '', preferHost: 'gamma' }]);
    const { code, err } = await run([...args, '--to', 'beta'], { ferry: { plan } });
    expect(code).toBe(2);
    expect(err).toContain('none is left to prefer');
  });
});
