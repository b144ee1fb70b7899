import type { ReleaseSourceInput } from '../activities/contract.ts';
import { Phase } from '../domain/move.ts';
import type { Exports } from './copy.ts';
import { undoEpoch } from './move.ts';
import type { Checked, Move, Stopped } from './move.ts';
import { limits } from './on-host.ts';
import { giveSlots } from './slots.ts';

/** How long a started guest has to stay up before the move calls it healthy, ms. */
const healthyForMs = 2_000;

export interface CutOverInput {
  checked: Checked;
  stopped: Stopped;
  exports: Exports;
}

/**
 * The fenced commit of ownership: first the source gives the VM up for good (its hook refuses every start from then
 * on), only then the target becomes its owner under a newer epoch, and only an owner starts.
 */
export async function cutOver(
  move: Move,
  { checked, stopped, exports }: CutOverInput,
): Promise<void> {
  const { record, input } = move;
  const { to } = input.request;
  const { epoch } = checked;
  const fingerprints = Object.fromEntries(
    Object.entries(exports).map(([name, { fingerprint }]) => [name, fingerprint]),
  );
  await handOver(move, checked, { fingerprints });

  const autoStart = stopped.wasRunning || input.request.autoStart;
  if (!autoStart) {
    record.skip('start');
    record.note(`${input.vm.name} was off and stays off on ${to}; start it there when you like`);
    return;
  }
  record.enter(Phase.starting);
  await record.during('start', () =>
    start(move, {
      epoch: epoch + 1,
      ...(stopped.wasRunning ? { downSinceMs: stopped.downSinceMs } : {}),
    }),
  );
}

/** The same for a guest that runs at the target already, under the leave that its one migration had. */
export async function cutOverLive(move: Move, checked: Checked): Promise<void> {
  const { record } = move;
  // From here on an undo is a way back, which starts the VM where it was.
  move.goingLive = false;
  // Beside the rest: only the next move waits for it.
  void giveSlots(move, move.input.request.to);
  record.skip('stop-source', 'export', 'copy', 'verify', 'define', 'start');
  await handOver(move, checked, { fingerprints: {}, live: true });
  const { live, disks } = record.report;
  if (live?.downtimeMs !== undefined) record.report.downtimeMs = live.downtimeMs;
  const copied = checked.disks.filter(({ how }) => how === 'copy').map(({ name }) => name);
  if (copied.length === 0) return;
  record.note(
    `${copied.join(', ')} crossed with the running guest, which has written on since: nothing was compared`,
  );
  // libvirt counts all disks together.
  const only = copied.length === 1 ? disks.find(({ name }) => name === copied[0]) : undefined;
  if (only !== undefined && live?.diskBytes !== undefined) only.bytesCopied = live.diskBytes;
}

/** The ledgers: released here, owned there under the next epoch. */
async function handOver(
  move: Move,
  checked: Checked,
  how: Pick<ReleaseSourceInput, 'fingerprints' | 'live'>,
): Promise<void> {
  const { record, hosts, undo, input } = move;
  const { from, to } = input.request;
  const { epoch } = checked;
  record.enter(Phase.cuttingOver);
  move.cutoverBegan = true;
  // Pushed last, so run first: whatever the target may have become is revoked before the source gets its VM back.
  undo.push({
    name: `revoke ${to}'s ownership`,
    run: async () => {
      await hosts.do({
        host: to,
        what: 'revoke the target',
        limit: limits.act,
        call: (at) =>
          at.revokeTarget({
            ...move.ref,
            epoch: undoEpoch(move, epoch),
            source: from,
            discardWrites: true,
          }),
      });
      record.report.vmRunning = false;
    },
  });
  await record.during('cut-over', async () => {
    await hosts.do({
      host: from,
      what: 'release the source',
      limit: limits.act,
      call: (at) =>
        at.releaseSource({ ...move.ref, epoch, target: to, disks: checked.disks, ...how }),
    });
    record.report.vmOn = to;
    await hosts.do({
      host: to,
      what: 'take ownership',
      limit: limits.act,
      call: (at) =>
        at.takeOwnership({ ...move.ref, epoch: epoch + 1, source: from, disks: checked.disks }),
    });
  });
}

async function start(
  move: Move,
  { epoch, downSinceMs }: { epoch: number; downSinceMs?: number },
): Promise<void> {
  const { record, hosts, ref, input } = move;
  const { to } = input.request;
  const started = await hosts.do({
    host: to,
    what: `start ${input.vm.name}`,
    limit: limits.act,
    call: (at) => at.ensureStarted({ ...ref, epoch }),
  });
  record.report.vmRunning = true;
  if (downSinceMs !== undefined) {
    record.report.downtimeMs = Math.max(0, Date.now() - started.upForMs - downSinceMs);
  }
  await hosts.do({
    host: to,
    what: `watch ${input.vm.name}`,
    limit: limits.act,
    call: (at) => at.ensureHealthy({ ...ref, epoch, forMs: healthyForMs }),
  });
}
