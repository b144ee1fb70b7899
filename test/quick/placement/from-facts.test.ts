import { expect, it } from 'vitest';
import type { HostFacts, PoolFacts } from '../../../domain/host.ts';
import { readingOf } from '../../../domain/hosts/reading.ts';
import { placementHost } from '../../../domain/hosts/standing.ts';
import { newHost } from '../../../domain/hosts/state.ts';
import { choose } from '../../../domain/placement/choose.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import { placementVmOf } from '../../../domain/placement/from-facts.ts';
import { beta, disk, gibibyte, pool, vm } from '../domain/facts.ts';

/** A host that has told these facts, and of which nobody set anything. */
const told = (facts: HostFacts) => {
  const bandwidth = { upBytesPerSecond: 0, downBytesPerSecond: 0 };
  const beside = { runningVcpus: 0, groups: {}, bandwidth, readAt: '' };
  return placementHost(facts.name, { ...newHost, reading: readingOf(facts, beside) });
};
const request = { targetPool: '' };

it('a VM and a host as they are read find each other', () => {
  const fleet = fleetOf([told(beta())]);
  expect(choose(fleet, placementVmOf(vm(), { request }))).toBe('beta');
});

it('only VMs that run are counted', () => {
  const neighbour = { uuid: 'u', name: 'db', running: true, macs: [], diskPaths: [] };
  const facts = beta({ vms: [neighbour, { ...neighbour, uuid: 'v', running: false }] });
  expect(told(facts).runningVms).toBe(1);
});

it('pools that share their room are named by whoever knows', () => {
  const facts = beta({ pools: [pool(), { ...pool(), name: 'fast', store: 'nfs' } as PoolFacts] });
  expect(told(facts).pools.map(({ store }) => store)).toEqual([undefined, 'nfs']);
});

it('a VM that stays off takes room for its disks alone', () => {
  const { memoryBytes, vcpus, disks } = placementVmOf(vm({ disks: [disk()] }), {
    request,
    isOff: true,
  });
  expect({ memoryBytes, vcpus, disks: disks.length }).toEqual({
    memoryBytes: 0,
    vcpus: 0,
    disks: 1,
  });
});

it('disks take what they hold, or all of their size where that is asked or nothing is known', () => {
  const bytesOf = (facts: Parameters<typeof disk>[0], allocation?: 'full') =>
    placementVmOf(vm({ disks: [disk(facts)] }), {
      request: { ...request, ...(allocation && { allocation }) },
    }).disks.map(({ bytes }) => bytes / gibibyte);
  expect(bytesOf({})).toEqual([2]);
  expect(bytesOf({}, 'full')).toEqual([10]);
  expect(bytesOf({ allocationBytes: 0 })).toEqual([10]);
});

it('disks go to the pool that was said, shared ones stay in theirs, and drives are left out', () => {
  const disks = [
    disk(),
    disk({ name: 'vdb' }),
    disk({ name: 'vdc', pool: 'san' }),
    disk({ name: 'sda', device: 'cdrom' }),
  ];
  const asked = placementVmOf(vm({ disks }), {
    request: { targetPool: 'all', disks: { vdb: { pool: 'fast' } } },
    shared: ['vdc'],
  });
  expect(asked.disks.map(({ name, pool: to, shared }) => [name, to, shared])).toEqual([
    ['vda', 'all', false],
    ['vdb', 'fast', false],
    ['vdc', 'san', true],
  ]);
});
