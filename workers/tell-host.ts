import { Client } from '@temporalio/client';
import type { HostReading } from '../domain/hosts/reading.ts';
import type { HostAnnouncement, HostInput } from '../workflows/contract.ts';
import { controlQueue, hostId, signalNames, workflowTypes } from '../workflows/contract.ts';
import type { TemporalAccess } from './process.ts';

/** What a worker tells the entity of its host: what it is itself, or what it read of its host. */
type HostWord = { announce: HostAnnouncement } | { reading: HostReading };

/** Tells it. A host becomes known by this: its entity is started where there is none, or where somebody ended it. */
export async function tellHost(
  { connection, namespace, dataConverter }: TemporalAccess,
  { cluster, name }: HostInput,
  word: HostWord,
): Promise<void> {
  const client = new Client({ connection, namespace, dataConverter });
  const input: HostInput = { cluster, name };
  await client.workflow.signalWithStart(workflowTypes.host, {
    workflowId: hostId(cluster, name),
    taskQueue: controlQueue,
    args: [input],
    ...('announce' in word
      ? { signal: signalNames.announce, signalArgs: [word.announce] }
      : { signal: signalNames.reading, signalArgs: [word.reading] }),
    staticSummary: `host ${name}`,
  });
}
