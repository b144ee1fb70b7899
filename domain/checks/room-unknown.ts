import type { PoolFacts } from '../host.ts';

/** None is empty of room: that is what it says where nobody counted. */
export const tellsSize = ({ capacityBytes }: Pick<PoolFacts, 'capacityBytes'>): boolean =>
  capacityBytes > 0;

/** Of a rule that finds `room-unknown`. */
export const roomUnknown = {
  level: 'warning',
  meaning: 'A pool of the target does not tell its size, as RBD while no manager of its Ceph runs.',
  remedy: 'See that it has the room: nothing else looks.',
} as const;
