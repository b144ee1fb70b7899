import { proxyActivities } from '@temporalio/workflow';
import type { OrphanActivities } from '../activities/orphans.ts';
import type { OrphanOrder, OrphanOutcome } from '../domain/orphans.ts';
import type { ListOrphansResult } from './contract.ts';
import { hostQueue } from './contract.ts';
import { faultOf, orFault } from './faults.ts';

const pickUpMs = 10_000;
/** A look asks Temporal about every move that the host remembers, and a removal looks into every process. */
const attemptMs = 150_000;
/** Above a beat a second, with room for a busy host. */
const heartbeatTimeoutMs = 10_000;

const activitiesOf = (host: string, summary: string): OrphanActivities =>
  proxyActivities<OrphanActivities>({
    taskQueue: hostQueue(host),
    startToCloseTimeout: attemptMs,
    scheduleToStartTimeout: pickUpMs,
    heartbeatTimeout: heartbeatTimeoutMs,
    // A person waits and may say it again.
    retry: { maximumAttempts: 1 },
    summary,
  });

/** What moves left on these hosts; one that does not answer does not hide the others. */
export async function listOrphans({ hosts }: { hosts: string[] }): Promise<ListOrphansResult> {
  const answers = await Promise.all(
    hosts.map(async (host): Promise<ListOrphansResult> => {
      const what = 'list orphans';
      try {
        const orphans = await activitiesOf(host, `${host}: ${what}`).listOrphans();
        return { orphans, unreachable: [] };
      } catch (error) {
        const { message } = faultOf(error, { host, what });
        return { orphans: [], unreachable: [{ host, reason: message }] };
      }
    }),
  );
  return {
    orphans: answers.flatMap(({ orphans }) => orphans),
    unreachable: answers.flatMap(({ unreachable }) => unreachable),
  };
}

/** A person's word about one orphan; history keeps who gave it. */
export async function settleOrphan(input: { host: string } & OrphanOrder): Promise<OrphanOutcome> {
  const { host, ...order } = input;
  const what = `${order.order} orphan ${order.id}, said ${order.operator}`;
  return orFault(host, what, () => activitiesOf(host, `${host}: ${what}`).settleOrphan(order));
}
