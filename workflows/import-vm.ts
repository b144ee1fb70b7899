/**
 * The story of an import, top to bottom. The source is only ever left off, never deleted; what to undo is pushed before
 * a step acts; from the cutover on nothing is cancelled half-way.
 */
import { CancellationScope, CancelledFailure } from '@temporalio/workflow';
import type { Fault } from '../domain/errors.ts';
import { ImportPhase } from '../domain/import.ts';
import type { ImportReport } from '../domain/import.ts';
import { lacksMemory } from '../domain/vm.ts';
import { Compensations } from './compensations.ts';
import type { ImportVmInput } from './contract.ts';
import { failureOf, isCancellation, MoveFailed } from './faults.ts';
import {
  convert,
  fillCache,
  holdRoom,
  readSourceBack,
  stopOf,
  stopSource,
} from './import-cache.ts';
import type { SourceStopped } from './import-cache.ts';
import { judge } from './import-check.ts';
import { ImportOrders } from './import-orders.ts';
import { ImportRecord } from './import-record.ts';
import {
  checkRehearsal,
  endAsRehearsed,
  isRehearsalOnly,
  rehearse,
  untouched,
} from './import-rehearse.ts';
import { settle } from './import-settle.ts';
import { giveTargetSlot, pushGivingSlot, takeTargetRoom, takeTargetSlot } from './import-slots.ts';
import { define, reserve, transfer } from './import-transfer.ts';
import { tuneImport } from './import-tune.ts';
import { importRef, undoEpochOf } from './import.ts';
import type { Import, Judged, Placed } from './import.ts';
import { Hosts, limits } from './on-host.ts';

/** How long a started guest has to stay up before the import calls it healthy, ms. */
const healthyForMs = 2_000;

export async function importVm(asked: ImportVmInput): Promise<ImportReport> {
  const input = untouched(asked);
  const record = new ImportRecord(input);
  const orders = new ImportOrders(record);
  const hosts = new Hosts(record, orders);
  const undo = new Compensations(record, hosts);
  const ref = importRef(input);
  const run: Import = {
    ...{ input, ref, record, orders, hosts, undo },
    cutoverBegan: false,
    reserving: false,
  };
  orders.tuner = (order) => tuneImport(run, order);
  try {
    const judged = await judge(run);
    const brought = await bringOver(run, judged);
    throwIfCancelled();
    if (brought === undefined) {
      await endAsRehearsed(run);
      return record.report;
    }
    const { stopped, placed } = brought;
    await CancellationScope.nonCancellable(async () => {
      await cutOver(run, placed, stopped);
      // Until a commit days may pass.
      await giveTargetSlot(run, true);
      await settle(run, placed);
    });
  } catch (error) {
    await undoAndEnd(run, error);
  }
  return record.report;
}

/** All that can be called off at any moment. Nothing comes of one that is a rehearsal alone. */
async function bringOver(
  run: Import,
  judged: Judged,
): Promise<{ stopped: SourceStopped; placed: Placed } | undefined> {
  await checkRehearsal(run, judged);
  pushKeeping(run);
  await holdRoom(run, judged);
  pushGivingSlot(run);
  // A guest does not stand still for room that is not there; what is not turned off holds it no longer than needed.
  if (stopOf(run, judged) !== undefined) await takeTargetRoom(run, judged);
  const stopped = await stopSource(run, judged);
  await fillCache(run, judged);
  await convert(run, judged);
  await rehearse(run, judged);
  if (isRehearsalOnly(run)) return undefined;
  await takeTargetSlot(run, judged);
  const placed = await reserve(run, judged);
  await transfer(run, placed);
  await define(run, placed);
  return { stopped, placed };
}

/** Pushed first, so run last: what was copied serves another import for a while. */
function pushKeeping({ record, hosts, ref, input, undo }: Import): void {
  undo.push({
    name: `keep what was copied on ${input.request.conversionHost}`,
    run: async () => {
      const { until } = await hosts.do({
        host: input.request.conversionHost,
        what: 'keep what was copied',
        limit: limits.act,
        call: (at) => at.keepCache({ ...ref, seconds: input.request.cacheSeconds }),
      });
      if (until !== undefined) record.report.cachedUntil = until;
    },
  });
}

/** An activity that ends well in spite of a cancel must not carry the import past the point of no return. */
function throwIfCancelled(): void {
  if (CancellationScope.current().consideredCancelled)
    throw new CancelledFailure('cancelled before the cutover');
}

/** The source is read back as off once more; only then does the target own the VM, and only an owner starts. */
async function cutOver(run: Import, placed: Placed, stopped: SourceStopped): Promise<void> {
  const { record, hosts, undo, input } = run;
  const { to, conversionHost } = input.request;
  const { target, epoch, plan, disks } = placed;
  record.enter(ImportPhase.cuttingOver);
  await record.during('cut-over', async () => {
    if (!plan.clone) {
      await readSourceBack(run, placed, { handsOver: true });
      record.report.oneRunning = 'observed';
    }
    run.cutoverBegan = true;
    undo.push({ name: `revoke ${to}'s ownership`, run: () => revoke(run, placed) });
    await hosts.do({
      host: to,
      what: 'take ownership',
      limit: limits.act,
      call: (at) =>
        at.takeOwnership({ ...target, epoch: epoch + 1, source: conversionHost, disks }),
    });
  });
  if (!startsBy(run, placed, stopped)) {
    record.skip('start');
    const why = plan.clone ? 'a clone is never started by itself' : 'it was off';
    record.note(`${plan.name} stays off on ${to} (${why}); start it there when you like`);
    return;
  }
  record.enter(ImportPhase.starting);
  await startOrLeaveOff(run, placed, stopped);
}

/** Where the target has not the memory for it just now, the VM is there all the same, and its source stays off. */
async function startOrLeaveOff(run: Import, placed: Placed, stopped: SourceStopped): Promise<void> {
  const { record, input } = run;
  try {
    await record.during('start', () => start(run, placed, stopped));
  } catch (error) {
    if (!(error instanceof MoveFailed) || error.fault.code !== lacksMemory) throw error;
    record.note(
      `${placed.plan.name} stays off on ${input.request.to}, where memory lacks for it just now (${error.fault.message}); start it there once there is some`,
    );
  }
}

const startsBy = ({ input }: Import, { plan }: Placed, { wasRunning }: SourceStopped): boolean =>
  !plan.clone && (wasRunning || input.request.autoStart);

/** What runs on the target is ended before anything of it goes, or the source gets its guest back. */
async function revoke(run: Import, { target }: Placed): Promise<void> {
  const { to, conversionHost: source } = run.input.request;
  await run.hosts.do({
    host: to,
    what: 'revoke the target',
    limit: limits.act,
    call: (at) =>
      at.revokeTarget({
        ...{ ...target, epoch: undoEpochOf(run), source },
        discardWrites: true,
      }),
  });
  run.record.report.targetRunning = false;
}

async function start(
  run: Import,
  { target, epoch, plan }: Placed,
  { offSinceMs }: SourceStopped,
): Promise<void> {
  const { record, hosts, input } = run;
  const { to } = input.request;
  const ref = { ...target, epoch: epoch + 1 };
  const { upForMs } = await hosts.do({
    host: to,
    what: `start ${plan.name}`,
    limit: limits.act,
    takes: [lacksMemory],
    call: (at) => at.ensureStarted(ref),
  });
  record.report.targetRunning = true;
  if (offSinceMs !== undefined)
    record.report.downtimeMs = Math.max(0, Date.now() - upForMs - offSinceMs);
  await hosts.do({
    host: to,
    what: `watch ${plan.name}`,
    limit: limits.act,
    call: (at) => at.ensureHealthy({ ...ref, forMs: healthyForMs }),
  });
}

/** Undo everything, then end as what it was: cancelled, or failed by the first thing that no retry mends. */
async function undoAndEnd({ record, undo }: Import, error: unknown): Promise<void> {
  const wish = isCancellation(error);
  if (!wish && !(error instanceof MoveFailed)) throw error;
  const fault: Fault | undefined = error instanceof MoveFailed ? error.fault : undefined;
  if (fault !== undefined) record.report.firstError ??= fault;
  record.enter(ImportPhase.rollingBack);
  await undo.runAll();
  if (fault === undefined) {
    record.end(ImportPhase.cancelled);
    throw error;
  }
  record.end(ImportPhase.failed, fault);
  throw failureOf(fault);
}
