import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { permanent } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import type { ConversionOrder } from '../domain/hosts/conversion.ts';
import type { HostOrder } from '../domain/hosts/settings.ts';
import type { SlotAnswer, SlotWish } from '../domain/hosts/slots.ts';
import type { HostState } from '../domain/hosts/state.ts';
import { hostQueue } from '../workflows/contract.ts';
import type { HostLine } from '../workflows/contract.ts';
import { HostEntities } from './host-entities.ts';
import type { RememberedHost } from './host-entities.ts';
import { hasPolledLately } from './pollers.ts';

/** Hosts that are looked up at a time. */
const looksAtATime = 16;

/** Which hosts there are, what is remembered of them, and whether a worker serves them. */
export class HostDirectory {
  readonly #client: Client;
  /** Their entities: for what crosses no screen. */
  readonly entities: HostEntities;

  constructor(client: Client, cluster: string) {
    this.#client = client;
    this.entities = new HostEntities(client, cluster);
  }

  async list(): Promise<HostLine[]> {
    const remembered = await this.entities.list();
    const lines: HostLine[] = [];
    for (let at = 0; at < remembered.length; at += looksAtATime) {
      const some = remembered.slice(at, at + looksAtATime);
      const online = await Promise.all(some.map(({ name }) => this.online(name)));
      lines.push(...some.map((one, index) => ({ ...one, online: online[index] ?? false })));
    }
    return lines;
  }

  /** What is remembered of a host, as of now. Throws `host-unknown`. */
  remembered(name: string): Promise<RememberedHost> {
    return this.#ofKnown(name, () => this.entities.one(name));
  }

  /** The same, and whether a worker serves it. Throws `host-unknown`. */
  async host(name: string): Promise<HostLine> {
    return { ...(await this.remembered(name)), online: await this.online(name) };
  }

  /** Changes what people set of a host. Throws `host-unknown` and `host-change-refused`. */
  set(name: string, order: HostOrder): Promise<HostState> {
    return this.#ofKnown(name, () => this.entities.set(name, order));
  }

  /** Changes what people set of it as a conversion host. Throws `host-unknown` and `host-change-refused`. */
  setConversion(name: string, order: ConversionOrder): Promise<HostState> {
    return this.#ofKnown(name, () => this.entities.setConversion(name, order));
  }

  /** Asks for a place on a host. Throws `host-unknown`. */
  reserve(name: string, wish: SlotWish): Promise<SlotAnswer> {
    return this.#ofKnown(name, () => this.entities.reserve(name, wish));
  }

  /** Throws `host-unknown` (naming the known ones) or `host-offline`. */
  async assertOnline(host: string): Promise<void> {
    if (await this.online(host)) return;
    const known = await this.entities.list();
    if (!known.some(({ name }) => name === host)) throw unknownHost(host, known);
    throw permanent({
      code: 'host-offline',
      message: `no worker of host ${host} is online`,
      remedy: `Start it on ${host} with \`vmferry host\` (or \`systemctl start vmferry-host\`).`,
      host,
    });
  }

  /** Whether a worker has polled the host's queue in the last minute or so. */
  async online(host: string): Promise<boolean> {
    const { workflowService } = this.#client;
    const answer = await workflowService.describeTaskQueue({
      namespace: this.#client.options.namespace,
      taskQueue: { name: hostQueue(host) },
      // A host worker runs activities only.
      taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    });
    return answer.pollers.some(hasPolledLately);
  }

  async #ofKnown<T>(name: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      throw unknownHost(name, await this.entities.list());
    }
  }
}

function unknownHost(host: string, known: readonly { name: string }[]): VmFerryError {
  const names = known.map(({ name }) => name).join(', ');
  return permanent({
    code: 'host-unknown',
    message: `there is no host ${host}; known: ${names === '' ? 'none' : names}`,
    remedy:
      'Hosts become known when their worker first runs (`vmferry host`); `vmferry hosts` lists them.',
    host,
  });
}
