import { Context } from '@temporalio/activity';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Concern } from '../../../domain/concerns.ts';
import type { ImportReport } from '../../../domain/import.ts';
import { queryNames, updateNames } from '../../../workflows/contract.ts';
import { ImportWorld } from '../../quick/import/fake-import.ts';
import type { Verb } from '../../quick/import/fake-import.ts';
import { ImportBench, importRequest, untilPhase } from '../../quick/import/import-bench.ts';

// Several imports play at a time: on a busy machine each takes its turn.
vi.setConfig({ testTimeout: 60_000 });

let bench: ImportBench;
beforeAll(async () => {
  bench = await ImportBench.open();
}, 60_000);
afterAll(() => bench.close());

/** What must hold after every import that came to nothing. */
function expectUndone(world: ImportWorld, { running }: { running: boolean }): void {
  const story = world.log.join(' | ');
  expect(world.splitBrain, story).toBeUndefined();
  expect(world.target, story).toEqual({ volumes: new Set(), defined: false, running: false });
  expect(world.ledger, story).toBeUndefined();
  expect(world.exports.size, story).toBe(0);
  expect(world.source, story).toMatchObject({ running, paused: false });
}

const orderOf = { operator: 'test', discardTargetWrites: true };

describe.concurrent('an import without faults', () => {
  it('brings a VM that is off, and leaves it off', async () => {
    const world = new ImportWorld({ running: false });
    const report = await bench.run(world, importRequest());
    expect(report).toMatchObject({ phase: 'committed', clone: false, oneRunning: 'observed' });
    expect(world.target).toMatchObject({ defined: true, running: false });
    expect(world.ledger).toMatchObject({ state: 'owner', epoch: 2 });
    expect(report.disks).toMatchObject([
      { key: '2000', name: 'sda', bytesCopied: 4096, bytesTransferred: 8, verified: true },
      { key: '2001', name: 'sdb', bytesCopied: 4096, bytesTransferred: 8, verified: true },
    ]);
    expect(report.notes.join()).toContain('stays off on beta (it was off)');
    expect(world.cache.disks.size).toBe(0);
  });

  it('shuts a running VM down, starts it on the target, and says for how long it was away', async () => {
    const world = new ImportWorld({ running: true });
    const report = await bench.run(world, importRequest());
    expect(report).toMatchObject({ phase: 'committed', targetRunning: true, sourceRunning: false });
    expect(report.downtimeMs).toBeGreaterThanOrEqual(4);
    const skipped = report.steps.filter(({ state }) => state !== 'done');
    // Nobody asked for one.
    expect(skipped).toMatchObject([{ name: 'rehearse', state: 'skipped' }]);
    expect(world.splitBrain).toBeUndefined();
  });

  it('is done where the target has no memory for the guest: it stays off there, and that is said', async () => {
    const world = new ImportWorld({ running: true });
    const code = 'host-lacks-memory';
    const injection = {
      verb: 'ensureStarted',
      when: 'before',
      handling: 'needs-operator',
    } as const;
    world.injections.push({ ...injection, code, times: 1 });
    const report = await bench.run(world, importRequest());
    expect(report).toMatchObject({ phase: 'committed', sourceRunning: false });
    expect(report.targetRunning).toBe(false);
    expect(report.steps.find(({ name }) => name === 'start')).toMatchObject({ state: 'failed' });
    expect(report.notes.join()).toContain('stays off on beta, where memory lacks for it just now');
    expect(world.target).toMatchObject({ defined: true, running: false });
    expect(world.log.filter((verb) => verb === 'ensureStarted')).toHaveLength(1);
  });

  it('says of a VM that it had to be powered off', async () => {
    const world = new ImportWorld({ running: true });
    const report = await bench.run(world, importRequest({ running: 'shutdown-or-force-off' }));
    expect(report).toMatchObject({
      ...{ phase: 'committed', clone: false, targetRunning: true },
      notes: ['web did not shut down in time and was powered off'],
    });
  });

  it('takes a guest for the system that a person says, whatever the source does', async () => {
    const world = new ImportWorld({ running: false });
    await bench.run(world, importRequest({ shape: { system: 'windows' } }));
    expect([...world.judgedAs, ...world.convertedAs]).toEqual(['windows', 'windows']);
  });

  it.each(['leave', 'pause'] as const)('makes a clone of a running VM with %s', async (running) => {
    const world = new ImportWorld({ running: true });
    const report = await bench.run(world, importRequest({ running, autoStart: true }));
    expect(report).toMatchObject({ phase: 'committed', clone: true, oneRunning: 'none' });
    expect(report.vm.uuid).not.toBe('6a1d7c52-3f1b-4d7e-9a52-0c3f5ad1e042');
    expect(world.source.running).toBe(true);
    expect(world.target.running).toBe(false);
    const skipped = report.steps.filter(({ state }) => state === 'skipped');
    expect(skipped.map(({ name }) => name)).toEqual([
      ...['stop-source', 'verify-source', 'rehearse', 'start'],
    ]);
    // A guest that was paused for its copy goes on.
    expect(world.source.paused).toBe(false);
  });

  it.each([false, true])(
    'waits for a person, and goes back by their word',
    async (compressCache) => {
      const world = new ImportWorld({ running: true });
      const request = importRequest({ autoCommit: false, compressCache });
      const report = await bench.run(world, request, async (handle) => {
        await untilPhase(handle, 'awaiting-commit');
        await handle.executeUpdate(updateNames.rollback, { args: [orderOf] });
      });
      expect(report).toMatchObject({ phase: 'rolled-back', sourceRunning: true });
      expect(report.cachedUntil).toBe('2030-01-01T00:00:00Z');
      // What is left of it is kept as it was asked to.
      expect(world.cache.compress).toBe(compressCache);
      expectUndone(world, { running: true });
    },
  );

  it('refuses to go back from what has run without the word that it is lost', async () => {
    const world = new ImportWorld({ running: true });
    await bench.run(world, importRequest({ autoCommit: false }), async (handle) => {
      await untilPhase(handle, 'awaiting-commit');
      const refused = handle.executeUpdate(updateNames.rollback, {
        args: [{ ...orderOf, discardTargetWrites: false }],
      });
      await expect(refused).rejects.toThrow();
      await handle.executeUpdate(updateNames.commit, { args: [{ operator: 'test' }] });
    });
    expect(world.target.running).toBe(true);
  });
});

describe.concurrent('what a platform says of a VM that runs', () => {
  const tooOld: Concern = {
    code: 'pull-backup-unsupported',
    level: 'critical',
    message: 'its libvirt cannot show disks of a VM that runs',
    remedy: 'Shut it down.',
  };

  it('is nothing to one that is shut down first', async () => {
    const world = new ImportWorld({ running: true });
    world.said.push(tooOld);
    const report = await bench.run(world, importRequest());
    expect(report).toMatchObject({ phase: 'committed', concerns: [] });
  });

  it('ends the import of one that runs on, before the target is asked', async () => {
    const world = new ImportWorld({ running: true });
    world.said.push(tooOld);
    const report = await bench.run(world, importRequest({ running: 'leave' }));
    expect(report).toMatchObject({
      ...{ phase: 'failed', fault: { code: 'pull-backup-unsupported' } },
      concerns: [tooOld],
    });
    expect(world.log).toEqual(['checkForeign']);
  });
});

describe.concurrent('what an import would do', () => {
  it('is told, and the target forgets who asked', async () => {
    const world = new ImportWorld({ running: true });
    const { vm, plan, concerns } = await bench.forecast(world, importRequest());
    expect([vm.state, plan?.name, concerns]).toEqual(['running', 'web', []]);
    expect(world.log).toEqual(['checkForeign', 'checkImportTarget', 'clearImport']);
  });

  it.each(['checkImportTarget', 'clearImport'] as const)(
    'waits for nobody where %s wants a person, and tells what was found',
    async (verb) => {
      const world = new ImportWorld({ running: false });
      const warning = { code: 'odd', level: 'warning', message: 'it is odd', remedy: '' } as const;
      world.said.push(warning);
      world.injections.push({ verb, when: 'before', handling: 'needs-operator', times: 99 });
      const { vm, plan, concerns } = await bench.forecast(world, importRequest());
      expect(vm.name).toBe('web');
      expect(plan?.name).toBe(verb === 'clearImport' ? 'web' : undefined);
      const unheard = { code: 'injected', level: 'critical', remedy: 'none' };
      if (verb === 'checkImportTarget')
        expect(concerns).toEqual([warning, { ...unheard, message: `before ${verb}` }]);
    },
  );
});

describe.concurrent('what was read of a source', () => {
  it('is compared with its copy, which is made anew if it differs', async () => {
    const world = new ImportWorld({ running: false });
    const differs = { code: 'copy-differs', handling: 'transient', times: 1 } as const;
    world.injections.push({ verb: 'verifyCached', when: 'before', ...differs });
    const report = await bench.run(world, importRequest());
    expect(report).toMatchObject({ phase: 'committed', firstError: { code: 'copy-differs' } });
    expect(report.disks.map(({ copyVerified }) => copyVerified)).toEqual([true, true]);
    const copies = ['ensureCached', 'verifyCached'];
    expect(world.log.filter((verb) => copies.includes(verb))).toEqual([...copies, ...copies]);
  });

  it('is not, where nobody wants copies to be compared', async () => {
    const world = new ImportWorld({ running: false });
    const report = await bench.run(world, importRequest({ verify: 'off' }));
    expect(world.log).not.toContain('verifyCached');
    expect(report.disks[0]).not.toHaveProperty('copyVerified');
  });
});

describe.concurrent('the cap of an import', () => {
  it('reaches what runs now, and is what later copies ask for', async () => {
    const world = new ImportWorld({ running: false });
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    world.onCall = (verb) => (verb === 'ensureCached' ? held : undefined);
    const report = await bench.run(world, importRequest(), async (handle) => {
      await untilPhase(handle, 'copying');
      const order = { operator: 'test', bandwidthBytesPerSecond: 4096 };
      expect(await handle.executeUpdate(updateNames.tune, { args: [order] })).toBe(true);
      const nonsense = { operator: 'test', bandwidthBytesPerSecond: -1 };
      await expect(handle.executeUpdate(updateNames.tune, { args: [nonsense] })).rejects.toThrow();
      goOn();
    });
    expect(report).toMatchObject({ phase: 'committed', orders: [{ order: 'tune' }] });
    expect(world.caps).toEqual([4096]);
    expect(world.transferCaps).toEqual([4096, 4096]);
  });
});

describe.concurrent('the share of an import in what its conversion host sends', () => {
  it('is what its transfer asks for, and reaches one that runs whenever it becomes another', async () => {
    const world = new ImportWorld({ running: false });
    world.share = 5000;
    const shares = [Promise.resolve(2000), Promise.resolve(0)];
    // A third one never comes.
    world.newShare = () => shares.shift() ?? Context.current().cancelled;
    const told = Promise.withResolvers<undefined>();
    world.onCall = async (verb) => {
      if (verb === 'tuneCopy' && world.log.filter((one) => one === verb).length === 2)
        told.resolve(undefined);
      if (verb === 'ensureCopied') await told.promise;
    };
    const request = importRequest({ bandwidthBytesPerSecond: 4096 });
    expect(await bench.run(world, request)).toMatchObject({ phase: 'committed' });
    // The lesser of its own cap and its share, each time.
    expect(world.transferCaps[0]).toBeLessThanOrEqual(4096);
    expect(world.caps).toEqual([2000, 4096]);
  });
});

/** All steps that can be called off or fail for good, in their order. */
const steps: Verb[] = [
  ...(['checkForeign', 'checkImportTarget', 'reserveCache', 'stopForeign'] as const),
  ...([
    'ensureCached',
    'verifyCached',
    'verifyForeign',
    'ensureConverted',
    'reserveTarget',
    'ensureCachedExport',
  ] as const),
  ...(['ensureCopied', 'hashCached', 'hashDisk', 'closeCachedExports', 'defineImport'] as const),
];
const lateSteps: Verb[] = ['takeOwnership', 'ensureStarted', 'ensureHealthy'];

describe.concurrent('an import that comes to nothing', () => {
  it.each(steps)('leaves nothing when it is called off at %s', async (verb) => {
    const world = new ImportWorld({ running: true });
    let cancel: () => Promise<void> = () => Promise.resolve();
    let isCalledOff = false;
    world.onCall = async (called) => {
      if (called !== verb || isCalledOff) return;
      isCalledOff = true;
      await cancel();
      // The word has to arrive before the verb has done its work.
      await new Promise((resolve) => setTimeout(resolve, 300));
    };
    const report = await bench.run(world, importRequest(), async (handle) => {
      cancel = async () => {
        await handle.cancel();
      };
      await handle.query(queryNames.report);
    });
    expect(isCalledOff).toBe(true);
    expect(report.phase).toBe('cancelled');
    expectUndone(world, { running: true });
  });

  // What acted and then failed has most to undo; of what never acted a few tell enough.
  const failures = [
    ...[...steps, ...lateSteps].map((verb) => ({ verb, when: 'after' as const })),
    ...(['stopForeign', 'reserveTarget', 'takeOwnership'] as const).map((verb) => ({
      ...{ verb, when: 'before' as const },
    })),
  ];
  it.each(failures)('leaves nothing when it fails for good $when $verb', async ({ verb, when }) => {
    const world = new ImportWorld({ running: true });
    world.injections.push({ verb, when, handling: 'permanent', times: 1 });
    const report = await bench.run(world, importRequest());
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'injected' } });
    expect(report.firstError?.message).toBe(`${when} ${verb}`);
    expectUndone(world, { running: true });
  });

  it('does not start the target once the source was started by somebody', async () => {
    const world = new ImportWorld({ running: false });
    world.onCall = (verb) => {
      if (verb === 'defineImport') world.source.running = true;
    };
    const report = await bench.run(world, importRequest({ autoStart: true }));
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'source-changed' } });
    // What was copied is of another state: it is not kept.
    expect(report.cachedUntil).toBeUndefined();
    expectUndone(world, { running: true });
  });

  it('says that a source which it stopped is off, if it is not to be started again', async () => {
    const world = new ImportWorld({ running: true });
    world.injections.push({
      verb: 'ensureConverted',
      when: 'before',
      handling: 'permanent',
      times: 1,
    });
    const report = await bench.run(world, importRequest({ restartSource: false }));
    expect(report.notes.join()).toContain('web was shut down at vc and is off there');
    expectUndone(world, { running: false });
  });
});

describe.concurrent('an import with faults that pass', () => {
  const passing: Verb[] = ['stopForeign', 'ensureCached', 'ensureCopied', 'takeOwnership'];
  it.each(passing)('goes on after a transient fault at %s', async (verb) => {
    const world = new ImportWorld({ running: true });
    world.injections.push({ verb, when: 'after', handling: 'transient', times: 1 });
    const report = await bench.run(world, importRequest());
    expect(report.phase).toBe('committed');
    expect(world.crossed).toBe(8192);
  });

  it('stands still for a person, and copies nothing twice when told to go on', async () => {
    const world = new ImportWorld({ running: true });
    world.injections.push({
      ...{ verb: 'ensureConverted', when: 'before', times: 1 },
      handling: 'needs-operator',
    });
    const report: ImportReport = await bench.run(world, importRequest(), async (handle) => {
      const parked = await untilPhase(handle, 'parked');
      expect(parked).toMatchObject({ parkedIn: 'converting', fault: { code: 'injected' } });
      await handle.executeUpdate(updateNames.retry, { args: [{ operator: 'test' }] });
    });
    expect(report).toMatchObject({ phase: 'committed', orders: [{ order: 'retry' }] });
    expect(world.crossed).toBe(8192);
  });
});
