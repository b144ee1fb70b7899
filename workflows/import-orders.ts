import { isImportEnd } from '../domain/import.ts';
import type { ImportReport } from '../domain/import.ts';
import type { ImportRecord } from './import-record.ts';
import { PipelineOrders } from './pipeline-orders.ts';

/** What people tell an import while it runs. */
export class ImportOrders extends PipelineOrders<ImportReport> {
  constructor(record: ImportRecord) {
    super(record, 'import');
  }

  protected override isOver(): boolean {
    return isImportEnd(this.report.phase);
  }

  protected override validatePause(_maxDowntimeMs: number): void {
    throw new Error('an import has no pause to be limited');
  }

  protected override lostByGoingBack(): string | undefined {
    const { targetRunning, vm, target } = this.report;
    if (!targetRunning) return undefined;
    return `${vm.name} has run on ${target}; going back deletes it there with what it wrote`;
  }
}
