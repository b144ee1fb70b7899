import type { OrphanLine, OrphanOrder, OrphanOutcome } from '../domain/orphans.ts';
import { atBoundary } from './boundary.ts';
import { listOrphans, settleOrphan } from './orphans.ts';
import type { OrphanActivities, OrphanCare } from './orphans.ts';
import type { HostParts } from './parts.ts';

/** The verbs about orphans, for the host queue beside those of moves. */
export function createOrphanActivities(parts: HostParts, care: OrphanCare): OrphanActivities {
  const host = parts.name;
  return {
    listOrphans: (): Promise<OrphanLine[]> =>
      atBoundary({ host, verb: 'listOrphans' }, () => listOrphans(parts, care)),
    settleOrphan: (order: OrphanOrder): Promise<OrphanOutcome> =>
      atBoundary({ host, verb: 'settleOrphan' }, ({ signal }) =>
        settleOrphan(parts, care, order, signal),
      ),
  };
}
