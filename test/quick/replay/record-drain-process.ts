/** Saves histories of drains for `replay.test.ts`: `node test/quick/replay/record-drain-process.ts [NAME...]`. */
import { writeFile } from 'node:fs/promises';
import type { WorkflowHandle } from '@temporalio/client';
import proto from '@temporalio/proto';
import { signalNames } from '../../../workflows/contract.ts';
import { DrainedHost } from '../workflows/drained-host.ts';
import { DrainStage, reportWhen } from '../workflows/drain-stage.ts';
import { forgetPlace } from './forget-place.ts';

const stories: Record<string, (stage: DrainStage) => Promise<WorkflowHandle>> = {
  'drain-done': async (stage) => {
    const vms = { auto1: 'running', full: 'running', never: 'running', wait: 'shut-off' } as const;
    const drain = await stage.drain(await stage.host(new DrainedHost('h1', vms)));
    await drain.result();
    return drain;
  },
  'drain-cancelled': async (stage) => {
    const host = await stage.host(new DrainedHost('h2', { hold1: 'running', hold2: 'running' }));
    const drain = await stage.drain(host, { parallel: 1 });
    await reportWhen(drain, (_, { vms }) => vms[1]?.moveId !== undefined);
    await drain.signal(signalNames.cancelling, { operator: 'bob' });
    await drain.cancel();
    await drain.result();
    return drain;
  },
};

const asked = process.argv.slice(2);
for (const [name, play] of Object.entries(stories)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const stage = await DrainStage.open();
  try {
    const history = await (await play(stage)).fetchHistory();
    forgetPlace(history);
    const path = new URL(`histories/${name}.history`, import.meta.url);
    await writeFile(path, proto.temporal.api.history.v1.History.encode(history).finish());
    console.log(`${name}: ${history.events?.length ?? 0} events`);
  } finally {
    await stage.close();
  }
}
