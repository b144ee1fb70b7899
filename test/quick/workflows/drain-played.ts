/** The workflows of a bundle in which drains are real and moves are played: each VM's name says how its move goes. */
import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import { turnNotCome } from '../../../domain/drain/drain.ts';
import { Phase } from '../../../domain/move.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { queryNames, signalNames } from '../../../workflows/contract.ts';
import type { MigrateVmInput } from '../../../workflows/contract.ts';
import { MoveRecord } from '../../../workflows/move-record.ts';
import { tellOfArrival } from '../../../workflows/tell-parent.ts';

export { drain } from '../../../workflows/drain.ts';
export { place } from '../../../workflows/place.ts';

/**
 * `auto...` commits, `wait...` awaits its commit, `park...` parks, `never...` cannot move, `full...` cannot to beta,
 * `strict...` cannot unless the check of kernels is skipped, `...-gone` is not there any more, `tired...` waits for its turn
 * for 300 ms only, `there...` tells of its guest's arrival and holds, as `hold...` does from the start.
 */
export async function migrateVm(input: MigrateVmInput): Promise<MoveReport> {
  const record = new MoveRecord(input);
  setHandler(defineQuery(queryNames.report), () => record.report);
  const { name } = input.vm;
  const { to } = input.request;
  let let_ = false;
  setHandler(defineSignal('go'), () => {
    let_ = true;
  });
  let mayGo = input.heldForMs === undefined;
  setHandler(defineSignal(signalNames.mayGo), () => {
    mayGo = true;
  });
  try {
    const isItsTurn = await condition(() => mayGo, name.startsWith('tired') ? 300 : '1h');
    if (!isItsTurn) refuse(record, turnNotCome);
  } catch (error) {
    if (isCancellation(error)) record.end(Phase.cancelled);
    throw error;
  }
  record.enter(Phase.copying);
  if (name.endsWith('-gone')) refuse(record, 'vm-not-found');
  if (name.startsWith('never')) refuse(record, 'no');
  if (name.startsWith('strict') && input.request.skip?.includes('kernel') !== true)
    refuse(record, 'no');
  if (name.startsWith('full') && to === 'beta') refuse(record, 'no', to);
  if (name.startsWith('there')) tellOfArrival(record.report);
  if (name.startsWith('hold') || name.startsWith('there')) {
    try {
      await condition(() => let_);
    } catch (error) {
      if (isCancellation(error)) record.end(Phase.cancelled);
      throw error;
    }
  }
  if (name.startsWith('park')) {
    record.park('x', {
      code: 'p',
      handling: 'needs-operator',
      message: 'the disk is full',
      remedy: 'r',
    });
    await condition(() => let_);
    record.unpark('x');
  }
  record.report.vmOn = to;
  record.enter(Phase.awaitingCommit);
  if (!input.request.autoCommit) await condition(() => false);
  record.end(Phase.committed);
  return record.report;
}

function refuse(record: MoveRecord, code: string, host = record.report.source): never {
  const handling = code === turnNotCome ? 'transient' : 'permanent';
  const message = `${host} has what does not fit`;
  const fault = { code, handling, message, remedy: 'r', host } as const;
  record.end(Phase.failed, fault);
  throw ApplicationFailure.create({
    ...{ type: 'no', message: 'no', nonRetryable: true, details: [fault] },
  });
}
