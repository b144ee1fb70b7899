/** Rehearsals in whole imports, on a real Temporal: where they stand, what their failure does, and that alone they touch nothing. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Handling } from '../../../domain/errors.ts';
import type { RehearsalWish } from '../../../domain/import/rehearsal.ts';
import { updateNames } from '../../../workflows/contract.ts';
import { foreignVm, ImportWorld } from '../../quick/import/fake-import.ts';
import type { Injection } from '../../quick/import/fake-import.ts';
import { ImportBench, importRequest, untilPhase } from '../../quick/import/import-bench.ts';

// Several imports play at a time: on a busy machine each takes its turn.
vi.setConfig({ testTimeout: 60_000 });

let bench: ImportBench;
beforeAll(async () => {
  bench = await ImportBench.open();
}, 60_000);
afterAll(() => bench.close());

const asked = (only: boolean, check: RehearsalWish['check'] = { kind: 'agent' }) =>
  importRequest({ rehearse: { check, only } });
const failsOnce = (handling: Handling): Injection => ({
  ...{ verb: 'rehearse', when: 'before', times: 1, code: 'rehearsal-failed' },
  handling,
});

describe.concurrent('what an import with a rehearsal would do', () => {
  it.each([Handling.permanent, Handling.needsOperator])(
    'tells what keeps its check from being asked (%s)',
    async (handling) => {
      const world = new ImportWorld({ running: true });
      const unknown = { code: 'rehearsal-check-unknown', when: 'before', times: 99 } as const;
      world.injections.push({ verb: 'checkRehearsal', ...unknown, handling });
      const { plan, concerns } = await bench.forecast(world, asked(false));
      expect(plan?.name).toBe('web');
      expect(concerns).toMatchObject([{ code: 'rehearsal-check-unknown', level: 'critical' }]);
      expect(world.source.running).toBe(true);
    },
  );

  it('asks for no check where none was wished for', async () => {
    const world = new ImportWorld({ running: true });
    await bench.forecast(world, importRequest());
    expect(world.log).not.toContain('checkRehearsal');
  });

  it('takes a source of a rehearsal alone as one that runs on', async () => {
    const world = new ImportWorld({ running: true });
    const { plan } = await bench.forecast(world, asked(true));
    expect(plan?.clone).toBe(true);
  });
});

describe.concurrent('an import with a rehearsal', () => {
  it('rehearses what it converted before anything comes to the target, and tells what was seen', async () => {
    const world = new ImportWorld({ running: true });
    const report = await bench.run(world, asked(false));
    expect(report).toMatchObject({
      ...{ phase: 'committed', oneRunning: 'observed' },
      rehearsal: { outcome: 'proved', check: 'agent', console: ['login:'] },
    });
    const { log } = world;
    expect(log.indexOf('rehearse')).toBeGreaterThan(log.indexOf('ensureConverted'));
    expect(log.indexOf('rehearse')).toBeLessThan(log.indexOf('reserveTarget'));
    // What keeps a check from being asked is known while the source still runs.
    expect(log.indexOf('checkRehearsal')).toBeLessThan(log.indexOf('stopForeign'));
    expect(world.rehearsed).toHaveLength(1);
  });

  it('says that nothing was proved, and goes on', async () => {
    const world = new ImportWorld({ running: false });
    world.outcome = 'unproved';
    const report = await bench.run(world, asked(false, { kind: 'auto' }));
    expect(report).toMatchObject({ phase: 'committed', rehearsal: { outcome: 'unproved' } });
    expect(report.notes.join()).toContain('the rehearsal proves nothing: it was seen');
  });

  it('waits for a person where it fails, with nothing on the target, and goes on by a retry', async () => {
    const world = new ImportWorld({ running: true });
    world.injections.push(failsOnce(Handling.needsOperator));
    const report = await bench.run(world, asked(false), async (handle) => {
      const parked = await untilPhase(handle, 'parked');
      expect(parked).toMatchObject({ parkedIn: 'rehearsing', fault: { code: 'rehearsal-failed' } });
      expect(world.target.volumes.size).toBe(0);
      expect(world.ledger).toBeUndefined();
      await handle.executeUpdate(updateNames.retry, { args: [{ operator: 'test' }] });
    });
    expect(report).toMatchObject({ phase: 'committed', rehearsal: { outcome: 'proved' } });
  });

  it('gives the source its guest back where the person cancels', async () => {
    const world = new ImportWorld({ running: true });
    world.injections.push(failsOnce(Handling.needsOperator));
    const report = await bench.run(world, asked(false), async (handle) => {
      await untilPhase(handle, 'parked');
      await handle.cancel();
    });
    expect(report).toMatchObject({ phase: 'cancelled', sourceRunning: true });
    expect(world.cache.disks.size).toBe(2);
    expect(world.target).toEqual({ volumes: new Set(), defined: false, running: false });
  });

  it('is refused before the source is touched where its check cannot be asked', async () => {
    const world = new ImportWorld({ running: true });
    world.injections.push({
      ...{ verb: 'checkRehearsal', when: 'before', times: 1, code: 'rehearsal-check-unknown' },
      handling: Handling.permanent,
    });
    const report = await bench.run(world, asked(false, { kind: 'command', name: 'web' }));
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'rehearsal-check-unknown' } });
    expect(world.log).not.toContain('stopForeign');
    expect(world.log).not.toContain('ensureCached');
  });
});

describe.concurrent('a rehearsal alone', () => {
  it.each([true, false])('leaves a source as it is that runs: %s', async (running) => {
    const world = new ImportWorld({ running });
    // Whatever the request says of it.
    const request = { ...asked(true), running: 'force-off' as const };
    const report = await bench.run(world, request);
    expect(report).toMatchObject({ phase: 'rehearsed', sourceRunning: running });
    expect(report.steps.filter(({ state }) => state === 'waiting')).toEqual([]);
    expect(world.log).not.toContain('stopForeign');
    expect(world.log).not.toContain('reserveTarget');
    expect(world.source.running).toBe(running);
    expect(world.rehearsed).toHaveLength(1);
    // The import itself copies nothing again.
    expect(report.cachedUntil).toBeDefined();
    expect(world.cache.disks.size).toBe(foreignVm.disks.length);
    const then = await bench.run(world, importRequest());
    expect(then.disks.map(({ bytesCopied }) => bytesCopied)).toEqual([0, 0]);
  });

  it('ends where its check fails, and keeps what was copied', async () => {
    const world = new ImportWorld({ running: true });
    world.injections.push(failsOnce(Handling.permanent));
    const report = await bench.run(world, asked(true));
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'rehearsal-failed' } });
    expect(world.source.running).toBe(true);
    expect(world.cache.disks.size).toBe(2);
  });
});
