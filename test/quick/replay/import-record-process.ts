/** As `record-process.ts`, of imports: `node test/quick/replay/import-record-process.ts [NAME...]`. */
import { writeFile } from 'node:fs/promises';
import proto from '@temporalio/proto';
import type { WorkflowHandle } from '@temporalio/client';
import type { ImportRequest } from '../../../domain/import.ts';
import { updateNames } from '../../../workflows/contract.ts';
import { ImportWorld } from '../import/fake-import.ts';
import type { Injection } from '../import/fake-import.ts';
import { ImportBench, importRequest, untilPhase } from '../import/import-bench.ts';
import { forgetPlace } from './forget-place.ts';

interface Story {
  changes?: Partial<ImportRequest>;
  injections?: Injection[];
  during?: (handle: WorkflowHandle) => Promise<void>;
}

const order = { operator: 'test', discardTargetWrites: true };
const stories: Record<string, Story> = {
  'import-committed': {},
  'import-unconverted-unverified': { changes: { convert: 'no', verify: 'off' } },
  'import-clone-paused': { changes: { running: 'pause' } },
  'import-after-park-and-retry': {
    injections: [{ verb: 'ensureConverted', when: 'before', handling: 'needs-operator', times: 1 }],
    during: async (handle) => {
      await untilPhase(handle, 'parked');
      await handle.executeUpdate(updateNames.retry, { args: [order] });
    },
  },
  'import-failed-after-cutover': {
    injections: [{ verb: 'ensureHealthy', when: 'after', handling: 'permanent', times: 1 }],
  },
  'import-cancelled': {
    injections: [{ verb: 'ensureCopied', when: 'before', handling: 'needs-operator', times: 1 }],
    during: async (handle) => {
      await untilPhase(handle, 'parked');
      await handle.cancel();
    },
  },
  'import-rolled-back': {
    changes: { autoCommit: false },
    during: async (handle) => {
      await untilPhase(handle, 'awaiting-commit');
      await handle.executeUpdate(updateNames.rollback, { args: [order] });
    },
  },
};

const bench = await ImportBench.open();
try {
  const asked = process.argv.slice(2);
  for (const [name, { changes, injections, during }] of Object.entries(stories)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    const world = new ImportWorld({ running: true });
    world.injections.push(...(injections ?? []));
    const report = await bench.run(world, importRequest(changes), during);
    if (bench.lastHistory === undefined) throw new Error(`no history of ${name}`);
    const path = new URL(`histories/${name}.history`, import.meta.url);
    forgetPlace(bench.lastHistory);
    await writeFile(path, proto.temporal.api.history.v1.History.encode(bench.lastHistory).finish());
    console.log(`${name}: ${report.phase}`);
  }
} finally {
  await bench.close();
}
