import { Client } from '@temporalio/client';
import type { HostAnnouncement, HostInput } from '../workflows/contract.ts';
import { controlQueue, hostId, signalNames, workflowTypes } from '../workflows/contract.ts';
import type { TemporalAccess } from './process.ts';

/** Makes the host known: its entity workflow is started if there is none, and told what this worker is. */
export async function announceHost(
  { connection, namespace, dataConverter }: TemporalAccess,
  cluster: string,
  announcement: HostAnnouncement,
): Promise<void> {
  const client = new Client({ connection, namespace, dataConverter });
  const input: HostInput = { cluster, name: announcement.name };
  await client.workflow.signalWithStart(workflowTypes.host, {
    workflowId: hostId(cluster, announcement.name),
    taskQueue: controlQueue,
    args: [input],
    signal: signalNames.announce,
    signalArgs: [announcement],
    staticSummary: `host ${announcement.name}`,
  });
}
