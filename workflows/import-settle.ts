import { ImportPhase } from '../domain/import.ts';
import type { Import, Placed } from './import.ts';
import { limits } from './on-host.ts';

/** After this long without an order the report says so; it still waits, since only a person may decide. */
const commitReminderMs = 30 * 24 * 3_600_000;

/** The target has the VM; the cache is kept until a person (or the request) commits. */
export async function settle(run: Import, placed: Placed): Promise<void> {
  const { record, input } = run;
  record.enter(ImportPhase.awaitingCommit);
  const verdict = input.request.autoCommit ? 'commit' : await verdictOf(run);
  if (verdict === 'commit') await commit(run, placed);
  else await rollBack(run);
}

async function verdictOf({ orders, record }: Import): Promise<'commit' | 'rollback'> {
  for (;;) {
    const verdict = await orders.verdict(commitReminderMs);
    if (verdict !== undefined) return verdict;
    record.note('30 more days have passed without commit or rollback; the cache is kept');
  }
}

async function commit(run: Import, { target, epoch }: Placed): Promise<void> {
  const { record, hosts, ref, input } = run;
  const { to, conversionHost } = input.request;
  record.enter(ImportPhase.committing);
  run.undo.forget();
  await record.during('commit', async () => {
    await hosts.do({
      host: to,
      what: 'settle the target',
      limit: limits.act,
      neverUndo: true,
      call: (at) => at.settleTarget({ ...target, epoch: epoch + 1, autostart: false }),
    });
    await hosts.do({
      host: conversionHost,
      what: 'drop what was copied',
      limit: limits.act,
      neverUndo: true,
      call: (at) => at.keepCache({ ...ref, seconds: 0 }),
    });
  });
  record.end(ImportPhase.committed);
}

/** What was made on the target goes, by a person's wish: the same undo as after a failure. */
async function rollBack({ record, undo }: Import): Promise<void> {
  record.enter(ImportPhase.rollingBack);
  record.skip('commit');
  await undo.runAll();
  record.end(ImportPhase.rolledBack);
}
