/**
 * Saves a history of a host's entity for `replay.test.ts`:
 * `node test/quick/replay/record-hosts-process.ts host-as-conversion-host`. An entity lives for ever, so its old
 * histories have to replay: none is made anew without need, and `host-announced.history`, of the time when it only
 * remembered what its worker said of itself, never.
 */
import { writeFile } from 'node:fs/promises';
import proto from '@temporalio/proto';
import type { HostState } from '../../../domain/hosts/state.ts';
import { hostId } from '../../../workflows/contract.ts';
import { vm } from '../placement/fleets.ts';
import { reading } from '../hosts/readings.ts';
import { HostBench } from '../workflows/host-bench.ts';
import { forgetPlace } from './forget-place.ts';

const stories: Record<string, (bench: HostBench) => Promise<void>> = {
  'host-with-places': async (bench) => {
    const wish = { workflowId: 'w', vm: vm(), by: 'placed' } as const;
    await bench.fleet.reserve('alpha', { ...wish, moveId: 'in', direction: 'in' });
    await bench.fleet.reserve('alpha', { ...wish, moveId: 'out', direction: 'out' });
    const order = { labels: { disk: 'nvme' }, limits: { upBytesPerSecond: 1_000_000 } };
    await bench.fleet.set('alpha', { operator: 'eve', ...order });
    await until(bench, ({ bandwidth }) => bandwidth !== undefined);
    await bench.fleet.release('alpha', { moveId: 'in', arrived: true });
    await bench.fleet.release('alpha', { moveId: 'out', arrived: false });
    await bench.announce('alpha', reading({ vms: 4 }));
  },
  'host-as-conversion-host': async (bench) => {
    const isTold = ({ conversion }: HostState): boolean => conversion?.inForce !== undefined;
    const { directory } = bench;
    const limits = { downBytesPerSecond: 1_000_000, upBytesPerSecond: 0, parallel: 3 };
    await directory.setConversion('alpha', { operator: 'eve', ...limits });
    await until(bench, isTold);
    // A worker that comes up anew is told again.
    await bench.announce('alpha', reading());
    await until(bench, isTold);
    await directory.setConversion('alpha', { operator: 'ada', enabled: false });
    await directory.setConversion('alpha', { operator: 'ada', given: false });
    await until(bench, isTold);
  },
};

async function until(bench: HostBench, done: (state: HostState) => boolean): Promise<void> {
  for (;;) {
    const state = await bench.fleet.state('alpha');
    if (state !== undefined && done(state)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const inForce = { takesImports: true, upBytesPerSecond: 0, downBytesPerSecond: 0, parallel: 10 };
for (const name of process.argv.slice(2)) {
  const bench = await HostBench.open();
  try {
    await bench.serve('alpha', {
      applyConversion: (terms: object) => Promise.resolve({ ...inForce, ...terms }),
    });
    await bench.announce('alpha', reading());
    await stories[name]?.(bench);
    const handle = bench.client.workflow.getHandle(hostId(bench.cluster, 'alpha'));
    const history = await handle.fetchHistory();
    forgetPlace(history);
    const path = new URL(`histories/${name}.history`, import.meta.url);
    await writeFile(path, proto.temporal.api.history.v1.History.encode(history).finish());
    console.log(`${name}: ${history.events?.length ?? 0} events`);
  } finally {
    await bench.close();
  }
}
