import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { permanent } from '../domain/errors.ts';
import { hostQueue, workflowTypes } from '../workflows/contract.ts';
import type { HostAnnouncement, HostLine } from '../workflows/contract.ts';

/** A worker polls at least this often (Temporal's long poll is 60 s); one that did not is called offline. */
const pollerGoneMs = 75_000;

/** Which hosts there are, and whether a worker serves them. */
export class HostDirectory {
  readonly #client: Client;
  readonly #cluster: string;

  constructor(client: Client, cluster: string) {
    this.#client = client;
    this.#cluster = cluster;
  }

  async list(): Promise<HostLine[]> {
    const query = `WorkflowType = '${workflowTypes.host}' AND ExecutionStatus = 'Running'`;
    const prefix = `host/${this.#cluster}/`;
    const lines: HostLine[] = [];
    for await (const { workflowId, memo } of this.#client.workflow.list({ query })) {
      if (!workflowId.startsWith(prefix)) continue;
      const name = workflowId.slice(prefix.length);
      const announcement = memo?.['announcement'] as HostAnnouncement | undefined;
      const online = await this.#online(name);
      lines.push({ name, online, ...(announcement === undefined ? {} : { announcement }) });
    }
    return lines.sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Throws `host-unknown` (naming the known ones) or `host-offline`. */
  async assertOnline(host: string): Promise<void> {
    if (await this.#online(host)) return;
    const known = await this.list();
    if (known.some(({ name }) => name === host)) {
      throw permanent({
        code: 'host-offline',
        message: `no worker of host ${host} is online`,
        remedy: `Start it on ${host} with \`vmferry host\` (or \`systemctl start vmferry-host\`).`,
        host,
      });
    }
    const names = known.map(({ name }) => name).join(', ');
    throw permanent({
      code: 'host-unknown',
      message: `there is no host ${host}; known: ${names === '' ? 'none' : names}`,
      remedy:
        'Hosts become known when their worker first runs (`vmferry host`); `vmferry hosts` lists them.',
      host,
    });
  }

  async #online(host: string): Promise<boolean> {
    const { workflowService } = this.#client;
    const answer = await workflowService.describeTaskQueue({
      namespace: this.#client.options.namespace,
      taskQueue: { name: hostQueue(host) },
      // A host worker runs activities only.
      taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    });
    return answer.pollers.some(({ lastAccessTime }) => {
      const seenMs = Number(lastAccessTime?.seconds ?? 0) * 1000;
      return Date.now() - seenMs < pollerGoneMs;
    });
  }
}
