import { expect, it } from 'vitest';
import { choose } from '../../../domain/placement/choose.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import { placementHostOf, placementVmOf } from '../../../domain/placement/from-facts.ts';
import type { HostStanding } from '../../../domain/placement/from-facts.ts';
import { beta, disk, gibibyte, pool, vm } from '../domain/facts.ts';

const standing: HostStanding = {
  enabled: true,
  draining: false,
  labels: {},
  vcpuRatio: 4,
  runningVcpus: 0,
  movesIn: { underWay: 0, limit: 2 },
  movesOut: { underWay: 0, limit: 2 },
  groups: {},
  reservations: [],
};
const request = { targetPool: '' };

it('a VM and a host as they are read find each other', () => {
  const fleet = fleetOf([placementHostOf(beta(), standing)]);
  expect(choose(fleet, placementVmOf(vm(), { request }))).toBe('beta');
});

it('only VMs that run are counted', () => {
  const neighbour = { uuid: 'u', name: 'db', running: true, macs: [], diskPaths: [] };
  const facts = beta({ vms: [neighbour, { ...neighbour, uuid: 'v', running: false }] });
  expect(placementHostOf(facts, standing).runningVms).toBe(1);
});

it('pools that share their room are named by whoever knows', () => {
  const facts = beta({ pools: [pool(), { ...pool(), name: 'fast' }] });
  const host = placementHostOf(facts, { ...standing, stores: { fast: 'nfs' } });
  expect(host.pools.map(({ store }) => store)).toEqual([undefined, 'nfs']);
  expect(host).not.toHaveProperty('stores');
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
