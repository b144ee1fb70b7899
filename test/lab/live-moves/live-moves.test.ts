/** Whole live moves through Temporal: each ends rightly whatever dies meanwhile, and the guest does not notice. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import type { ConvergenceAct } from '../../../domain/convergence.ts';
import { cutOneWay } from '../../../lab/one-way.ts';
import { makeBusyGuest } from '../live/busy-guest.ts';
import { openStage, until } from '../stage.ts';
import type { Stage } from '../stage.ts';
import {
  expectStarts,
  expectWhole,
  felt,
  makeTraveller,
  midRun,
  outpaced,
  pauseOf,
  travel,
} from './travellers.ts';
import type { Load, Row, Storage, Traveller, Trip } from './travellers.ts';

/** The whole table takes a quarter of an hour. */
const isAll = process.env['VMFERRY_LIVE'] === 'all';
const mebibyte = 1024 * 1024;

let root: string;
let stage: Stage;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmferry-live-moves-'));
  const guestDir = await makeBusyGuest(join(root, 'guest'));
  const options = { poolBytes: 256 * mebibyte, shared: true, guestDir };
  stage = await openStage({ name: `t${process.pid}`, ...options });
});

afterAll(async () => {
  await stage.close();
  await rm(root, { recursive: true, force: true });
});

/** kill -9; libvirtd is there again once the move has missed it. */
const withoutDaemon =
  (side: 'from' | 'to') =>
  async (trip: Trip): Promise<void> => {
    await midRun(trip);
    const { libvirtd } = trip.stage.lab.host(trip[side]);
    await libvirtd.kill9();
    await libvirtd.start();
  };

/** Nothing crosses between the two hosts, while both see Temporal, until the move has felt it, and for `forMs` more. */
async function withoutLink(trip: Trip, forMs = 0): Promise<void> {
  await midRun(trip);
  const { lab } = trip.stage;
  const there = await cutOneWay(lab, { from: trip.from, to: trip.to });
  const back = await cutOneWay(lab, { from: trip.to, to: trip.from });
  try {
    await felt(trip);
    await delay(forMs);
  } finally {
    await there();
    await back();
  }
}

/**
 * QEMU takes its first step after two passes, and each takes several times the patience: a run that is given up between
 * two of them never comes so far. What the guest may write then is still too much for this link, so it becomes faster.
 */
async function throttled(trip: Trip): Promise<void> {
  await outpaced(trip);
  await until(trip.move, ({ live }) => (live?.throttlePercent ?? 0) > 0, 'a slower guest');
  await trip.move.tune({ bandwidthBytesPerSecond: 64 * mebibyte });
}

const rows = {
  done: { name: 'is done', end: 'committed', strike: () => Promise.resolve() },
  connections: {
    name: 'is done over four connections',
    end: 'committed',
    wishes: { parallelConnections: 4 },
    uncapped: true,
    strike: () => Promise.resolve(),
  },
  xbzrle: {
    name: 'is done with pages compressed by what changed of them',
    end: 'committed',
    wishes: { compression: 'xbzrle' },
    uncapped: true,
    strike: () => Promise.resolve(),
  },
  threads: {
    name: 'is done with pages compressed by threads',
    end: 'committed',
    wishes: { compression: 'mt' },
    uncapped: true,
    strike: () => Promise.resolve(),
  },
  postCopy: {
    name: 'is done by post-copy',
    end: 'committed',
    wishes: { postCopy: true, pause: false },
    strike: outpaced,
  },
  raised: {
    name: 'is done by a longer pause',
    end: 'committed',
    wishes: { pause: false, quicklyFinish: true, highestDowntimeMs: 60_000 },
    strike: outpaced,
  },
  throttled: {
    name: 'is slowed down by QEMU, however long its passes take, and done once the link allows',
    end: 'committed',
    wishes: { pause: false, autoConverge: true },
    strike: throttled,
  },
  cancelled: {
    name: 'is cancelled in the middle',
    end: 'cancelled',
    strike: async (trip) => {
      await midRun(trip);
      await trip.move.cancel();
    },
  },
  workerKilled: {
    name: "kill -9 of the source's worker in the middle",
    end: 'committed',
    strike: async (trip) => {
      await midRun(trip);
      await trip.stage.fleet.worker(trip.from).kill9();
    },
  },
  sourceDaemonKilled: {
    name: "kill -9 of the source's libvirtd in the middle",
    end: 'committed',
    strike: withoutDaemon('from'),
  },
  targetDaemonKilled: {
    name: "kill -9 of the target's libvirtd in the middle",
    end: 'committed',
    strike: withoutDaemon('to'),
  },
  linkCut: {
    name: 'the link between the hosts is cut in the middle',
    end: 'committed',
    strike: (trip) => withoutLink(trip),
  },
  // By then libvirt has called the copies of disks off, and QEMU, which sends, has answered nothing.
  linkCutForLong: {
    name: 'the link between the hosts is cut in the middle, for minutes',
    end: 'committed',
    strike: (trip) => withoutLink(trip, 130_000),
  },
} as const satisfies Record<string, Row>;

/** What ends the run of a guest that dirties faster than the link; an idle one never needs it. */
const steps: Partial<Record<RowName, ConvergenceAct>> = {
  postCopy: 'post-copy',
  raised: 'raise-downtime',
  throttled: 'throttle',
};

type RowName = keyof typeof rows;

const everyRow = Object.keys(rows) as RowName[];
/** What is played by default of the whole table: each guest, and each thing that goes wrong. */
const chosen: Record<Storage, Record<Load, readonly RowName[]>> = {
  shared: { idle: ['done', 'sourceDaemonKilled'], dirtying: ['targetDaemonKilled', 'postCopy'] },
  local: { idle: ['workerKilled'], dirtying: ['cancelled'] },
};

const guests = (['shared', 'local'] as const).flatMap((storage) =>
  (['idle', 'dirtying'] as const).map((load) => ({ storage, load })),
);

// One guest at a time: one that writes all the time takes a whole processor.
describe.each(guests)('$storage disk, $load guest', ({ storage, load }) => {
  let guest: Traveller;
  beforeAll(async () => {
    guest = await makeTraveller(stage, storage, load);
  });

  const played = everyRow
    .filter((row) => load === 'dirtying' || steps[row] === undefined)
    .filter((row) => row !== 'linkCutForLong' || (storage === 'local' && load === 'dirtying'))
    .filter((row) => isAll || chosen[storage][load].includes(row));

  it.each(played.map((row) => [rows[row].name, row] as const))('%s', async (_words, row) => {
    onTestFailed(async () => console.error(await stage.logs()));
    const report = await travel(stage, guest, rows[row]);
    const step = steps[row];
    if (step !== undefined) expect(report.live?.steps.map(({ act }) => act)).toContain(step);
    expect(report.live?.postCopy).toBe(row === 'postCopy');
    await expectStarts(stage, guest, load);
  });

  it('has a whole disk where it lives now', async () => {
    await expectWhole(stage, guest, load);
  });
});

/** libvirt's figure and the guest's own, both of whole looks at a clock. */
const pausesAgreeWithinMs = 1_000;

it.runIf(isAll)(
  'a guest goes to and fro twenty times, and its clock and its disk are right each time',
  async () => {
    const guest = await makeTraveller(stage, 'shared', 'idle', 'commuter');
    for (let trip = 1; trip <= 20; trip += 1) {
      const row = { ...rows.done, name: `trip ${trip}`, uncapped: true } as const;
      const { live } = await travel(stage, guest, row);
      const pauseMs = await pauseOf(stage, guest);
      const apart = Math.abs(pauseMs - (live?.downtimeMs ?? Number.NaN));
      expect(apart, `the guest says ${pauseMs} ms`).toBeLessThan(pausesAgreeWithinMs);
    }
    await expectWhole(stage, guest);
  },
  1_200_000,
);
