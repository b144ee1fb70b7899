import type { ImportForecast } from '../domain/import.ts';
import { Compensations } from './compensations.ts';
import type { ImportVmInput } from './contract.ts';
import { failureOf, MoveFailed } from './faults.ts';
import { askTarget, look, targetRef } from './import-check.ts';
import { ImportOrders } from './import-orders.ts';
import { ImportRecord } from './import-record.ts';
import { importRef } from './import.ts';
import type { Import } from './import.ts';
import { Hosts, limits } from './on-host.ts';

/** What an import would do: both hosts judge, all that speaks against it is told at once, and nothing stays. */
export async function forecastImport(input: ImportVmInput): Promise<ImportForecast> {
  const record = new ImportRecord(input);
  const orders = new ImportOrders(record);
  const hosts = new Hosts(record, orders);
  const undo = new Compensations(record, hosts);
  const run: Import = {
    ...{ input, ref: importRef(input), record, orders, hosts, undo },
    cutoverBegan: false,
    reserving: false,
  };
  const { to } = input.request;
  try {
    const foreign = await look(run);
    const check = await askTarget(run, foreign, targetRef(run, foreign));
    const target = await hosts.do({
      host: to,
      what: 'read host facts',
      limit: limits.check,
      call: (at) => at.hostFacts(),
    });
    return {
      ...{ vm: foreign.vm, concerns: check.concerns, conversionHost: foreign.host, target },
      ...(check.plan === undefined ? {} : { plan: check.plan }),
    };
  } catch (error) {
    if (!(error instanceof MoveFailed)) throw error;
    throw failureOf(error.fault);
  } finally {
    await undo.runAll();
  }
}
