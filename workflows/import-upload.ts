/** What an import sends to its target holds to its share of what may leave the conversion host. */
import { CancellationScope, sleep } from '@temporalio/workflow';
import { lowestCap } from '../domain/bandwidth.ts';
import { orFault } from './faults.ts';
import type { Import } from './import.ts';
import { activitiesOf, limits, watchOn } from './on-host.ts';

/** A target that does not answer, or whose copy has yet to begin, is told again this often, and so many times. */
const tellAgainMs = 3_000;
const mostTellings = 100;

/** The cap of the transfer as of now, bytes a second; 0 is none. */
export const transferCap = ({ input, uploadBytesPerSecond = 0 }: Import): number =>
  lowestCap(input.request.bandwidthBytesPerSecond, uploadBytesPerSecond);

/** Runs the transfer, and tells its target the share anew whenever that becomes another one. */
export async function withinUploadShare(run: Import, work: () => Promise<void>): Promise<void> {
  const { conversionHost: host } = run.input.request;
  const { bytesPerSecond } = await run.hosts.do({
    host,
    what: 'ask what may be sent',
    limit: limits.act,
    call: (at) => at.uploadShare(run.ref),
  });
  run.uploadBytesPerSecond = bytesPerSecond;
  const scope = new CancellationScope();
  // That it was called off is no news, and the transfer itself tells of a host that is in trouble.
  void scope.run(() => follow(run)).catch(() => undefined);
  try {
    await work();
  } finally {
    scope.cancel();
  }
}

async function follow(run: Import): Promise<void> {
  const at = watchOn(run.input.request.conversionHost, 'tell when another share may be sent');
  for (;;) {
    const before = transferCap(run);
    const known = run.uploadBytesPerSecond ?? 0;
    const { bytesPerSecond } = await at.uploadShare({ ...run.ref, known });
    run.uploadBytesPerSecond = bytesPerSecond;
    if (transferCap(run) === before) continue;
    for (let telling = 1; telling <= mostTellings; telling += 1) {
      if (await tuneTransfer(run).catch(() => false)) break;
      await sleep(tellAgainMs);
    }
  }
}

/** Tells the target the cap as of now; false if nothing is copied there yet. */
export async function tuneTransfer(run: Import): Promise<boolean> {
  const { to } = run.input.request;
  const { moveId, migrationId } = run.ref;
  const { vm } = run.record.report;
  return orFault(to, 'change its cap', () =>
    activitiesOf(to, `${to}: change the cap of the transfer`, limits.check).tuneCopy({
      ...{ moveId, migrationId, vm },
      bandwidthBytesPerSecond: transferCap(run),
    }),
  );
}
