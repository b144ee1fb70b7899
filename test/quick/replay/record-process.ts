/**
 * Saves histories of moves for `replay.test.ts`: `node test/quick/replay/record-process.ts [NAME...]`. Run it for all
 * when a change of the workflows is meant to break old histories (nothing runs on them), or for the names of new paths;
 * otherwise the change needs `patched()`.
 */
import { writeFile } from 'node:fs/promises';
import proto from '@temporalio/proto';
import type { WorkflowHandle } from '@temporalio/client';
import { defaultLiveWishes } from '../../../domain/live.ts';
import type { LiveWishes } from '../../../domain/live.ts';
import type { MoveRequest } from '../../../domain/move.ts';
import { queryNames, updateNames } from '../../../workflows/contract.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { FakeWorld } from '../workflows/fake-hosts.ts';
import type { Injection, LiveRun } from '../workflows/fake-hosts.ts';
import { MoveBench } from '../workflows/move-bench.ts';
import { request } from '../workflows/move-request.ts';
import { forgetPlace } from './forget-place.ts';

interface Story {
  changes?: Partial<MoveRequest>;
  injections?: Injection[];
  liveRuns?: LiveRun[];
  during?: (handle: WorkflowHandle) => Promise<void>;
}

async function until(handle: WorkflowHandle, phase: string): Promise<void> {
  for (;;) {
    if ((await handle.query<MoveReport>(queryNames.report)).phase === phase) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const atCopy = (handling: Injection['handling']): Injection[] => [
  { host: 'beta', verb: 'ensureCopied', when: 'before', handling, times: 1 },
];

const live = (wishes: Partial<LiveWishes> = {}): Partial<MoveRequest> => ({
  live: { ...defaultLiveWishes, ...wishes },
});
const broken: LiveRun = {
  ...{ code: 'live-interrupted', handling: 'transient' },
  ...{ message: 'the link broke', remedy: 'none' },
};

const stories: Record<string, Story> = {
  'live-held': { changes: live() },
  'live-held-in-vain': { changes: live(), liveRuns: ['taken-back'] },
  'live-held-until-the-target': { changes: live(), liveRuns: ['kept'] },
  'live-seen-there': { changes: live(), liveRuns: ['seen'] },
  'live-committed': { changes: live() },
  'live-after-interruption': { changes: live(), liveRuns: [broken] },
  'live-cancelled': {
    changes: live(),
    liveRuns: ['waits'],
    during: async (handle) => {
      await until(handle, 'moving');
      await handle.cancel();
    },
  },
  'live-then-cold': {
    changes: live({ fallback: 'cold' }),
    liveRuns: [{ ...broken, handling: 'permanent' }],
  },
  committed: {},
  'committed-after-transient-fault': { injections: atCopy('transient') },
  'committed-after-park-and-retry': {
    injections: atCopy('needs-operator'),
    during: async (handle) => {
      await until(handle, 'parked');
      await handle.executeUpdate(updateNames.retry);
    },
  },
  'failed-and-undone': { injections: atCopy('permanent') },
  'failed-after-cutover': {
    injections: [
      { host: 'beta', verb: 'ensureHealthy', when: 'before', handling: 'permanent', times: 1 },
    ],
  },
  cancelled: {
    injections: atCopy('needs-operator'),
    during: async (handle) => {
      await until(handle, 'parked');
      await handle.cancel();
    },
  },
  'rolled-back': {
    changes: { autoCommit: false },
    during: async (handle) => {
      await until(handle, 'awaiting-commit');
      await handle.executeUpdate(updateNames.rollback, {
        args: [{ discardTargetWrites: true, operator: 'test' }],
      });
    },
  },
};

const bench = await MoveBench.open();
try {
  const asked = process.argv.slice(2);
  for (const [name, { changes, injections, liveRuns, during }] of Object.entries(stories)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    const world = new FakeWorld({ running: true });
    world.injections.push(...(injections ?? []));
    world.liveRuns.push(...(liveRuns ?? []));
    const report = await bench.run(world, request(changes), during);
    if (bench.lastHistory === undefined) throw new Error(`no history of ${name}`);
    const path = new URL(`histories/${name}.history`, import.meta.url);
    forgetPlace(bench.lastHistory);
    await writeFile(path, proto.temporal.api.history.v1.History.encode(bench.lastHistory).finish());
    console.log(`${name}: ${report.phase}`);
  }
} finally {
  await bench.close();
}
