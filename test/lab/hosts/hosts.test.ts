/** What hosts are remembered by, on real hosts: their facts, their limits at run time, and moves that wait for a place. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it, onTestFailed, vi } from 'vitest';
import type { HostFerry } from '../../../cli/commands/hosts.ts';
import type { HostLine } from '../../../cli/ferry.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import type { HostState } from '../../../domain/hosts/state.ts';
import type { LabHost } from '../../../lab/host.ts';
import { defineTiny, must } from '../refusals/tiny-vm.ts';
import { ended, openStage, until } from '../stage.ts';
import type { Stage } from '../stage.ts';

const mebibyte = 1024 * 1024;
const soonMs = 90_000;

let stage: Stage;
let alpha: LabHost;
let hosts: HostFerry;

beforeAll(async () => {
  stage = await openStage({ name: 'hosts', poolBytes: 128 * mebibyte });
  alpha = stage.lab.host('alpha');
  hosts = stage.ferry as typeof stage.ferry & HostFerry;
});
afterAll(async () => stage.close());

/** The state of a host once it is as `check` wants it. */
async function stateOf(name: string, check: (line: HostLine) => void): Promise<HostState> {
  const seen = async (): Promise<HostState> => {
    const line = await hosts.host(name);
    check(line);
    if (line.state === undefined) throw new Error(`nothing is remembered of ${name}`);
    return line.state;
  };
  return vi.waitFor(seen, { timeout: soonMs, interval: 200 });
}

it('tell their facts, take caps over at once, and let a move wait for a place', async () => {
  onTestFailed(async () => console.error(await stage.logs()));
  for (const name of ['alpha', 'beta']) {
    const { reading } = await stateOf(name, ({ state, online }) => {
      expect(online).toBe(true);
      expect(state?.reading).toBeDefined();
    });
    expect(reading?.memoryBytes).toBeGreaterThan(0);
    expect(reading?.pools.map((pool) => pool.name)).toContain('default');
  }

  await hosts.setHost('beta', { limits: { movesIn: 0, downBytesPerSecond: 50 * mebibyte } });
  await stateOf('beta', ({ state }) =>
    expect(state?.bandwidth?.downBytesPerSecond).toBe(50 * mebibyte),
  );
  const limits = await readFile(
    stage.lab.host('beta').rootOf('/var/lib/vmferry/limits.json'),
    'utf8',
  );
  expect(JSON.parse(limits)).toEqual({ downBytesPerSecond: 50 * mebibyte });

  await defineTiny(alpha, { name: 'web', disk: 'raw' });
  const move = await stage.ferry.migrate({
    vm: 'web',
    from: 'alpha',
    to: 'beta',
    autoCommit: true,
  });
  await until(
    move,
    ({ report }) => report.notes.some((note) => note.includes('waits for a place')),
    'its wait',
  );
  await hosts.setHost('beta', { limits: { movesIn: 1 } });
  expect(await ended(move)).toMatchObject({ phase: 'committed', vmOn: 'beta' });
  const beta = await stateOf('beta', ({ state }) => {
    expect(state?.movesIn).toEqual([]);
    expect(state?.reading?.vms).toBe(1);
  });
  expect(beta.movesOut).toEqual([]);
  await stateOf('alpha', ({ state }) => {
    expect(state?.movesOut).toEqual([]);
    expect(state?.reading?.vms).toBe(0);
  });

  await hosts.setHost('alpha', { enabled: false });
  const back = await stage.ferry.migrate({ vm: 'web', from: 'beta', to: 'alpha' });
  expect(await ended(back)).toMatchObject({
    phase: 'failed',
    fault: { code: 'host-disabled' },
    vmOn: 'beta',
  });
  expect(await must(stage.lab.host('beta'), 'domstate', 'web')).toContain('shut off');
});

it('have a live move that is under way follow a cap that is set of its target', async () => {
  onTestFailed(async () => console.error(await stage.logs()));
  await hosts.setHost('alpha', { enabled: true });
  await hosts.setHost('beta', { limits: { movesIn: 2, downBytesPerSecond: 4 * mebibyte } });
  await stage.vm('alpha', { name: 'runner', memoryMiB: 96, nic: false, run: true });
  const move = await stage.ferry.migrate({
    ...{ vm: 'runner', from: 'alpha', to: 'beta', autoCommit: true, live: defaultLiveWishes },
  });
  const rates: number[] = [];
  await until(
    move,
    ({ live }) => {
      if (live !== undefined && live.iteration > 0) rates.push(live.bytesPerSecond);
      return (live?.memoryProcessedBytes ?? 0) > 8 * mebibyte;
    },
    'the middle of its run',
  );
  expect(Math.max(...rates)).toBeLessThan(3 * mebibyte);
  await hosts.setHost('beta', { limits: { downBytesPerSecond: 0 } });
  const report = await ended(move);
  expect(report).toMatchObject({ phase: 'committed', mode: 'live', vmOn: 'beta' });
  expect(report.notes).toContain('the limits of beta were changed: no cap from here on');
  // At its first share, 2 MiB/s, its memory alone takes some forty seconds.
  expect(report.live?.totalMs).toBeLessThan(25_000);
  console.log('rates', Math.max(...rates), JSON.stringify(report.live));
});
