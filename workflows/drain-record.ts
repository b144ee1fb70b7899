import {
  defineQuery,
  defineSignal,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { ChildWorkflowHandle } from '@temporalio/workflow';
import { again, told } from '../domain/drain/board.ts';
import type { Board } from '../domain/drain/board.ts';
import { drainCounts } from '../domain/drain/drain.ts';
import type { DrainPhase, DrainReport } from '../domain/drain/drain.ts';
import type { CancelOrder, DrainAgainOrder, DrainInput, MoveNews } from './contract.ts';
import { queryNames, signalNames } from './contract.ts';
import type { migrateVm } from './migrate-vm.ts';

const reportQuery = defineQuery<DrainReport>(queryNames.report);
const newsSignal = defineSignal<[MoveNews]>(signalNames.moveNews);
const againSignal = defineSignal<[DrainAgainOrder]>(signalNames.drainAgain);
const cancellingSignal = defineSignal<[CancelOrder]>(signalNames.cancelling);

/** What a drain knows of itself: its report, which queries read, and which moves and people change by signals. */
export class DrainRecord {
  readonly input: DrainInput;
  readonly report: DrainReport;
  /** Grows with each change: who waits for news compares it. */
  changes = 0;
  /** Moves that wait for their turn, by the UUID of their VM. */
  readonly held = new Map<string, ChildWorkflowHandle<typeof migrateVm>>();
  #broken: { error: unknown } | undefined;

  constructor(input: DrainInput) {
    this.input = input;
    const { host, request, carried } = input;
    this.report = {
      id: workflowInfo().workflowId,
      host,
      operator: request.operator,
      phase: carried === undefined ? 'marking' : 'moving',
      request,
      vms: carried?.vms ?? [],
      startedAt: carried?.startedAt ?? new Date().toISOString(),
    };
    setHandler(reportQuery, () => this.report);
    setHandler(newsSignal, (news) => this.change((board) => told(board, news)));
    setHandler(againSignal, () => this.change(again));
    setHandler(cancellingSignal, ({ operator }) => {
      this.report.cancelledBy = operator;
    });
  }

  get board(): Board {
    return this.report.vms;
  }

  change(to: (board: Board) => Board): void {
    this.report.vms = [...to(this.board)];
    this.changes += 1;
    this.#show();
  }

  enter(phase: DrainPhase): void {
    this.report.phase = phase;
    if (phase === 'done' || phase === 'cancelled') this.report.endedAt = new Date().toISOString();
    this.#show();
  }

  /** A defect in what runs beside the main story: it has to end there, not in silence. */
  broke(error: unknown): void {
    this.#broken ??= { error };
    this.changes += 1;
  }

  throwIfBroken(): void {
    if (this.#broken !== undefined) throw this.#broken.error;
  }

  #show(): void {
    const { host, phase, trouble } = this.report;
    const counts = Object.entries(drainCounts(this.board)).filter(([, count]) => count > 0);
    const said = counts.map(([state, count]) => `- ${state}: ${count}`);
    const why = trouble === undefined ? [] : ['', `**${trouble.code}**: ${trouble.message}`];
    setCurrentDetails([`drain of **${host}**: **${phase}**`, '', ...said, ...why].join('\n'));
  }
}
