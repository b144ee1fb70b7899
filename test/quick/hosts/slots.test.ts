import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placementHost } from '../../../domain/hosts/standing.ts';
import {
  slotAnswer,
  withoutLingering,
  withoutSlot,
  withSlot,
} from '../../../domain/hosts/slots.ts';
import type { SlotWish } from '../../../domain/hosts/slots.ts';
import { movesInUnderWay, newHost } from '../../../domain/hosts/state.ts';
import type { HostState } from '../../../domain/hosts/state.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import { gibibyte, host as placementFixture, vm } from '../placement/fleets.ts';

const now = '2026-03-04T10:00:00.000Z';
const nowMs = Date.parse(now);

const state = (changes: Partial<HostState['settings']> = {}, freeGiB = 32): HostState => {
  const { hostUuid, arch, machines, cpus, memoryBytes, networks, bridges, pools } =
    placementFixture('beta');
  return {
    ...newHost,
    settings: { ...newHost.settings, ...changes },
    reading: {
      ...{ hostUuid, arch, machines, cpus, memoryBytes, networks, bridges, pools },
      ...{
        freeMemoryBytes: freeGiB * gibibyte,
        runningVms: 0,
        runningVcpus: 0,
        groups: {},
        vms: 0,
      },
      ...{ libvirtVersion: '9.0.0', hypervisorVersion: '7.2.0', readAt: now },
      bandwidth: { upBytesPerSecond: 0, downBytesPerSecond: 0 },
    },
  };
};

const wish = (moveId: string, changes: Partial<SlotWish> = {}): SlotWish => ({
  ...{ direction: 'in', moveId, workflowId: moveId, vm: vm(), by: 'placed' },
  ...changes,
});

const filters = (of: HostState, asked: SlotWish): string[] => {
  const answer = slotAnswer('beta', of, asked);
  return answer.granted ? [] : answer.refusals.map(({ filter }) => filter);
};

describe('a place on a host', () => {
  it('is refused for good where the host takes no VMs, but a VM may leave it', () => {
    for (const standing of [{ enabled: false }, { draining: true }]) {
      const of = state(standing);
      expect(slotAnswer('beta', of, wish('a'))).toMatchObject({ granted: false, final: true });
      expect(slotAnswer('beta', of, wish('a', { by: 'named' }))).toMatchObject({ final: true });
      expect(slotAnswer('beta', of, wish('a', { direction: 'out' }))).toMatchObject({
        granted: true,
      });
    }
  });

  it('that the move has already is granted again, also by a host that was disabled meanwhile', () => {
    const of = {
      ...withSlot(state(), wish('a'), now),
      settings: { ...newHost.settings, enabled: false },
    };
    expect(slotAnswer('beta', of, wish('a')).granted).toBe(true);
    const again = withSlot(of, wish('a', { runId: 'run-1' }), now);
    expect(again.movesIn).toMatchObject([{ moveId: 'a', runId: 'run-1' }]);
  });

  it('out is counted by its own limit', () => {
    const out = (id: string) => wish(id, { direction: 'out' });
    const of = withSlot(withSlot(state(), out('a'), now), out('b'), now);
    expect(filters(of, out('c'))).toEqual(['move-limit']);
    expect(filters(withoutSlot(of, { moveId: 'a', arrived: false }, now), out('c'))).toEqual([]);
  });

  it('that nobody took up is given back, and that of a run of the same move stays', () => {
    const promised = withSlot(state(), wish('a'), now);
    const back = { moveId: 'a', arrived: false, unstarted: true } as const;
    expect(withoutSlot(promised, back, now).movesIn).toEqual([]);
    const taken = withSlot(promised, wish('a', { runId: 'run-1' }), now);
    expect(withoutSlot(taken, back, now)).toBe(taken);
  });

  it('named by a person needs none of the rules, but no room that was promised to others', () => {
    const elsewhere = vm({ machine: 'unheard-of', requiredLabels: { disk: 'nvme' } });
    expect(filters(state(), wish('a', { vm: elsewhere }))).toEqual(['machine', 'labels']);
    expect(filters(state(), wish('a', { vm: elsewhere, by: 'named' }))).toEqual([]);
    const big = vm({ memoryBytes: 20 * gibibyte });
    const taken = withSlot(state(), wish('a', { vm: big }), now);
    expect(filters(taken, wish('b', { vm: big, by: 'named' }))).toEqual(['memory']);
    // Too little with nothing promised is for the move's own checks to warn of.
    expect(filters(state({}, 1), wish('b', { vm: big, by: 'named' }))).toEqual([]);
  });

  it('that is room alone counts as no move until the VM comes, however busy the host is', () => {
    const comes = (id: string) => wish(id, { by: 'named', vm: vm({ memoryBytes: 8 * gibibyte }) });
    const room = (id: string): SlotWish => ({ ...comes(id), waits: true });
    let of = state({ limits: { movesIn: 1, movesOut: 1 } });
    for (const id of ['a', 'b', 'c']) {
      expect(filters(of, room(id))).toEqual([]);
      of = withSlot(of, room(id), now);
    }
    expect(movesInUnderWay(of)).toBe(0);
    expect(filters(of, room('d'))).toEqual([]);
    // Their room is theirs: four times 8 GiB are all.
    of = withSlot(of, room('d'), now);
    expect(filters(of, room('e'))).toEqual(['memory']);
    const [first, second] = [comes('a'), comes('b')];
    of = withSlot(of, first, now);
    expect(movesInUnderWay(of)).toBe(1);
    expect(of.movesIn).toHaveLength(4);
    expect(filters(of, second)).toEqual(['move-limit']);
    // What has its place asks for no less.
    expect(filters(of, room('a'))).toEqual([]);
    expect(withSlot(of, room('a'), now)).toEqual(of);
    of = withoutSlot(of, { moveId: 'a', arrived: true }, now);
    expect(filters({ ...of, settings: { ...of.settings, enabled: false } }, second)).toEqual([]);
  });

  it('that is room alone may be placed on a host that is busy, by every rule but that', () => {
    const busy = withSlot(state({ limits: { movesIn: 1, movesOut: 1 } }), wish('a'), now);
    expect(filters(busy, wish('b'))).toEqual(['move-limit']);
    expect(filters(busy, wish('b', { waits: true }))).toEqual([]);
    const odd = vm({ machine: 'unheard-of' });
    expect(filters(busy, wish('b', { waits: true, vm: odd }))).toEqual(['machine']);
    const closed = state({ limits: { movesIn: 0, movesOut: 1 } });
    expect(filters(closed, wish('b', { waits: true }))).toEqual(['move-limit']);
  });

  it('is no room alone either on a host that no move may come to', () => {
    const of = state({ limits: { movesIn: 0, movesOut: 1 } });
    expect(filters(of, wish('a', { by: 'named', waits: true }))).toEqual(['move-limit']);
  });

  it('is placed on no host that has told no facts', () => {
    const { reading: _none, ...silent } = state();
    expect(filters(silent, wish('a'))).toContain('facts');
    expect(filters(silent, wish('a', { by: 'named' }))).toEqual([]);
  });

  it('of a VM that arrived counts no more as a move, and its room until the facts show it', () => {
    const big = vm({ memoryBytes: 20 * gibibyte });
    const arrived = withoutSlot(
      withSlot(state(), wish('a', { vm: big }), now),
      { moveId: 'a', arrived: true },
      now,
    );
    expect(movesInUnderWay(arrived)).toBe(0);
    expect(filters(arrived, wish('b', { vm: big }))).toEqual(['memory']);
    expect(withoutLingering(arrived, { nowMs }).movesIn).toHaveLength(1);
    expect(withoutLingering(arrived, { nowMs: nowMs + 180_000 }).movesIn).toEqual([]);
    expect(withoutLingering(arrived, { nowMs, all: true }).movesIn).toEqual([]);
  });

  it('is never one too many, whatever order moves come and go in', () => {
    const steps = fc.array(
      fc.record({
        id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
        gib: fc.integer({ min: 1, max: 20 }),
        act: fc.constantFrom('take', 'give', 'arrive'),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, (taken) => {
        let of = state();
        for (const { id, gib, act } of taken) {
          const asked = wish(id, { vm: vm({ memoryBytes: gib * gibibyte }) });
          if (act !== 'take') of = withoutSlot(of, { moveId: id, arrived: act === 'arrive' }, now);
          else if (slotAnswer('beta', of, asked).granted) of = withSlot(of, asked, now);
          expect(movesInUnderWay(of)).toBeLessThanOrEqual(of.settings.limits.movesIn);
          const { columns } = fleetOf([placementHost('beta', of)]);
          expect(columns.freeMemoryBytes[0]).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 200 },
    );
  });
});
