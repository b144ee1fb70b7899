import { describe, expect, it, vi } from 'vitest';
import type { Ferry } from '../../../cli/ferry.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import { FakeMove, moveId, playedStatus, vm } from './fake-client.ts';
import { run } from './run.ts';

const asked = async (line: string) => {
  const ask = vi.fn<Ferry['migrate']>(() => Promise.resolve(new FakeMove(playedStatus(17_000))));
  const { code, err } = await run(line.split(' '), { ferry: { migrate: ask } });
  return { code, err, request: ask.mock.calls[0]?.[0] };
};

describe('vmferry live', () => {
  it('finds the host that owns the VM, and asks for a live move of it by its UUID', async () => {
    const { code, request } = await asked('live web-1 --to beta');
    expect(code).toBe(0);
    expect(request).toMatchObject({
      vm: vm.uuid,
      from: 'alpha',
      to: 'beta',
      autoStart: false,
      autoCommit: false,
      verify: 'full',
      shutdown: 'graceful',
      bandwidthBytesPerSecond: 0,
      live: defaultLiveWishes,
    });
    expect(request).not.toHaveProperty('skip');
  });

  it('takes the host that is named, and looks for none', async () => {
    const locate = vi.fn<Ferry['locate']>();
    const ask = vi.fn<Ferry['migrate']>(() => Promise.resolve(new FakeMove(playedStatus(17_000))));
    await run('live web-1 --from gamma --to beta'.split(' '), {
      ferry: { migrate: ask, locate },
    });
    expect(ask.mock.calls[0]![0]).toMatchObject({ vm: 'web-1', from: 'gamma' });
    expect(locate).not.toHaveBeenCalled();
  });

  it('asks for all that the options say', async () => {
    const { request } = await asked(
      'live web-1 --to beta --max-downtime 250 --max-bandwidth 1Gbit/s --quickly-finish --highest-downtime 2s --auto-converge --post-copy --pause --patience 5 --compression xbzrle --fallback cold --shutdown force --shutdown-timeout 30s --verify off --keep-target-on-failure --skip-cpu-check --skip-kernel-check --enable-tls --auto-commit',
    );
    expect(request).toMatchObject({
      live: {
        maxDowntimeMs: 250,
        quicklyFinish: true,
        highestDowntimeMs: 2000,
        autoConverge: true,
        postCopy: true,
        pause: true,
        patienceMs: 5000,
        compression: 'xbzrle',
        fallback: 'cold',
        keepTargetOnFailure: true,
      },
      bandwidthBytesPerSecond: 125_000_000,
      shutdown: 'force',
      shutdownTimeoutMs: 30_000,
      verify: 'off',
      skip: ['cpu', 'kernel'],
      autoCommit: true,
    });
  });

  it.each([
    ['--post-copy --parallel-connections 4', /post-copy and parallel connections/u],
    ['--post-copy --compression mt', /post-copy and compression by threads/u],
    ['--parallel-connections 4 --compression xbzrle', /parallel connections and compression/u],
    ['--parallel-connections 256', /parallel connections have to be 1 to 255/u],
    ['--max-downtime 0', /the longest pause has to be/u],
    ['--highest-downtime 500', /nothing raises it/u],
    ['--quickly-finish --highest-downtime 100', /shorter than the pause/u],
    ['--shutdown force', /are for a cold move/u],
    ['--detach --dry-run', /nothing to detach from/u],
  ])('refuses %s before anything is asked', async (options, words) => {
    const { code, err, request } = await asked(`live web-1 --to beta ${options}`);
    expect(code).toBe(2);
    expect(err).toMatch(words);
    expect(request).toBeUndefined();
  });
});

describe('vmferry migrate', () => {
  it('takes the word of a person for CPU and kernel', async () => {
    const { request } = await asked('migrate web-1 --from alpha --to beta --skip-cpu-check');
    expect(request).toMatchObject({ skip: ['cpu'] });
    expect(request).not.toHaveProperty('live');
  });
});

describe('vmferry tune', () => {
  it('gives the new limits and returns, since others may be watching', async () => {
    const move = new FakeMove();
    const line = 'tune web-1 --max-bandwidth 50MiB/s --max-downtime 2000';
    const { code, out } = await run(line.split(' '), { move });
    expect(code).toBe(0);
    expect(move.orders).toEqual(['tune {"bandwidthBytesPerSecond":52428800,"maxDowntimeMs":2000}']);
    expect(out).toBe(
      `Accepted: tune ${moveId}: at most 50.0 MiB/s, a pause of at most 2.0 s\n  It holds from now on.\n`,
    );
  });

  it('leaves alone what is not named', async () => {
    const move = new FakeMove();
    const { out } = await run('tune web-1 --max-bandwidth 0 -o json'.split(' '), { move });
    expect(move.orders).toEqual(['tune {"bandwidthBytesPerSecond":0}']);
    expect(JSON.parse(out)).toEqual({ id: moveId, accepted: 'tune', atOnce: true });
  });

  it('says that it holds for what comes where nothing runs that took it', async () => {
    const move = new FakeMove();
    move.tunesAtOnce = false;
    const { code, out } = await run('tune web-1 --max-downtime 500'.split(' '), { move });
    expect(code).toBe(0);
    expect(out).toContain('it holds for what comes');
  });

  it('is refused where nothing is named', async () => {
    const { code, err } = await run(['tune', 'web-1']);
    expect(code).toBe(2);
    expect(err).toContain('nothing to change was named');
  });
});
