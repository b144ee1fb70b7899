/** A drain and a choice of host, as the client would tell them. */
import type { DrainPlan, DrainStatus, FerryDrain, PlaceVmResult } from '../../../cli/ferry.ts';
import { drainDefaults } from '../../../domain/drain/drain.ts';
import type { DrainReport } from '../../../domain/drain/drain.ts';

const at = '2026-03-04T10:00:00.000Z';

/** Of a drain that is over: one VM moved, one left; `change` overrides. */
export const drainReportWith = (change: Partial<DrainReport> = {}): DrainReport => ({
  id: 'drain/default/alpha',
  host: 'alpha',
  operator: 'ada@desk',
  phase: 'done',
  request: drainDefaults('ada@desk'),
  vms: [
    {
      uuid: 'u1',
      name: 'db',
      state: 'left',
      why: 'it has a device of its host',
      fault: { code: 'c', handling: 'permanent', message: 'm', remedy: 'r', host: 'alpha' },
      excluded: ['gamma'],
    },
    {
      uuid: 'u2',
      name: 'web-1',
      state: 'moved',
      to: 'beta',
      moveId: 'm',
      mode: 'live',
      awaitsCommit: true,
    },
  ],
  startedAt: at,
  endedAt: at,
  ...change,
});

/** A drain that shows the given reports, one after the other. */
export const drainOf = (...reports: DrainReport[]): FerryDrain & { cancelled: boolean } => {
  const statuses = reports.map((report): DrainStatus => ({ report, moves: {} }));
  return {
    id: 'drain/default/alpha',
    host: 'alpha',
    cancelled: false,
    status: () => Promise.resolve(statuses.at(-1)!),
    async *watch() {
      for (const status of statuses) yield await Promise.resolve(status);
    },
    cancel() {
      this.cancelled = true;
      return Promise.resolve();
    },
  };
};

export const drainPlanWith = (): DrainPlan => ({
  host: 'alpha',
  vms: [
    { uuid: 'u2', name: 'web-1', state: 'running', way: 'live', to: 'beta' },
    { uuid: 'u1', name: 'db', state: 'running', way: 'stays', to: 'beta', why: 'it has a device' },
  ],
});

export const placedWith = (change: Partial<PlaceVmResult['answer']> = {}): PlaceVmResult => ({
  vm: { name: 'web-1', uuid: 'u2', host: 'alpha', state: 'running' },
  answer: {
    vm: 'web-1',
    policy: 'fewest-vms',
    chosen: 'beta',
    hosts: 3,
    rows: [
      {
        host: 'beta',
        state: 'chosen',
        total: '1000.500',
        why: 'running-vms 1000.000: 2 VMs run or are awaited',
      },
      { host: 'alpha', state: 'refused', total: '', why: 'not-source: web-1 is on it' },
    ],
    refusals: [{ filter: 'not-source', hosts: 1 }],
    note: { policy: 'fewest-vms', reasons: ['beta is the best: 2 VMs run or are awaited'] },
    ...change,
  },
});
