import { describe, expect, it } from 'vitest';
import { planDrain } from '../../../client/drain-plan.ts';
import type { PlanAsker } from '../../../client/drain-plan.ts';
import type { PlaceRequest } from '../../../client/place.ts';
import type { Concern } from '../../../domain/concerns.ts';
import { drainDefaults } from '../../../domain/drain/drain.ts';
import { supposedHost } from '../../../domain/hosts/standing.ts';
import { explain } from '../../../domain/placement/choose.ts';
import { fleetOf } from '../../../domain/placement/fleet.ts';
import type { PlacementHost } from '../../../domain/placement/host.ts';
import { noteOf } from '../../../domain/placement/note-of.ts';
import { reservationOf } from '../../../domain/placement/reserve.ts';
import type { PlacementVm } from '../../../domain/placement/vm.ts';
import type { VmSummary } from '../../../domain/vm.ts';
import { gibibyte, host, vm } from '../placement/fleets.ts';

const summary = (name: string): VmSummary => ({
  ...{ host: 'alpha', name, uuid: name, state: 'running', memoryBytes: gibibyte, vcpus: 1 },
  ...{ autostart: false, persistent: true, diskBytes: 0 },
});

/** Hosts that place by the true rules, and judge moves as `against` says. */
class Fleet implements PlanAsker {
  readonly asked: PlaceRequest[] = [];
  against: (asked: { vm: string; to: string; skip: string[] }) => Concern[] = () => [];
  readonly #hosts: readonly PlacementHost[];
  readonly #vms: Record<string, PlacementVm>;

  constructor(hosts: readonly PlacementHost[], vms: Record<string, PlacementVm>) {
    this.#hosts = hosts;
    this.#vms = vms;
  }

  place: PlanAsker['place'] = (asked) => {
    this.asked.push(asked);
    const { supposed, exclude = [], from } = asked;
    const known = this.#vms[asked.vm];
    if (supposed === undefined || known === undefined) throw new Error(`who is ${asked.vm}?`);
    const others = this.#hosts
      .filter(({ name }) => name !== from && !exclude.includes(name))
      .map((one) => supposedHost(one, supposed));
    const source = this.#hosts
      .filter(({ name }) => name === from)
      .map((one) => supposedHost(one, supposed));
    const result = explain(fleetOf([...others, ...source]), known, {});
    const { chosen } = result;
    return Promise.resolve({
      answer: {
        ...{ vm: known.name, policy: result.policy, hosts: others.length, rows: [], refusals: [] },
        ...(chosen === undefined ? {} : { chosen }),
        note: noteOf(result, undefined),
      },
      takes: reservationOf(known, asked.vm),
    });
  };

  plan: PlanAsker['plan'] = ({ vm: uuid, to = '', skip = [] }) =>
    Promise.resolve({ concerns: this.against({ vm: uuid, to, skip }) } as never);
}

const critical = (message: string, on: string): Concern => ({
  ...{ code: 'c', level: 'critical', message, remedy: 'r', host: on },
});

const plan = async (fleet: Fleet, vms: VmSummary[], changes = {}) => {
  const request = { ...drainDefaults('ann'), ...changes };
  const found = await planDrain(fleet, { host: 'alpha', vms, request });
  return found.vms.map(({ name, way, to = '', why = '' }) => [name, way, to, why]);
};

const big = vm({ memoryBytes: 20 * gibibyte, disks: [] });

describe('the plan of a drain', () => {
  it('promises no room twice: where one of two VMs fits, the other goes elsewhere, or nowhere', async () => {
    const fleet = new Fleet([host('alpha'), host('beta'), host('gamma')], {
      a: big,
      b: big,
      c: big,
    });
    const [first, second, third] = await plan(
      fleet,
      ['a', 'b', 'c'].map((name) => summary(name)),
    );
    expect([first, second]).toEqual([
      ['a', 'live', 'beta', ''],
      ['b', 'live', 'gamma', ''],
    ]);
    expect(third?.slice(0, 2)).toEqual(['c', 'fails']);
    expect(third?.[3]).toMatch(/no host takes it: .*memory/);
  });

  it('leaves out the checks that its moves would leave out', async () => {
    const fleet = new Fleet([host('alpha'), host('beta')], { a: vm({ disks: [] }) });
    fleet.against = ({ skip }) => (skip.includes('kernel') ? [] : [critical('older', 'beta')]);
    const [refused] = await plan(fleet, [summary('a')]);
    expect(refused?.slice(0, 2)).toEqual(['a', 'fails']);
    expect(await plan(fleet, [summary('a')], { skip: ['kernel'] })).toEqual([
      ['a', 'live', 'beta', ''],
    ]);
  });

  it('counts none of its moves against the limit of moves at a time, since they come and go', async () => {
    const small = vm({ memoryBytes: gibibyte, disks: [] });
    const names = ['a', 'b', 'c', 'd'];
    const fleet = new Fleet(
      [host('alpha'), host('beta', { movesIn: { underWay: 0, limit: 1 } })],
      Object.fromEntries(names.map((name) => [name, small])),
    );
    const ways = await plan(
      fleet,
      names.map((name) => summary(name)),
    );
    expect(ways.map(([, way, to]) => `${way} ${to}`)).toEqual(Array(4).fill('live beta'));
  });

  it('keeps VMs apart that have to stay so, and lets the first of those go that belong together', async () => {
    const apart = vm({
      disks: [],
      rules: [{ group: 'web', kind: 'anti-affinity', strength: 'hard' }],
    });
    const fleet = new Fleet([host('alpha', { groups: { web: 2 } }), host('beta')], {
      a: apart,
      b: apart,
    });
    const ways = await plan(fleet, [summary('a'), summary('b')]);
    expect(ways.map(([, way]) => way)).toEqual(['live', 'fails']);

    const together = vm({
      disks: [],
      rules: [{ group: 'db', kind: 'affinity', strength: 'hard' }],
    });
    const pair = new Fleet([host('alpha', { groups: { db: 2 } }), host('beta'), host('gamma')], {
      a: together,
      b: together,
    });
    const both = await plan(pair, [summary('a'), summary('b')]);
    expect(both.map(([, way, to]) => `${way} ${to}`)).toEqual(['live beta', 'live beta']);
  });

  it('tries another target where one turns out to be none, as long as there is room', async () => {
    const fleet = new Fleet([host('alpha'), host('beta'), host('gamma')], { a: big, b: big });
    fleet.against = ({ vm: uuid, to }) =>
      uuid === 'a' && to === 'beta' ? [critical('no such CPU', 'beta')] : [];
    expect(await plan(fleet, [summary('a'), summary('b')])).toEqual([
      ['a', 'fails', '', expect.stringMatching(/^no such CPU; no other host takes it: .*memory/)],
      ['b', 'live', 'gamma', ''],
    ]);
    const alone = new Fleet([host('alpha'), host('beta'), host('gamma')], { a: big });
    alone.against = fleet.against;
    expect(await plan(alone, [summary('a')])).toEqual([['a', 'live', 'gamma', '']]);
    expect(alone.asked.map(({ exclude }) => exclude)).toEqual([[], ['beta']]);
  });

  it('gives room that is not needed after all to those that lacked it', async () => {
    const fleet = new Fleet([host('alpha'), host('beta')], { a: big, b: big });
    fleet.against = ({ vm: uuid }) => (uuid === 'a' ? [critical('a device', 'alpha')] : []);
    expect(await plan(fleet, [summary('a'), summary('b')])).toEqual([
      ['a', 'stays', 'beta', 'a device'],
      ['b', 'live', 'beta', ''],
    ]);
  });

  it('leaves a VM that its own host forbids to move, without a place for it anywhere', async () => {
    const fleet = new Fleet([host('alpha'), host('beta')], { a: big });
    fleet.against = () => [critical('a device', 'alpha')];
    expect(await plan(fleet, [summary('a')])).toEqual([['a', 'stays', 'beta', 'a device']]);
    const cold = await plan(fleet, [summary('a')], { rest: 'cold' });
    expect(cold).toEqual([['a', 'cold', 'beta', 'a device']]);
    expect(fleet.asked).toHaveLength(2);
  });
});
