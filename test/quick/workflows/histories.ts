/** What was played on a bench, gone through once more: a worker that takes a workflow over has to come to the same steps. */
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { currentBundle } from '../../../workers/build-bundle.ts';

export class Histories {
  readonly #all: { workflowId: string; history: History }[] = [];

  get last(): History | undefined {
    return this.#all.at(-1)?.history;
  }

  add(workflowId: string, history: History): void {
    this.#all.push({ workflowId, history });
  }

  /** Throws for the first that takes another step. `code`: the workflows, by default as they are built. */
  async replay(code?: string): Promise<void> {
    const workflowBundle = { code: code ?? (await currentBundle()) };
    const results = Worker.runReplayHistories({ workflowBundle }, this.#all);
    for await (const { workflowId, error } of results)
      if (error !== undefined)
        throw new Error(`${workflowId} takes another step when it is replayed`, { cause: error });
  }
}
