/**
 * Saves the history of a host's entity for `replay.test.ts`: `node test/quick/replay/record-hosts-process.ts`. An entity lives
 * for ever, so its old histories have to replay: `host-announced.history` is of the time when it only remembered what
 * its worker said of itself, and is not made anew.
 */
import { writeFile } from 'node:fs/promises';
import proto from '@temporalio/proto';
import { hostId } from '../../../workflows/contract.ts';
import { vm } from '../placement/fleets.ts';
import { reading } from '../hosts/readings.ts';
import { HostBench } from '../workflows/host-bench.ts';
import { forgetPlace } from './forget-place.ts';

const bench = await HostBench.open();
try {
  const told = await bench.serve('alpha');
  await bench.announce('alpha', reading());
  const wish = { workflowId: 'w', vm: vm(), by: 'placed' } as const;
  await bench.fleet.reserve('alpha', { ...wish, moveId: 'in', direction: 'in' });
  await bench.fleet.reserve('alpha', { ...wish, moveId: 'out', direction: 'out' });
  const order = { labels: { disk: 'nvme' }, limits: { upBytesPerSecond: 1_000_000 } };
  await bench.fleet.set('alpha', { operator: 'eve', ...order });
  while ((await bench.fleet.state('alpha'))?.bandwidth === undefined)
    await new Promise((resolve) => setTimeout(resolve, 50));
  await bench.fleet.release('alpha', { moveId: 'in', arrived: true });
  await bench.fleet.release('alpha', { moveId: 'out', arrived: false });
  await bench.announce('alpha', reading({ vms: 4 }));
  const handle = bench.client.workflow.getHandle(hostId(bench.cluster, 'alpha'));
  const history = await handle.fetchHistory();
  forgetPlace(history);
  const path = new URL('histories/host-with-places.history', import.meta.url);
  await writeFile(path, proto.temporal.api.history.v1.History.encode(history).finish());
  console.log(`${history.events?.length ?? 0} events; told: ${JSON.stringify(told)}`);
} finally {
  await bench.close();
}
