/** The workflows of a bundle in which drains are real and moves are played: each VM's name says how its move goes. */
import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import { Phase } from '../../../domain/move.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { queryNames, signalNames } from '../../../workflows/contract.ts';
import type { MigrateVmInput } from '../../../workflows/contract.ts';
import { MoveRecord } from '../../../workflows/move-record.ts';
import { tellOfArrival } from '../../../workflows/tell-parent.ts';

export { drain } from '../../../workflows/drain.ts';
export { place } from '../../../workflows/place.ts';

/**
 * `auto...` commits, `wait...` awaits its commit, `park...` parks, `never...` cannot move, `full...` cannot to
 * beta, `strict...` cannot unless the check of kernels is skipped, `...-gone` is not there any more, `there...` tells of its guest's arrival and holds, as `hold...` does from the start. */
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
    await condition(() => mayGo);
  } catch (error) {
    if (isCancellation(error)) record.end(Phase.cancelled);
    throw error;
  }
  record.enter(Phase.copying);
  const isGone = name.endsWith('-gone');
  const isStrict = name.startsWith('strict') && input.request.skip?.includes('kernel') !== true;
  if (
    name.startsWith('never') ||
    isGone ||
    isStrict ||
    (name.startsWith('full') && to === 'beta')
  ) {
    const host = name.startsWith('full') ? to : input.request.from;
    const fault = {
      code: isGone ? 'vm-not-found' : 'no',
      handling: 'permanent',
      message: `${host} has what does not fit`,
      remedy: 'r',
      host,
    } as const;
    record.end(Phase.failed, fault);
    throw ApplicationFailure.create({
      type: 'no',
      message: 'no',
      nonRetryable: true,
      details: [fault],
    });
  }
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
