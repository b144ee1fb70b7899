import { isEnd } from '../domain/move.ts';
import type { MoveReport } from '../domain/move.ts';
import type { MoveRecord } from './move-record.ts';
import { PipelineOrders } from './pipeline-orders.ts';

/** What people tell a move while it runs. */
export class Orders extends PipelineOrders<MoveReport> {
  constructor(record: MoveRecord) {
    super(record, 'move');
  }

  protected override isOver(): boolean {
    return isEnd(this.report.phase);
  }

  protected override validatePause(maxDowntimeMs: number): void {
    if (maxDowntimeMs >= 1 && maxDowntimeMs <= 2_000_000) return;
    throw new Error(`a pause of ${maxDowntimeMs} ms cannot be asked for: 1 to 2000000`);
  }

  protected override lostByGoingBack(): string | undefined {
    const { vmRunning, vm, target } = this.report;
    if (!vmRunning) return undefined;
    const minutes = Math.max(1, Math.round((Date.now() - ranSince(this.report)) / 60_000));
    return `${vm.name} has run on ${target} for about ${minutes} min; going back loses what it wrote there`;
  }
}

const ranSince = (report: MoveReport): number => {
  const steps = report.steps.filter(({ name }) => name === 'start' || name === 'live');
  const ended = steps.findLast(({ endedAt }) => endedAt !== undefined)?.endedAt;
  return ended === undefined ? Date.now() : Date.parse(ended);
};
