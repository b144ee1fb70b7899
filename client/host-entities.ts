/** What hosts are remembered by: their entity workflows, asked and told by name. */
import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { permanent } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import type { ConversionOrder } from '../domain/hosts/conversion.ts';
import type { HostOrder } from '../domain/hosts/settings.ts';
import type { SlotAnswer, SlotRelease, SlotWish } from '../domain/hosts/slots.ts';
import type { HostState } from '../domain/hosts/state.ts';
import { hostId, hostUpdateNames, memoNames, workflowTypes } from '../workflows/contract.ts';
import type { HostAnnouncement } from '../workflows/contract.ts';

/** A host as its entity's memo has it, which may be a second old. */
export interface RememberedHost {
  name: string;
  announcement?: HostAnnouncement;
  state?: HostState;
}

/** Hosts of one cluster. Errors of Temporal are thrown as they are. */
export class HostEntities {
  readonly #client: Client;
  readonly #cluster: string;

  constructor(client: Client, cluster: string) {
    this.#client = client;
    this.#cluster = cluster;
  }

  /** All hosts that ever announced themselves, by name; needs no worker. */
  async list(): Promise<RememberedHost[]> {
    const query = `WorkflowType = '${workflowTypes.host}' AND ExecutionStatus = 'Running'`;
    const prefix = hostId(this.#cluster, '');
    const hosts: RememberedHost[] = [];
    for await (const { workflowId, memo } of this.#client.workflow.list({ query })) {
      if (!workflowId.startsWith(prefix)) continue;
      hosts.push(rememberedBy(memo, workflowId.slice(prefix.length)));
    }
    return hosts.sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  }

  /** As of now, not as lists have it. Throws Temporal's WorkflowNotFoundError for a host that nobody knows. */
  async one(host: string): Promise<RememberedHost> {
    const { memo, status } = await this.#handle(host).describe();
    if (status.name !== 'RUNNING') throw notRunning(host, this.#cluster);
    return rememberedBy(memo, host);
  }

  /** Throws `host-change-refused`, and Temporal's WorkflowNotFoundError for a host that nobody knows. */
  set(host: string, order: HostOrder): Promise<HostState> {
    return this.#change(host, hostUpdateNames.set, order);
  }

  /** The same, of its role as a conversion host. */
  setConversion(host: string, order: ConversionOrder): Promise<HostState> {
    return this.#change(host, hostUpdateNames.setConversion, order);
  }

  async #change(
    host: string,
    update: string,
    order: HostOrder | ConversionOrder,
  ): Promise<HostState> {
    try {
      return await this.#handle(host).executeUpdate<HostState, [typeof order]>(update, {
        args: [order],
      });
    } catch (error) {
      throw refusalOf(error, host) ?? error;
    }
  }

  /** A refusal is an answer, and leaves nothing in the history of the host. */
  async reserve(host: string, wish: SlotWish): Promise<SlotAnswer> {
    try {
      return await this.#handle(host).executeUpdate<SlotAnswer, [SlotWish]>(
        hostUpdateNames.reserve,
        { args: [wish] },
      );
    } catch (error) {
      const answer = detailOf(error) as Partial<SlotAnswer> | undefined;
      if (answer?.granted === false) return answer as SlotAnswer;
      throw error;
    }
  }

  async release(host: string, release: SlotRelease): Promise<void> {
    await this.#handle(host).executeUpdate<undefined, [SlotRelease]>(hostUpdateNames.release, {
      args: [release],
    });
  }

  #handle(host: string) {
    return this.#client.workflow.getHandle(hostId(this.#cluster, host));
  }
}

function rememberedBy(memo: Record<string, unknown> | undefined, name: string): RememberedHost {
  const announcement = memo?.[memoNames.announcement] as HostAnnouncement | undefined;
  const state = memo?.[memoNames.hostState] as HostState | undefined;
  return {
    name,
    ...(announcement === undefined ? {} : { announcement }),
    ...(state === undefined ? {} : { state }),
  };
}

/** An entity that somebody terminated is none; its worker makes a new one with its next word. */
const notRunning = (host: string, cluster: string): WorkflowNotFoundError =>
  new WorkflowNotFoundError(`the entity of ${host} does not run`, hostId(cluster, host), undefined);

/** What the entity said when it refused an update. */
function detailOf(error: unknown): unknown {
  if (!(error instanceof WorkflowUpdateFailedError)) return undefined;
  const { cause } = error;
  return cause instanceof ApplicationFailure ? cause.details?.[0] : undefined;
}

function refusalOf(error: unknown, host: string): VmFerryError | undefined {
  if (!(error instanceof WorkflowUpdateFailedError)) return undefined;
  return permanent({
    code: 'host-change-refused',
    message: `${host} was not changed: ${error.cause?.message ?? error.message}`,
    remedy: 'Correct the value; `vmferry hosts set --help` shows the forms.',
    host,
    cause: error,
  });
}
