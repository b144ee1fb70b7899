import { Phase } from '../domain/move.ts';
import type { TuneOrder } from './contract.ts';
import { orFault } from './faults.ts';
import type { Move } from './move.ts';
import { activitiesOf, limits } from './on-host.ts';

/** New limits of a move: for what runs now, and for every later attempt. Gives whether something that runs took them. */
export async function tune(move: Move, order: TuneOrder): Promise<boolean> {
  const { bandwidthBytesPerSecond, maxDowntimeMs } = order;
  const { request } = move.input;
  const { live } = request;
  move.input = {
    ...move.input,
    request: {
      ...request,
      ...(bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond }),
      ...(live === undefined || maxDowntimeMs === undefined
        ? {}
        : { live: { ...live, maxDowntimeMs } }),
    },
  };
  const { from, to } = request;
  const { phase, parkedIn } = move.record.report;
  const current = parkedIn ?? phase;
  if (current === Phase.moving) {
    return orFault(from, 'change its limits', () =>
      activitiesOf(from, `${from}: change the limits of the live migration`, limits.check).tuneLive(
        {
          ...move.ref,
          ...(bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond }),
          ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
        },
      ),
    );
  }
  if (current === Phase.copying && bandwidthBytesPerSecond !== undefined) {
    return orFault(to, 'change its cap', () =>
      activitiesOf(to, `${to}: change the cap of the copy`, limits.check).tuneCopy({
        ...move.ref,
        bandwidthBytesPerSecond,
      }),
    );
  }
  return false;
}
