import { describe, expect, it } from 'vitest';
import { choose } from '../../../domain/placement/choose.ts';
import { fleetOf, rememberedAsks } from '../../../domain/placement/fleet.ts';
import { release, reserve, reservedOn } from '../../../domain/placement/reserve.ts';
import { gibibyte, host, pool, vm } from './fleets.ts';

const first = { moveId: 'first', host: 'beta' };

describe('a reservation', () => {
  it('takes memory, vCPUs, pool, a VM and a move of the host, and leaves the older fleet as it was', () => {
    const before = fleetOf([host('beta')]);
    const after = reserve(before, vm(), first);
    const figures = ({ columns, pools }: typeof before) => ({
      memory: columns.freeMemoryBytes[0],
      vcpus: columns.freeVcpus[0],
      vms: columns.vms[0],
      movesInLeft: columns.movesInLeft[0],
      moves: columns.moves[0],
      pool: pools.get('default')?.freeBytes[0],
    });
    expect(figures(before)).toEqual({
      memory: 32 * gibibyte,
      vcpus: 26,
      vms: 3,
      movesInLeft: 2,
      moves: 0,
      pool: 100 * gibibyte,
    });
    expect(figures(after)).toEqual({
      memory: 28 * gibibyte,
      vcpus: 24,
      vms: 4,
      movesInLeft: 1,
      moves: 1,
      pool: 90 * gibibyte,
    });
  });

  it('is counted once, however often it is asked for', () => {
    const once = reserve(fleetOf([host('beta')]), vm(), first);
    expect(reserve(once, vm(), first)).toBe(once);
  });

  it('of one move is on one host', () => {
    const fleet = reserve(fleetOf([host('beta'), host('gamma')]), vm(), first);
    expect(reservedOn(fleet, 'first')).toBe('beta');
    expect(() => reserve(fleet, vm(), { moveId: 'first', host: 'gamma' })).toThrow(
      expect.objectContaining({ code: 'reserved-elsewhere', handling: 'permanent' }),
    );
  });

  it('is refused where the room has gone since the choice, so that another choice is made', () => {
    const fleet = reserve(fleetOf([host('beta')]), vm({ memoryBytes: 30 * gibibyte }), first);
    expect(() => reserve(fleet, vm(), { moveId: 'second', host: 'beta' })).toThrow(
      expect.objectContaining({
        code: 'host-refused',
        handling: 'transient',
        message:
          'beta cannot take web: web needs 4 GiB of memory, beta has 2 GiB free beside what is reserved',
      }),
    );
  });

  it('is not had on a host that nobody knows', () => {
    expect(() => reserve(fleetOf([]), vm(), first)).toThrow(
      expect.objectContaining({ code: 'host-unknown' }),
    );
  });

  it('that came with the facts counts, but not twice among the moves', () => {
    const reservation = { moveId: 'first', memoryBytes: gibibyte, vcpus: 1, pools: [], groups: [] };
    const beta = host('beta', {
      movesIn: { underWay: 1, limit: 2 },
      reservations: [reservation],
    });
    const fleet = fleetOf([beta]);
    expect(reservedOn(fleet, 'first')).toBe('beta');
    expect(fleet.columns.freeMemoryBytes[0]).toBe(31 * gibibyte);
    expect(fleet.columns.movesInLeft[0]).toBe(1);
    expect(release(fleet, 'first').columns.movesInLeft[0]).toBe(2);
  });

  it('in a store takes the room from every pool that lies on it, on every host', () => {
    const shared = (name: string) => pool({ name, type: 'netfs', store: 'nfs' });
    const fleet = fleetOf([
      host('beta', { pools: [shared('default')] }),
      host('gamma', { pools: [shared('default'), shared('other')] }),
      host('delta'),
    ]);
    const big = vm({
      disks: [{ name: 'vda', bytes: 80 * gibibyte, pool: 'default', shared: false }],
    });
    const after = reserve(fleet, big, first);
    const free = (name: string, of: string) =>
      (after.pools.get(name)?.freeBytes[after.indexOf.get(of) ?? -1] ?? 0) / gibibyte;
    expect(free('default', 'beta')).toBe(20);
    expect(free('default', 'gamma')).toBe(20);
    expect(free('other', 'gamma')).toBe(20);
    expect(free('default', 'delta')).toBe(100);
    expect(choose(after, big)).toBe('delta');
  });

  it('in a store counts also where it came with the facts of another host', () => {
    const nfs = pool({ type: 'netfs', store: 'nfs' });
    const reservation = {
      moveId: 'first',
      memoryBytes: 0,
      vcpus: 0,
      pools: [{ pool: 'default', bytes: 95 * gibibyte }],
      groups: [],
    };
    const fleet = fleetOf([
      host('beta', { pools: [nfs] }),
      host('gamma', { pools: [nfs], enabled: false, reservations: [reservation] }),
    ]);
    expect(choose(fleet, vm())).toBeUndefined();
    expect(choose(release(fleet, 'first'), vm())).toBe('beta');
  });

  it('that was released is forgotten, and may be had on another host', () => {
    const before = fleetOf([host('beta'), host('gamma')]);
    const released = release(reserve(before, vm(), first), 'first');
    expect(reservedOn(released, 'first')).toBeUndefined();
    expect(released.columns).toEqual(before.columns);
    const elsewhere = reserve(released, vm(), { moveId: 'first', host: 'gamma' });
    expect(reservedOn(elsewhere, 'first')).toBe('gamma');
  });

  it('of a move that has none is released without a word', () => {
    const fleet = fleetOf([host('beta')]);
    expect(release(fleet, 'first')).toBe(fleet);
  });
});

it('what is remembered of one ask answers no other', () => {
  const fleet = fleetOf([host('beta', { cpuModels: ['Nehalem'], firmwares: ['bios'] })]);
  const asks = [
    {},
    { cpuModel: 'Skylake-Client' },
    { firmware: 'efi' as const },
    { machine: '', arch: 'aarch64' },
    { machine: '' },
    { requiredLabels: { tier: 'gold' } },
    { nics: [{ kind: 'network' as const, sourceName: 'storage' }] },
    { disks: [{ name: 'vda', bytes: 0, pool: 'fast', shared: false }] },
  ];
  const answers = asks.map((changes) => choose(fleet, vm(changes)));
  const none = undefined;
  expect(answers).toEqual(['beta', none, none, none, 'beta', none, none, none]);
});

it('what is remembered of earlier asks is bounded, and changes no answer', () => {
  const fleet = fleetOf([host('beta', { labels: { n: '7' } })]);
  const asking = (n: number) => vm({ requiredLabels: { n: n.toString() } });
  for (let round = 0; round < 2; round += 1) {
    for (let n = 0; n <= rememberedAsks + 20; n += 1) {
      expect(choose(fleet, asking(n))).toBe(n === 7 ? 'beta' : undefined);
      expect(fleet.eligible.size).toBeLessThanOrEqual(rememberedAsks);
    }
  }
});
