/** The fault table: a row a fault, struck at a moment that was seen. docs/reliability.md shows it to people. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { ended, reached, until } from '../stage.ts';
import { moments } from './moments.ts';
import type { MomentName } from './moments.ts';
import type { FaultRow, Scene, Storage } from './scene.ts';
import {
  autostartOnSource,
  cuts,
  cutUntilFelt,
  felt,
  fills,
  fillUntilParked,
  freezeUntilFelt,
  killDaemon,
  killExport,
  killGuest,
  killTemporal,
  killWorkers,
  meddle,
  overtake,
  pauseInTemporal,
  restartInOrder,
  withClock,
  workerOf,
} from './strikes.ts';

const file = ['file'] as const;
const block = ['block'] as const;
const both = ['file', 'block'] as const;
const none: readonly Storage[] = [];
const everyone = ['source', 'target', 'control'] as const;

const once =
  (moment: MomentName, strike: (scene: Scene) => Promise<unknown>) =>
  async (scene: Scene): Promise<void> => {
    await moments[moment](scene);
    await strike(scene);
  };

/** Strikes while libvirt waits for a QEMU on the target that has begun and does not go on. */
const duringStart =
  (strike: (scene: Scene, goOn: () => void) => Promise<unknown>) =>
  async (scene: Scene): Promise<void> => {
    const goOn = scene.runs.hold(scene.vm.uuid);
    scene.mend(goOn);
    await moments.started(scene);
    await strike(scene, goOn);
    goOn();
  };

interface Kill {
  who: readonly ('source' | 'target' | 'control')[];
  at: MomentName;
  words: string;
  storages: readonly Storage[];
  also?: readonly Storage[];
}

/** kill -9 of workers; the move goes on by itself. */
const killed = ({ who, at, words, storages, also = [] }: Kill): FaultRow => ({
  name: `kill -9 of ${who.length === 3 ? 'every worker' : `the ${who.join(' and ')} worker`} ${words}`,
  storages,
  end: 'committed',
  also,
  play: once(at, (scene) => killWorkers(scene, ...who)),
});

/** Comes first: the target has never heard of the VM, and must not forget what it heard of a disk that is shared. */
const first: FaultRow[] = [
  {
    name: 'a cancel while the guest goes down',
    storages: block,
    also: file,
    end: 'cancelled',
    // Cancelled before the guest has heard, it just runs on: that is another story.
    play: once('goingDown', ({ move }) => move.cancel()),
  },
];

const workers: FaultRow[] = [
  killed({ who: ['source'], at: 'copying', words: 'in mid-copy', storages: none, also: file }),
  killed({ who: ['target'], at: 'copying', words: 'in mid-copy', storages: file }),
  killed({ who: ['control'], at: 'copying', words: 'in mid-copy', storages: none, also: file }),
  killed({
    who: everyone,
    at: 'exported',
    words: 'as the export opens',
    storages: none,
    also: file,
  }),
  killed({ who: everyone, at: 'copying', words: 'in mid-copy', storages: none, also: file }),
  killed({
    who: everyone,
    at: 'guarded',
    words: 'as the guest is asked to go',
    storages: block,
    also: file,
  }),
  killed({
    who: everyone,
    at: 'verifying',
    words: 'while it verifies',
    storages: none,
    also: file,
  }),
  killed({ who: everyone, at: 'defining', words: 'at the definition', storages: none, also: both }),
  killed({
    who: ['target'],
    at: 'defined',
    words: 'once it has defined',
    storages: none,
    also: both,
  }),
  killed({
    who: everyone,
    at: 'released',
    words: 'between two owners',
    storages: block,
    also: file,
  }),
  {
    name: 'kill -9 of every worker as QEMU starts',
    storages: block,
    also: file,
    end: 'committed',
    play: duringStart(async (scene, goOn) => {
      await killWorkers(scene, ...everyone);
      goOn();
    }),
  },
  killed({
    who: everyone,
    at: 'removing',
    words: 'while the source is removed',
    storages: none,
    also: both,
  }),
  {
    name: 'kill -9 of every worker while the move is undone',
    storages: none,
    also: both,
    end: 'cancelled',
    play: async (scene) => {
      await moments.guarded(scene);
      await moments.goingDown(scene);
      await scene.move.cancel();
      await moments.goingBack(scene);
      await killWorkers(scene, ...everyone);
    },
  },
  {
    name: 'SIGTERM of the target worker in mid-copy, which is no cancel',
    storages: none,
    also: file,
    end: 'committed',
    play: once('copying', (scene) => restartInOrder(scene, 'target')),
  },
  {
    name: 'SIGTERM of the target worker between two owners',
    storages: none,
    also: both,
    end: 'committed',
    play: once('released', (scene) => restartInOrder(scene, 'target')),
  },
];

const servers: FaultRow[] = [
  {
    name: 'kill -9 of Temporal in mid-copy',
    storages: file,
    end: 'committed',
    play: once('copying', killTemporal),
  },
  {
    name: 'kill -9 of Temporal between two owners',
    storages: block,
    also: file,
    end: 'committed',
    play: once('released', killTemporal),
  },
  {
    name: "kill -9 of the source's libvirtd while the guest goes down",
    storages: block,
    also: file,
    end: 'committed',
    play: once('goingDown', (scene) => killDaemon(scene, 'source', () => delay(1_000))),
  },
  {
    name: "kill -9 of the target's libvirtd in mid-copy, away until it is missed",
    storages: none,
    also: file,
    end: 'committed',
    codes: ['libvirt-unreachable'],
    play: once('copying', (scene) => killDaemon(scene, 'target', () => felt(scene))),
  },
  {
    name: "kill -9 of the target's libvirtd once it has the definition",
    storages: none,
    also: both,
    end: 'committed',
    play: once('defined', (scene) => killDaemon(scene, 'target', () => delay(500))),
  },
  {
    name: "kill -9 of the target's libvirtd as QEMU starts",
    storages: block,
    also: file,
    end: 'committed',
    play: duringStart((scene, goOn) =>
      killDaemon(scene, 'target', () => {
        goOn();
        return delay(500);
      }),
    ),
  },
  {
    name: 'kill -9 of the export in mid-copy',
    storages: file,
    end: 'committed',
    codes: ['source-unreachable'],
    play: once('copying', killExport),
  },
];

const guests: FaultRow[] = [
  {
    name: 'kill -9 of the guest while it goes down',
    storages: none,
    also: both,
    end: 'committed',
    play: once('guarded', (scene) => killGuest(scene, scene.from)),
  },
  {
    name: 'kill -9 of QEMU as it starts on the target; a person says retry',
    storages: none,
    also: both,
    end: 'committed',
    codes: ['libvirt-failed'],
    play: duringStart(async (scene, goOn) => {
      await killGuest(scene, scene.to);
      goOn();
      const report = await reached(scene.move, 'parked');
      expect(report.parkedIn).toBe('starting');
      await scene.move.retry();
    }),
  },
  {
    name: 'kill -9 of the guest right after its start on the target',
    storages: none,
    also: both,
    end: 'failed',
    codes: ['vm-did-not-stay-up'],
    play: async (scene) => {
      await until(
        scene.move,
        ({ report }) => report.phase === 'starting' && report.vmRunning,
        'up',
      );
      await killGuest(scene, scene.to);
    },
  },
];

const links: FaultRow[] = [
  {
    name: 'the link cut both ways in mid-copy',
    storages: none,
    also: file,
    end: 'committed',
    play: once('copying', (scene) => cutUntilFelt(scene, cuts.bothWays(scene))),
  },
  {
    name: 'the link cut from source to target alone in mid-copy',
    storages: file,
    end: 'committed',
    codes: ['source-unreachable'],
    play: once('copying', (scene) => cutUntilFelt(scene, cuts.oneWay(scene, 'source', 'target'))),
  },
  {
    name: 'the link cut from target to source alone in mid-copy',
    storages: none,
    also: file,
    end: 'committed',
    codes: ['source-unreachable'],
    play: once('copying', (scene) => cutUntilFelt(scene, cuts.oneWay(scene, 'target', 'source'))),
  },
  {
    name: 'the target cut off from Temporal in mid-copy, while it copies on',
    storages: file,
    end: 'committed',
    codes: ['worker-lost'],
    play: once('copying', (scene) => cutUntilFelt(scene, cuts.control(scene, 'target'))),
  },
  {
    name: 'the way from the target to Temporal cut alone in mid-copy',
    storages: none,
    also: file,
    end: 'committed',
    codes: ['worker-lost'],
    play: once('copying', (scene) => cutUntilFelt(scene, cuts.toTemporal(scene, 'target'))),
  },
  {
    name: 'the way from Temporal to the target cut alone in mid-copy',
    storages: none,
    also: file,
    end: 'committed',
    codes: ['worker-lost'],
    play: once('copying', (scene) => cutUntilFelt(scene, cuts.fromTemporal(scene, 'target'))),
  },
  {
    name: 'the target cut off from Temporal between two owners',
    storages: none,
    also: both,
    end: 'committed',
    play: once('released', (scene) => cutForAWhile(scene, 'target')),
  },
];

/** Longer than the heartbeats' time-out; whether the move has felt it depends on what was under way. */
const cutForAWhile = async (scene: Scene, side: 'source' | 'target'): Promise<void> => {
  const mend = await cuts.control(scene, side)();
  await delay(8_000);
  await mend();
};

const storage: FaultRow[] = [
  {
    name: "the target's pool full in mid-copy; room is made, a person says retry",
    storages: file,
    end: 'committed',
    alone: true,
    codes: ['target-disk-full'],
    play: once('copying', (scene) => fillUntilParked(scene, fills.targetPool)),
  },
  {
    name: "the target's state folder full at the cutover; room is made, a person says retry",
    storages: block,
    also: file,
    end: 'committed',
    alone: true,
    codes: ['ledger-unwritable', 'state-folder-unwritable', 'host-disk-full'],
    play: once('guarded', (scene) => fillUntilParked(scene, fills.targetState)),
  },
  {
    name: "the source's state folder full at the stop; room is made, a person says retry",
    storages: none,
    also: both,
    end: 'committed',
    alone: true,
    codes: ['ledger-unwritable', 'state-folder-unwritable', 'host-disk-full'],
    play: once('guarded', (scene) => fillUntilParked(scene, fills.sourceState)),
  },
];

const time: FaultRow[] = [
  {
    name: 'the source frozen in mid-copy for longer than a heartbeat may be late',
    storages: none,
    also: file,
    end: 'committed',
    play: once('copying', (scene) => freezeUntilFelt(scene, 'source')),
  },
  {
    name: 'the target frozen in mid-copy for longer than a heartbeat may be late',
    storages: file,
    end: 'committed',
    codes: ['worker-lost'],
    play: once('copying', (scene) => freezeUntilFelt(scene, 'target')),
  },
  {
    name: 'the target frozen as QEMU starts for longer than a heartbeat may be late',
    storages: block,
    also: file,
    end: 'committed',
    codes: ['worker-lost'],
    play: once('started', (scene) => freezeUntilFelt(scene, 'target')),
  },
  {
    name: 'the target worker standing still in mid-copy, overtaken by a second one, then going on',
    storages: file,
    end: 'committed',
    codes: ['worker-lost'],
    play: once('copying', (scene) => overtake(scene, 'target')),
  },
  {
    name: 'the target worker standing still as QEMU starts, overtaken, then going on',
    storages: none,
    also: both,
    end: 'committed',
    play: once('started', (scene) => overtake(scene, 'target')),
  },
  {
    name: "the clock of the target's worker an hour ahead from mid-copy on",
    storages: file,
    end: 'committed',
    alone: true,
    play: (scene) =>
      withClock(scene, 'target', async (clock) => {
        await moments.copying(scene);
        await clock.jump(3_600);
        await ended(scene.move);
      }),
  },
  {
    name: "the clock of the source's worker an hour behind from mid-copy on",
    storages: none,
    also: file,
    end: 'committed',
    alone: true,
    play: (scene) =>
      withClock(scene, 'source', async (clock) => {
        await moments.copying(scene);
        await clock.jump(-3_600);
        await ended(scene.move);
      }),
  },
];

const people: FaultRow[] = [
  {
    name: 'a cancel in mid-copy while the source worker is dead',
    storages: file,
    end: 'cancelled',
    play: once('copying', async (scene) => {
      const worker = workerOf(scene, 'source');
      await worker.kill9({ stayDown: true });
      scene.mend(() => worker.start());
      await scene.move.cancel();
      await moments.goingBack(scene);
      worker.start();
    }),
  },
  {
    name: 'a rollback after the start while the target worker is dead',
    storages: block,
    also: file,
    end: 'rolled-back',
    waits: true,
    play: once('awaitingCommit', async (scene) => {
      const worker = workerOf(scene, 'target');
      await worker.kill9({ stayDown: true });
      scene.mend(() => worker.start());
      await scene.move.rollback({ discardTargetWrites: true });
      await moments.goingBack(scene);
      worker.start();
    }),
  },
  {
    name: 'a person who runs `virsh start` on both hosts all the time',
    storages: block,
    also: file,
    end: 'committed',
    alone: true,
    play: (scene) => meddle(scene, () => ended(scene.move)),
  },
  {
    name: 'autostart set by a person, and libvirtd of the source restarted as at a boot',
    storages: none,
    also: file,
    end: 'committed',
    play: once('copying', autostartOnSource),
  },
  {
    name: 'autostart set by a person, and libvirtd of the source restarted after the cutover',
    storages: none,
    also: both,
    end: 'committed',
    waits: true,
    play: once('awaitingCommit', async (scene) => {
      await autostartOnSource(scene);
      await scene.move.commit();
    }),
  },
  {
    name: "an operator's pause of the copy in Temporal, then unpause",
    storages: none,
    also: file,
    end: 'committed',
    play: once('copying', (scene) => pauseInTemporal(scene, 'ensureCopied')),
  },
];

/** As CI runs it, or all of it with VMFERRY_FAULTS=all; VMFERRY_FAULTS_ONLY picks by a pattern of names. */
export function chosenRows(env: NodeJS.ProcessEnv): { row: FaultRow; storage: Storage }[] {
  const rows = [
    ...first,
    ...workers,
    ...servers,
    ...guests,
    ...links,
    ...storage,
    ...time,
    ...people,
  ];
  const only = new RegExp(env['VMFERRY_FAULTS_ONLY'] ?? '');
  // Rows on one kind of storage stand apart, so that one VM boots and is looked at while the next is moved.
  const isAll = env['VMFERRY_FAULTS'] === 'all';
  return rows
    .flatMap((row) =>
      [...row.storages, ...(isAll ? (row.also ?? []) : [])].map((kind) => ({ row, storage: kind })),
    )
    .filter(({ row, storage: kind }) => only.test(`${row.name} (${kind})`));
}
