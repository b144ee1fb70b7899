/** Begins drains, and finds them again. */
import type { Client } from '@temporalio/client';
import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/client';
import { drainDefaults } from '../domain/drain/drain.ts';
import type { DrainRequest } from '../domain/drain/drain.ts';
import { VmFerryError } from '../domain/errors.ts';
import { controlQueue, signalNames, workflowTypes } from '../workflows/contract.ts';
import type { DrainAgainOrder, DrainInput } from '../workflows/contract.ts';
import { Drain } from './drain.ts';
import { WorkflowExecutionAlreadyStartedError } from './errors.ts';
import type { Move } from './move.ts';

export interface DrainsOptions {
  client: Client;
  cluster: string;
  moveOf: (id: string) => Move;
  operator: string;
  address: string;
}

export class Drains {
  readonly #options: DrainsOptions;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  /** What was asked for, made whole. */
  request(asked: Partial<DrainRequest>): DrainRequest {
    return { ...drainDefaults(this.#options.operator), ...asked };
  }

  /** The latest of a host; it may not exist. */
  of(host: string): Drain {
    return new Drain({ ...this.#options, host });
  }

  /** Begins one, or joins the one there is, which then tries again what failed. */
  async begin(
    host: string,
    asked: Partial<DrainRequest>,
  ): Promise<{ drain: Drain; joined: boolean }> {
    const { client, cluster, operator } = this.#options;
    const drain = this.of(host);
    const input: DrainInput = { cluster, host, request: this.request(asked) };
    try {
      await client.workflow.start(workflowTypes.drain, {
        workflowId: drain.id,
        taskQueue: controlQueue,
        args: [input],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        staticSummary: `drain ${host}`,
        staticDetails: `All VMs of **${host}** move to other hosts, asked for by ${input.request.operator}`,
      });
      return { drain, joined: false };
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      const order: DrainAgainOrder = { operator };
      await client.workflow.getHandle(drain.id).signal(signalNames.drainAgain, order);
      return { drain, joined: true };
    }
  }

  /** Whether one ran, and was cancelled. */
  async cancel(host: string): Promise<boolean> {
    try {
      await this.of(host).cancel();
      return true;
    } catch (error) {
      if (error instanceof VmFerryError && error.code === 'order-refused') return false;
      throw error;
    }
  }
}
