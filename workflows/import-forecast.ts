import type { MoveRef } from '../activities/contract.ts';
import type { ForeignCheck, ImportTargetCheck } from '../activities/import/contract.ts';
import type { Concern } from '../domain/concerns.ts';
import type { ImportForecast } from '../domain/import.ts';
import { Compensations } from './compensations.ts';
import type { ImportVmInput } from './contract.ts';
import { failureOf, isCancellation, MoveFailed } from './faults.ts';
import { askTarget, concernOfFault, look, saidOfSource, targetRef } from './import-check.ts';
import { ImportOrders } from './import-orders.ts';
import { ImportRecord } from './import-record.ts';
import { checkRehearsal, untouched } from './import-rehearse.ts';
import { importRef } from './import.ts';
import type { Import, Judged } from './import.ts';
import { Hosts, limits } from './on-host.ts';

/**
 * What an import would do: both hosts judge, all that speaks against it is told at once, and nothing stays. It waits for
 * nobody: a target that cannot judge is one more thing that speaks against it.
 */
export async function forecastImport(asked: ImportVmInput): Promise<ImportForecast> {
  const input = untouched(asked);
  const record = new ImportRecord(input);
  const orders = new ImportOrders(record);
  const hosts = new Hosts(record, orders);
  const undo = new Compensations(record, hosts);
  const run: Import = {
    ...{ input, ref: importRef(input), record, orders, hosts, undo },
    cutoverBegan: false,
    reserving: false,
  };
  try {
    const foreign = await look(run);
    const target = targetRef(run, foreign);
    const { concerns, plan } = await judgedByTarget(run, foreign, target);
    const rehearsal = plan === undefined ? [] : await rehearsalConcerns(run, { foreign, plan });
    return {
      ...{ vm: foreign.vm, concerns: [...concerns, ...rehearsal], conversionHost: foreign.host },
      ...(plan === undefined ? {} : { plan }),
    };
  } catch (error) {
    if (!(error instanceof MoveFailed)) throw error;
    throw failureOf(error.fault);
  }
}

async function judgedByTarget(
  run: Import,
  foreign: ForeignCheck,
  target: MoveRef,
): Promise<Pick<ImportTargetCheck, 'concerns' | 'plan'>> {
  try {
    return await askTarget(run, foreign, target);
  } catch (error) {
    if (!(error instanceof MoveFailed)) throw error;
    return { concerns: [...saidOfSource(run, foreign), concernOfFault(error.fault)] };
  } finally {
    await forget(run, target);
  }
}

/** What keeps the rehearsal that was asked for from being checked, if it was and something does. */
async function rehearsalConcerns(
  run: Import,
  judged: Pick<Judged, 'foreign' | 'plan'>,
): Promise<Concern[]> {
  try {
    await checkRehearsal(run, judged);
    return [];
  } catch (error) {
    if (!(error instanceof MoveFailed)) throw error;
    return [concernOfFault(error.fault)];
  }
}

/** The note of who asked; where that fails, the target's cleaner finds that this is over. */
async function forget({ hosts, input }: Import, target: MoveRef): Promise<void> {
  try {
    await hosts.do({
      host: input.request.to,
      what: 'clear the target',
      limit: limits.check,
      call: (at) => at.clearImport({ ...target, epoch: 0 }),
    });
  } catch (error) {
    if (!(error instanceof MoveFailed) && !isCancellation(error)) throw error;
  }
}
