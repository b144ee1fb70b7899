import { describe, expect, it } from 'vitest';
import { choose, explain } from '../../../domain/placement/choose.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import type { PlacementHost, Reservation } from '../../../domain/placement/host.ts';
import type { PlacementVm } from '../../../domain/placement/vm.ts';
import { gibibyte, host, pool, vm } from './fleets.ts';

/** What refuses beta; empty if it may take the VM. The quick way has to agree. */
function refusals(
  changes: Partial<PlacementHost>,
  asked: PlacementVm = vm(),
  others: PlacementHost[] = [],
) {
  const fleet = fleetOf([host('beta', changes), ...others]);
  const verdict = explain(fleet, asked).hosts.find((one) => one.host === 'beta');
  if (verdict === undefined) throw new Error('beta is missing from the explanation');
  if (others.length === 0) expect(choose(fleet, asked)).toBe(verdict.passed ? 'beta' : undefined);
  return verdict.passed ? [] : verdict.refusals;
}

const promised = (changes: Partial<Reservation>): Reservation => ({
  moveId: 'earlier',
  memoryBytes: 0,
  vcpus: 0,
  pools: [],
  groups: [],
  ...changes,
});

describe('a host is refused', () => {
  it('by nothing, if it has all that the VM asks', () => {
    expect(refusals({})).toEqual([]);
  });

  const disk = { name: 'vda', bytes: 10 * gibibyte, pool: 'default', shared: false };
  const inGroup = (kind: 'affinity' | 'anti-affinity') =>
    vm({ rules: [{ group: 'db', kind, strength: 'hard' }] });
  const cases: {
    why: string;
    changes: Partial<PlacementHost>;
    asked?: PlacementVm;
    others?: PlacementHost[];
    filter: string;
    reason: string;
  }[] = [
    {
      why: 'as disabled',
      changes: { enabled: false },
      filter: 'enabled',
      reason: 'beta is disabled',
    },
    {
      why: 'as drained',
      changes: { draining: true },
      filter: 'not-draining',
      reason: 'beta is being drained',
    },
    {
      why: 'as the source',
      changes: {},
      asked: vm({ host: 'beta' }),
      filter: 'not-source',
      reason: 'web is on beta already',
    },
    {
      why: 'as the source under another name',
      changes: { hostUuid: 'uuid-of-alpha' },
      asked: vm({ host: 'alpha' }),
      others: [host('alpha')],
      filter: 'not-source',
      reason: 'beta is the same machine as alpha',
    },
    {
      why: 'for its moves',
      changes: { movesIn: { underWay: 2, limit: 2 } },
      filter: 'move-limit',
      reason: 'beta has as many moves towards it under way as it may have (2)',
    },
    {
      why: 'for its memory',
      changes: { freeMemoryBytes: 4 * gibibyte - 1 },
      filter: 'memory',
      reason: 'web needs 4 GiB of memory, beta has 3.9 GiB free',
    },
    {
      why: 'for memory that is promised',
      changes: { reservations: [promised({ memoryBytes: 30 * gibibyte })] },
      filter: 'memory',
      reason: 'web needs 4 GiB of memory, beta has 2 GiB free beside what is reserved',
    },
    {
      why: 'for memory that nobody could read',
      changes: { freeMemoryBytes: Number.NaN },
      filter: 'memory',
      reason: 'web needs 4 GiB of memory, beta has NaN GiB free',
    },
    {
      why: 'for a VM wider than itself',
      changes: { cpus: 1, vcpuRatio: 100 },
      filter: 'vcpus',
      reason: 'web has 2 vCPUs, beta only 1 CPUs',
    },
    {
      why: 'for its ratio of vCPUs',
      changes: { runningVcpus: 29, reservations: [promised({ vcpus: 2 })] },
      filter: 'vcpus',
      reason: 'web needs 2 vCPUs, beta may take 1 more at 4 for each CPU',
    },
    {
      why: 'for its machines',
      changes: { machines: ['kvm/aarch64/virt'] },
      filter: 'machine',
      reason: 'beta has no emulator for kvm/x86_64/q35',
    },
    {
      why: 'for its architecture, if the VM names no machine',
      changes: { arch: 'aarch64' },
      asked: vm({ machine: '' }),
      filter: 'machine',
      reason: 'beta is aarch64, web is x86_64',
    },
    {
      why: 'for its CPU',
      changes: { cpuModels: ['Nehalem'] },
      asked: vm({ cpuModel: 'Skylake-Client' }),
      filter: 'cpu-model',
      reason: 'beta cannot offer the CPU model Skylake-Client',
    },
    {
      why: 'for its firmware',
      changes: { firmwares: ['bios'] },
      asked: vm({ firmware: 'efi' }),
      filter: 'firmware',
      reason: 'beta has no firmware of the kind efi',
    },
    {
      why: 'for a label',
      changes: { labels: { tier: 'silver' } },
      asked: vm({ requiredLabels: { tier: 'gold' } }),
      filter: 'labels',
      reason: 'beta lacks the label tier=gold',
    },
    {
      why: 'for its networks',
      changes: { bridges: [] },
      asked: vm({
        nics: [
          { kind: 'bridge', sourceName: 'br0' },
          { kind: 'network', sourceName: 'storage' },
        ],
      }),
      filter: 'networks',
      reason: 'beta has no network storage, no bridge br0',
    },
    {
      why: 'for a pool that it has not',
      changes: { pools: [] },
      filter: 'pools',
      reason: 'beta has no pool default',
    },
    {
      why: 'for a pool that nobody named',
      changes: {},
      asked: vm({ disks: [{ ...disk, pool: '' }] }),
      filter: 'pools',
      reason: 'no pool is named for the disks of web',
    },
    {
      why: 'for a pool that is not active, though the disk be shared',
      changes: { pools: [pool({ active: false })] },
      asked: vm({ disks: [{ ...disk, shared: true }] }),
      filter: 'pools',
      reason: 'pool default of beta is not active',
    },
    {
      why: 'for a pool that no copy can write',
      changes: { pools: [pool({ type: 'iscsi' })] },
      filter: 'pools',
      reason: 'pool default of beta is of type iscsi, which no copy can write',
    },
    {
      why: 'for the room of a pool, with all disks in it together',
      changes: {},
      asked: vm({ disks: [disk, { ...disk, name: 'vdb', bytes: 90 * gibibyte }] }),
      filter: 'pool-room',
      reason: 'the disks of web need 100.1 GiB in pool default, beta has 100 GiB free there',
    },
    {
      why: 'for the room of two pools that lie on one store',
      changes: { pools: [pool({ store: 'sda' }), pool({ name: 'fast', store: 'sda' })] },
      asked: vm({
        disks: [
          { ...disk, bytes: 60 * gibibyte },
          { ...disk, name: 'vdb', pool: 'fast', bytes: 60 * gibibyte },
        ],
      }),
      filter: 'pool-room',
      reason:
        'the disks of web need 120.1 GiB in pool default, beta has 100 GiB free there; the disks of web need 120.1 GiB in pool fast, beta has 100 GiB free there',
    },
    {
      why: 'for another VM of a group that keeps apart',
      changes: { groups: { db: 1 } },
      asked: inGroup('anti-affinity'),
      filter: 'anti-affinity',
      reason: 'web stays away from group db, which has a VM on beta or on its way there',
    },
    {
      why: 'for one of them that is on its way',
      changes: { reservations: [promised({ groups: ['db'] })] },
      asked: inGroup('anti-affinity'),
      filter: 'anti-affinity',
      reason: 'web stays away from group db, which has a VM on beta or on its way there',
    },
    {
      why: 'for having no VM of a group that stays together',
      changes: {},
      asked: inGroup('affinity'),
      others: [host('gamma', { groups: { db: 1 } })],
      filter: 'affinity',
      reason: 'web stays with group db, which has no VM on beta',
    },
  ];
  it.each(cases)('$why', ({ changes, asked, others, filter, reason }) => {
    expect(refusals(changes, asked, others)).toEqual([{ filter, reason }]);
  });

  it('by every filter that it does not pass, not by the first alone', () => {
    expect(refusals({ enabled: false, freeMemoryBytes: 0 }).map(({ filter }) => filter)).toEqual([
      'enabled',
      'memory',
    ]);
  });
});

describe('a host is let through', () => {
  const together = vm({
    host: 'alpha',
    rules: [{ group: 'db', kind: 'affinity', strength: 'hard' }],
  });

  it('whose memory, vCPUs and pool just suffice', () => {
    const room = pool({ availableBytes: 10 * gibibyte + 64 * 1024 ** 2 });
    const exact = { freeMemoryBytes: 4 * gibibyte, runningVcpus: 30, pools: [room] };
    expect(refusals(exact)).toEqual([]);
    const short = pool({ availableBytes: room.availableBytes - 1 });
    expect(refusals({ ...exact, pools: [short] })).toMatchObject([{ filter: 'pool-room' }]);
    expect(refusals({ ...exact, runningVcpus: 31 })).toMatchObject([{ filter: 'vcpus' }]);
  });

  it('that says nothing of its CPU models and firmware: the checks of the move look again', () => {
    expect(refusals({}, vm({ cpuModel: 'Skylake-Client', firmware: 'efi' }))).toEqual([]);
  });

  it('for shared disks without room, which take none', () => {
    const shared = { name: 'vda', bytes: 10 * gibibyte, pool: 'default', shared: true };
    expect(refusals({ pools: [pool({ availableBytes: 0 })] }, vm({ disks: [shared] }))).toEqual([]);
  });

  it('by affinity, if the VM is the only one of its group', () => {
    expect(refusals({}, together, [host('alpha', { groups: { db: 1 } })])).toEqual([]);
  });

  it('by affinity, if the others are on a host that is being drained: somebody goes first', () => {
    const alpha = (draining: boolean) => host('alpha', { draining, groups: { db: 2 } });
    expect(refusals({}, together, [alpha(true)])).toEqual([]);
    expect(refusals({}, together, [alpha(false)])).toMatchObject([{ filter: 'affinity' }]);
  });
});
