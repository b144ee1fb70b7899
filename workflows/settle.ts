import { mayGoCold } from '../domain/live.ts';
import { Phase } from '../domain/move.ts';
import type { Checked, Move } from './move.ts';
import { limits } from './on-host.ts';
import { giveSlots } from './slots.ts';
import type { Verdict } from './pipeline-orders.ts';

/** After this long without an order the move shows as parked; it still waits, since only a person may decide. */
const commitReminderMs = 30 * 24 * 3_600_000;

/** The target runs the VM; the source still has its copy until a person (or the request) commits. */
export async function settle(move: Move, checked: Checked): Promise<void> {
  const { input } = move;
  // Nobody waits for it but the next move, which may be one of this VM once this one says that it is over.
  const given = giveSlots(move);
  // Of a move that could only go live nothing was opened.
  if (mayGoCold(input.request)) await closeExports(move);
  const mayCommit = input.request.autoCommit && move.awaitsWord !== true;
  const verdict: Verdict = mayCommit ? 'commit' : await verdictOf(move);
  if (verdict === 'rollback') await rollBack(move);
  else await commit(move, checked, { atOnce: mayCommit });
  await given;
  move.record.end(verdict === 'rollback' ? Phase.rolledBack : Phase.committed);
}

async function verdictOf({ orders, record }: Move): Promise<Verdict> {
  record.enter(Phase.awaitingCommit);
  for (;;) {
    const verdict = await orders.verdict(commitReminderMs);
    if (verdict !== undefined) return verdict;
    record.note(
      '30 more days have passed without commit or rollback; the source still holds its copy',
    );
  }
}

async function closeExports({ hosts, ref, input }: Move): Promise<void> {
  await hosts.do({
    host: input.request.from,
    what: 'close exports',
    limit: limits.act,
    // The guest has run and written on the target: going back is a person's choice.
    neverUndo: true,
    call: (at) => at.closeExports(ref),
  });
}

/**
 * `atOnce`: the target has become the owner this moment, so both hosts end what is theirs side by side. After a wait the
 * target has to answer first: until it does, the source's copy stays.
 */
async function commit(
  move: Move,
  checked: Checked,
  { atOnce }: { atOnce: boolean },
): Promise<void> {
  const { record } = move;
  record.enter(Phase.committing);
  // The source may be gone from here on.
  move.undo.forget();
  await record.during('commit', async () => {
    const settled = settleTarget(move, checked);
    if (!atOnce) await settled;
    for (const end of await Promise.allSettled([settled, removeSource(move, checked)]))
      if (end.status === 'rejected') throw end.reason;
  });
}

async function settleTarget(
  { hosts, ref, input }: Move,
  { source, epoch }: Checked,
): Promise<void> {
  await hosts.do({
    host: input.request.to,
    what: 'settle the target',
    limit: limits.act,
    neverUndo: true,
    call: (at) => at.settleTarget({ ...ref, epoch: epoch + 1, autostart: source.vm.autostart }),
  });
}

async function removeSource(
  { record, hosts, ref, input }: Move,
  { disks, epoch }: Checked,
): Promise<void> {
  const { from, to } = input.request;
  const { left } = await hosts.do({
    host: from,
    what: 'remove the source',
    limit: limits.act,
    neverUndo: true,
    call: (at) => at.removeSource({ ...ref, epoch, target: to, disks }),
  });
  for (const path of left)
    record.note(
      `${path} was left on ${from}: it is a device, others may use it, or it lies in no pool of libvirt`,
    );
}

/** Back to the source, by a person's wish: the same undo as after a failure. */
async function rollBack({ record, undo }: Move): Promise<void> {
  record.enter(Phase.rollingBack);
  record.skip('commit');
  await undo.runAll();
}
