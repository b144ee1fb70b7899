import { describe, expect, it } from 'vitest';
import { choose, explain } from '../../../domain/placement/choose.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import { placementRows, refusalCounts } from '../../../domain/placement/rows.ts';
import { gibibyte, host, pool, vm } from './fleets.ts';

describe('which host is chosen', () => {
  it('the one with the fewest VMs, though another have more memory, room and peace', () => {
    const roomy = host('beta', {
      runningVms: 3,
      freeMemoryBytes: 60 * gibibyte,
      pools: [pool({ availableBytes: 190 * gibibyte })],
    });
    const fewer = host('gamma', { runningVms: 2, movesOut: { underWay: 2, limit: 2 } });
    const full = host('delta', { runningVms: 900 });
    expect(choose(fleetOf([roomy, fewer, full]), vm())).toBe('gamma');
  });

  it('of as many VMs, the one with the greater share of free memory', () => {
    const beta = host('beta', { memoryBytes: 256 * gibibyte, freeMemoryBytes: 40 * gibibyte });
    expect(choose(fleetOf([beta, host('gamma')]), vm())).toBe('gamma');
  });

  it('of as much memory, the one with more room in the pool that the disks go to', () => {
    const other = pool({ name: 'other', availableBytes: 199 * gibibyte });
    const beta = host('beta', { pools: [pool(), other] });
    const gamma = host('gamma', { pools: [pool({ availableBytes: 110 * gibibyte })] });
    expect(choose(fleetOf([beta, gamma]), vm())).toBe('gamma');
  });

  it('of as much room, the one with fewer moves, in or out', () => {
    const beta = host('beta', { movesOut: { underWay: 1, limit: 2 } });
    expect(choose(fleetOf([beta, host('gamma')]), vm())).toBe('gamma');
  });

  it('of equals, the first by name, in whatever order they are given', () => {
    expect(choose(fleetOf([host('gamma'), host('beta')]), vm())).toBe('beta');
    expect(choose(fleetOf([host('beta'), host('gamma')]), vm())).toBe('beta');
  });

  it('by the policy most-free-memory, the one with the greatest share of it', () => {
    const beta = host('beta', { runningVms: 0 });
    const gamma = host('gamma', { runningVms: 50, freeMemoryBytes: 33 * gibibyte });
    expect(choose(fleetOf([beta, gamma]), vm(), { policy: 'most-free-memory' })).toBe('gamma');
  });

  it('a preferred host, whatever speaks for others, unless it is refused', () => {
    const near = vm({ rules: [{ group: 'db', kind: 'affinity', strength: 'soft' }] });
    const beta = host('beta', { runningVms: 0, groups: { db: 9 } });
    const gamma = host('gamma', { runningVms: 90 });
    expect(choose(fleetOf([beta, gamma]), near, { preferHost: 'gamma' })).toBe('gamma');
    const off = host('gamma', { enabled: false });
    expect(choose(fleetOf([beta, off]), near, { preferHost: 'gamma' })).toBe('beta');
  });

  it('near a group, or away from it, where that is wished', () => {
    const fleet = fleetOf([host('beta', { runningVms: 9, groups: { db: 1 } }), host('gamma')]);
    const wish = (kind: 'affinity' | 'anti-affinity') =>
      vm({ rules: [{ group: 'db', kind, strength: 'soft' }] });
    expect(choose(fleet, wish('affinity'))).toBe('beta');
    expect(choose(fleet, wish('anti-affinity'))).toBe('gamma');
  });

  it('none where none may take the VM', () => {
    const fleet = fleetOf([host('beta', { enabled: false }), host('gamma', { cpus: 1 })]);
    expect(choose(fleet, vm())).toBeUndefined();
    expect(explain(fleet, vm())).not.toHaveProperty('chosen');
    expect(choose(fleetOf([]), vm())).toBeUndefined();
  });

  it('not by a name that no host has, and not among two hosts of one name', () => {
    const fleet = fleetOf([host('beta')]);
    expect(() => choose(fleet, vm(), { preferHost: 'betta' })).toThrow(/no host is called betta/);
    expect(() => fleetOf([host('beta'), host('gamma'), host('beta')])).toThrow(
      /two hosts are called beta/,
    );
  });
});

describe('the explanation', () => {
  const fleet = fleetOf([
    host('delta', { enabled: false, cpus: 1 }),
    host('gamma', { runningVms: 5 }),
    host('beta', { runningVms: 1 }),
    host('alpha', { enabled: false }),
  ]);
  const result = explain(fleet, vm());

  it('has every host: the best first, the refused by name', () => {
    expect(result.chosen).toBe('beta');
    expect(result.hosts.map((verdict) => verdict.host)).toEqual([
      'beta',
      'gamma',
      'alpha',
      'delta',
    ]);
  });

  it('gives points from nothing to the whole weight, which add up to the total', () => {
    const [beta, gamma] = result.hosts;
    if (beta?.passed !== true || gamma?.passed !== true) throw new Error('refused');
    const sum = beta.points.reduce((total, { points }) => total + points, 0);
    expect(beta.total).toBe(sum);
    expect(beta.points.find(({ weigher }) => weigher === 'running-vms')?.points).toBe(1000);
    expect(gamma.points.find(({ weigher }) => weigher === 'running-vms')?.points).toBe(0);
  });

  it('becomes rows that a table can print', () => {
    const rows = placementRows(result);
    expect(rows.map(({ host: name, state }) => `${name} ${state}`)).toEqual([
      'beta chosen',
      'gamma possible',
      'alpha refused',
      'delta refused',
    ]);
    expect(rows[0]?.total).toBe('1000.000');
    expect(rows[0]?.why).toBe(
      'running-vms 1000.000: 1 VM runs or is awaited; free-memory 0.000: 50 % of memory free (32 GiB); free-pool-room 0.000: 50 % of the pool free; few-moves 0.000: 0 moves under way',
    );
    expect(rows[3]).toEqual({
      host: 'delta',
      state: 'refused',
      total: '',
      why: 'enabled: delta is disabled; vcpus: web has 2 vCPUs, delta only 1 CPUs',
    });
  });

  it('counts by filter what a thousand hosts would say one by one', () => {
    expect(refusalCounts(result)).toEqual([
      { filter: 'enabled', hosts: 2 },
      { filter: 'vcpus', hosts: 1 },
    ]);
  });
});
