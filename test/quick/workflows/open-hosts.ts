import type { ControlActivities } from '../../../activities/control/contract.ts';

/** Hosts with a place for every move: who waits for one is another test's matter. */
export const openHosts: Pick<ControlActivities, 'reserveMove' | 'releaseMove'> = {
  reserveMove: () => {
    const limits = { movesIn: 2, movesOut: 2 };
    return Promise.resolve({ granted: true, source: { limits }, target: { limits } });
  },
  releaseMove: () => Promise.resolve(),
};
