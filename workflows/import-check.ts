import { uuid4 } from '@temporalio/workflow';
import type { ForeignCheck } from '../activities/import/contract.ts';
import { blocks } from '../domain/concerns.ts';
import type { Concern } from '../domain/concerns.ts';
import { Handling } from '../domain/errors.ts';
import { ImportPhase } from '../domain/import.ts';
import { isOff, modeOfImport } from '../domain/import/mode.ts';
import { MoveFailed } from './faults.ts';
import { undoEpochOf } from './import.ts';
import type { Import, Judged } from './import.ts';
import { limits } from './on-host.ts';

/** Both hosts judge before anything is touched; a critical concern ends the import here. */
export async function judge(run: Import): Promise<Judged> {
  const { record, ref } = run;
  record.enter(ImportPhase.checking);
  return record.during('check', async () => {
    const foreign = await look(run);
    const target = {
      moveId: ref.moveId,
      migrationId: ref.migrationId,
      vm: { name: record.report.vm.name, uuid: uuidFor(run, foreign) },
    };
    return judgeTarget(run, foreign, target);
  });
}

async function look(run: Import): Promise<ForeignCheck> {
  const { record, hosts, ref, input } = run;
  const { conversionHost: host } = input.request;
  const foreign = await hosts.do({
    host,
    what: `look at ${input.vm.name}`,
    limit: limits.check,
    call: (at) => at.checkForeign(ref),
  });
  const { report } = record;
  report.foreign.kind = foreign.vm.kind;
  report.sourceRunning = !isOff(foreign.vm);
  record.judged(foreign.concerns);
  refuseCriticals(foreign.concerns);
  return foreign;
}

/** A clone is another VM than its source. */
function uuidFor({ input }: Import, { vm }: ForeignCheck): string {
  const isClone = modeOfImport(vm, input.request) === 'clone';
  return isClone || vm.uuid === '' ? uuid4() : vm.uuid;
}

async function judgeTarget(
  run: Import,
  foreign: ForeignCheck,
  target: Judged['target'],
): Promise<Judged> {
  const { record, hosts, input, undo } = run;
  const { request } = input;
  let epoch = 1;
  undo.push({
    name: `clear ${request.to} of what the import made there`,
    run: () =>
      hosts.do({
        host: request.to,
        what: 'clear the target',
        limit: limits.act,
        // Before the reservation there is a file at most, under no epoch yet.
        call: (at) =>
          at.clearImport({ ...target, epoch: run.reserving ? undoEpochOf(run, epoch) : 0 }),
      }),
  });
  const check = await hosts
    .do({
      host: request.to,
      what: `check room and fit for ${target.vm.name}`,
      limit: limits.check,
      call: (at) => at.checkImportTarget({ ...target, request, foreign }),
    })
    .catch((error: unknown) => {
      // Nobody there ever heard of it, and nobody could undo anything.
      const isUnheard = error instanceof MoveFailed && error.fault.code === 'worker-unreachable';
      if (isUnheard) undo.forget();
      throw error;
    });
  record.judged(check.concerns, check.plan);
  refuseCriticals(check.concerns);
  const { plan } = check;
  if (plan === undefined) throw new Error('a check without a concern has no plan');
  epoch = Math.max(1, check.ledger?.epoch ?? 1);
  if (plan.clone) record.skip('stop-source', 'verify-source');
  else if (isOff(foreign.vm)) record.skip('stop-source');
  return { foreign, plan, target, epoch };
}

/** The first critical concern becomes the fault; all of them stand in the report. */
function refuseCriticals(found: readonly Concern[]): void {
  if (!blocks(found)) return;
  const critical = found.find(({ level }) => level === 'critical');
  if (critical === undefined) return;
  const { code, message, remedy, host } = critical;
  const where = host === undefined ? {} : { host };
  throw new MoveFailed({ code, handling: Handling.permanent, message, remedy, ...where });
}
