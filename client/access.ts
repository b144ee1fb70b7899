import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import type { Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { controlQueue } from '../workflows/contract.ts';
import { toVmFerryError } from './errors.ts';

export interface AccessOptions {
  connection: Connection;
  namespace: string;
  dataConverter: DataConverter;
  cluster: string;
  operator: string;
  address: string;
}

/** One cluster's fleet, through Temporal: what all parts of the client share. */
export class Access {
  readonly connection: Connection;
  readonly client: Client;
  /** Name of the cluster in IDs. */
  readonly cluster: string;
  /** Who acts, for reports. */
  readonly operator: string;
  /** Temporal's, for messages. */
  readonly address: string;

  constructor({ connection, namespace, dataConverter, ...who }: AccessOptions) {
    this.connection = connection;
    this.client = new Client({ connection, namespace, dataConverter });
    this.cluster = who.cluster;
    this.operator = who.operator;
    this.address = who.address;
  }

  /** Runs `run`; what fails is thrown as a VmFerryError that says `what` was tried. */
  async attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw toVmFerryError(error, { what, address: this.address });
    }
  }

  /** Runs a short workflow that only reads, under a new ID if none is named. */
  async read<T>(
    type: string,
    input: object,
    what: string,
    workflowId = this.readId(type),
  ): Promise<T> {
    return this.attempt(what, async () => {
      const answer: unknown = await this.client.workflow.execute(type, {
        workflowId,
        taskQueue: controlQueue,
        args: [input],
        // The longest of them, a look for orphans, may take this long.
        workflowExecutionTimeout: '3m',
        staticSummary: what,
      });
      return answer as T;
    });
  }

  /** A new ID of a workflow that only reads. */
  readId(what: string): string {
    return `read/${this.cluster}/${what}/${randomUUID()}`;
  }
}
