import { CancellationScope } from '@temporalio/workflow';
import type { MoveReport } from '../domain/move.ts';
import { MoveFailed } from './faults.ts';
import type { Hosts } from './on-host.ts';
import type { MoveRecord } from './move-record.ts';

export interface Compensation {
  /** What it undoes, for messages: `give alpha back its VM`. */
  name: string;
  run: () => Promise<void>;
}

interface UndoRecord extends Pick<MoveRecord, 'unpark'> {
  readonly report: Pick<MoveReport, 'failedCompensations'>;
}

/**
 * The undo stack of a move. An entry is pushed *before* its step acts, since a step that failed may have acted
 * in part; so every entry is safe to run where nothing happened. They run in reverse, outside cancellation.
 * One that fails is shown, and parks the move until a person says `retry`: nothing below it may run before it,
 * or a source could start while its target still runs.
 */
export class Compensations {
  readonly #stack: Compensation[] = [];
  readonly #record: UndoRecord;
  readonly #hosts: Hosts;

  constructor(record: UndoRecord, hosts: Hosts) {
    this.#record = record;
    this.#hosts = hosts;
  }

  push(compensation: Compensation): void {
    this.#stack.push(compensation);
  }

  /** Nothing of what was pushed has happened, for certain. */
  forget(): void {
    this.#stack.length = 0;
  }

  async runAll(): Promise<void> {
    await CancellationScope.nonCancellable(async () => {
      for (let top = this.#stack.pop(); top !== undefined; top = this.#stack.pop()) {
        await this.#runOne(top);
      }
    });
  }

  async #runOne({ name, run }: Compensation): Promise<void> {
    for (;;) {
      try {
        await run();
        this.#record.unpark(name);
        return;
      } catch (error) {
        if (!(error instanceof MoveFailed)) throw error;
        this.#record.report.failedCompensations.push({
          ...error.fault,
          message: `${name}: ${error.fault.message}`,
        });
        await this.#hosts.parked(name, error.fault);
      }
    }
  }
}
