import { uuid4 } from '@temporalio/workflow';
import type { MoveRef } from '../activities/contract.ts';
import type { ForeignCheck, ImportTargetCheck } from '../activities/import/contract.ts';
import { wordsFor } from '../domain/checks/foreign/platform-words.ts';
import { blocks } from '../domain/concerns.ts';
import type { Concern } from '../domain/concerns.ts';
import { Handling } from '../domain/errors.ts';
import type { Fault } from '../domain/errors.ts';
import { ImportPhase } from '../domain/import.ts';
import { isOff, modeOfImport } from '../domain/import/mode.ts';
import { MoveFailed } from './faults.ts';
import { undoEpochOf } from './import.ts';
import type { Import, Judged } from './import.ts';
import { limits } from './on-host.ts';

/** Both hosts judge before anything is touched; a critical concern ends the import here. */
export async function judge(run: Import): Promise<Judged> {
  const { record } = run;
  record.enter(ImportPhase.checking);
  return record.during('check', async () => {
    const foreign = await look(run);
    // The target's check has them among its own; what ends the import before that is told here.
    const said = saidOfSource(run, foreign);
    if (blocks(said)) record.judged(said);
    refuseCriticals(said);
    return judgeTarget(run, foreign);
  });
}

export async function look(run: Import): Promise<ForeignCheck> {
  const { record, hosts, ref, input } = run;
  const found = await hosts.do({
    host: input.request.conversionHost,
    what: `look at ${input.vm.name}`,
    limit: limits.check,
    call: (at) => at.checkForeign(ref),
  });
  const { system } = input.request.shape;
  // The person knows the guest; what is asked of it afterwards goes by that.
  const foreign =
    system === undefined ? found : { ...found, vm: { ...found.vm, guestFamily: system } };
  const { report } = record;
  report.foreign.kind = foreign.vm.kind;
  report.sourceRunning = !isOff(foreign.vm);
  return foreign;
}

/** A platform speaks of the VM as it is now: what it has against a VM that runs is nothing to one that is shut down. */
export const saidOfSource = ({ input }: Import, { vm, concerns }: ForeignCheck): Concern[] =>
  wordsFor(modeOfImport(vm, input.request), concerns);

/** A clone is another VM than its source. */
export function targetRef({ input, ref, record }: Import, { vm }: ForeignCheck): MoveRef {
  const isClone = modeOfImport(vm, input.request) === 'clone';
  const uuid = isClone || vm.uuid === '' ? uuid4() : vm.uuid;
  const { moveId, migrationId } = ref;
  return { moveId, migrationId, vm: { name: record.report.vm.name, uuid } };
}

async function judgeTarget(run: Import, foreign: ForeignCheck): Promise<Judged> {
  const { record } = run;
  const target = targetRef(run, foreign);
  pushClearing(run, target);
  const check = await askTarget(run, foreign, target).catch((error: unknown) => {
    // Nobody there ever heard of it, and nobody could undo anything.
    const isUnheard = error instanceof MoveFailed && error.fault.code === 'worker-unreachable';
    if (isUnheard) run.undo.forget();
    throw error;
  });
  record.judged(check.concerns, check.plan);
  refuseCriticals(check.concerns);
  const { plan, ledger } = check;
  if (plan === undefined) throw new Error('a check without a concern has no plan');
  if (!check.guardLive)
    record.note(
      `the guard of ${run.input.request.to} is not live: nothing there keeps ${plan.name} from being started before it is whole`,
    );
  run.epoch = Math.max(1, ledger?.epoch ?? 1);
  if (plan.clone) record.skip('stop-source', 'verify-source');
  else if (isOff(foreign.vm)) record.skip('stop-source');
  return { foreign, plan, target, epoch: run.epoch };
}

/** What the target says; nothing is made there, but it notes who asks. */
export async function askTarget(
  { hosts, input }: Import,
  foreign: ForeignCheck,
  target: MoveRef,
): Promise<ImportTargetCheck> {
  const { request } = input;
  return hosts.do({
    host: request.to,
    what: `check room and fit for ${target.vm.name}`,
    limit: limits.check,
    call: (at) => at.checkImportTarget({ ...target, request, foreign }),
  });
}

/** What the target noted or made of the import is cleared by the undo from here on. */
function pushClearing(run: Import, target: MoveRef): void {
  const { hosts, input, undo } = run;
  const { to } = input.request;
  undo.push({
    name: `clear ${to} of what the import made there`,
    run: () =>
      hosts.do({
        host: to,
        what: 'clear the target',
        limit: limits.act,
        call: (at) => at.clearImport({ ...target, epoch: undoEpochOf(run) }),
      }),
  });
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

/** What keeps a judge from judging speaks against the import, too. */
export function concernOfFault({ code, message, remedy, host }: Fault): Concern {
  return { code, level: 'critical', message, remedy, ...(host === undefined ? {} : { host }) };
}
