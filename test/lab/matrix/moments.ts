/** Moments of a move, each known by something that happened on a host and stays so: none can be missed. */
import { access, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Ledger } from '../../../guard/ledger.ts';
import type { StepName } from '../../../domain/move.ts';
import type { LabHost } from '../../../lab/host.ts';
import type { Run } from '../../../lab/runs.ts';
import { waitUntil } from '../../../lab/wait.ts';
import { midCopy, until } from '../stage.ts';
import type { Scene } from './scene.ts';

/** A guest that still boots hears of no shutdown for as long as two minutes. */
const limit = { timeoutMs: 240_000, everyMs: 5 };

type Moment = (scene: Scene) => Promise<void>;

/** The ledger of a host says so of the VM. */
const ledgerSays =
  (side: 'source' | 'target', state: string): Moment =>
  async (scene) => {
    const host = scene[side];
    const ledger = new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name });
    await waitUntil(async () => (await ledger.read(scene.vm.uuid))?.state === state, {
      what: `the ledger of ${host.name} to say ${state} of ${scene.vm.name}`,
      ...limit,
    });
  };

const isDefined = (host: LabHost, vm: string): Promise<boolean> =>
  access(`${host.folder}/etc/libvirt/qemu/${vm}.xml`).then(
    () => true,
    () => false,
  );

const mebibyte = 1024 * 1024;

/** What the VM's files take of the pool's file system. */
async function allocatedBytes(host: LabHost, vm: string): Promise<number> {
  const pool = host.rootOf(host.poolPath);
  const own = (await readdir(pool)).filter(
    (name) => name.startsWith(`${vm}.`) || name.startsWith(`${vm}-`),
  );
  const sizes = await Promise.all(
    own.map((name) =>
      stat(join(pool, name)).then(
        ({ blocks }) => blocks * 512,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((total, bytes) => total + bytes, 0);
}

/** A step runs, or has run. */
const stepBegins =
  (step: StepName): Moment =>
  async ({ move }) => {
    await until(
      move,
      ({ report }) => report.steps.find(({ name }) => name === step)?.startedAt !== undefined,
      `step ${step}`,
    );
  };

export const moments = {
  /** The source may not start the VM any more. */
  guarded: ledgerSays('source', 'migrating-out'),
  /** The guest says that it goes down. */
  goingDown: async ({ stage, from, vm }) => {
    await stage.lab.waitForConsole(from, vm.name, /power off/, limit);
  },
  /** The disk is offered to the target. */
  exported: async ({ source }) => {
    await waitUntil(
      async () => {
        const names = await readdir(source.rootOf(`${source.stateDir}/exports`)).catch(() => []);
        return names.some((name) => decodeURIComponent(name).endsWith(':vda.json'));
      },
      { what: 'the export of vda', ...limit },
    );
  },
  /** A third of the data is on the target's storage. What a file has stays to be seen; of a device only the move tells. */
  copying: async ({ move, storage, target, vm }) => {
    if (storage === 'block') {
      await midCopy(move, 0.3);
      return;
    }
    const what = `a third of ${vm.name}'s data to be on ${target.name}`;
    await waitUntil(async () => (await allocatedBytes(target, vm.name)) >= 10 * mebibyte, {
      ...{ what, ...limit },
    });
  },
  verifying: stepBegins('verify'),
  defining: stepBegins('define'),
  defined: async ({ target, vm }) => {
    const options = { what: `${vm.name} to be defined on ${target.name}`, ...limit };
    await waitUntil(() => isDefined(target, vm.name), options);
  },
  /** The source has given the VM up, the target does not own it yet. */
  released: ledgerSays('source', 'released'),
  owned: ledgerSays('target', 'owner'),
  /** QEMU was started on the target. */
  started: async ({ runs, runsBefore, vm, to }) => {
    const isNew = (run: Run): boolean => runs.of(vm.uuid).indexOf(run) >= runsBefore;
    await runs.until(vm.uuid, (run) => run.host === to && isNew(run), {
      what: `QEMU on ${to}`,
      ...limit,
    });
  },
  awaitingCommit: async ({ move }) => {
    await until(move, ({ report }) => report.phase === 'awaiting-commit', 'awaiting commit');
  },
  /** The source's definition is gone. */
  removing: async ({ source, vm }) => {
    const options = { what: `${vm.name} to be gone from ${source.name}`, ...limit };
    await waitUntil(async () => !(await isDefined(source, vm.name)), options);
  },
  goingBack: async ({ move }) => {
    await until(move, ({ report }) => report.phase === 'rolling-back', 'its undo');
  },
} as const satisfies Record<string, Moment>;

export type MomentName = keyof typeof moments;
