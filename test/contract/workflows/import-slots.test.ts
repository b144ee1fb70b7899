import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type {
  ReleaseMoveInput,
  ReserveMoveAnswer,
  ReserveMoveInput,
} from '../../../activities/control/contract.ts';
import type { ImportReport } from '../../../domain/import.ts';
import { queryNames } from '../../../workflows/contract.ts';
import { ImportWorld } from '../../quick/import/fake-import.ts';
import { ImportBench, importRequest } from '../../quick/import/import-bench.ts';

const granted: ReserveMoveAnswer = {
  granted: true,
  target: { limits: { movesIn: 4, movesOut: 2 } },
};
const refused = (code: string, handling: 'transient' | 'permanent'): ReserveMoveAnswer => ({
  granted: false,
  fault: { code, handling, message: `beta: ${code}`, remedy: 'r', host: 'beta' },
});

/** What the target answers, by import, one after the other. */
const answers = new Map<string, ReserveMoveAnswer[]>();
const asked: ReserveMoveInput[] = [];
/** What had been done for the import when it asked. */
const doneBefore: string[][] = [];
const worlds = new Map<string, ImportWorld>();
let onAsked: () => Promise<unknown> = () => Promise.resolve();
const released: ReleaseMoveInput[] = [];

let imports: ImportBench;
beforeAll(async () => {
  imports = await ImportBench.open({
    reserveMove: async (input) => {
      const { moveId } = input.move;
      asked.push(input);
      doneBefore.push([...(worlds.get(moveId)?.log ?? [])]);
      if (input.waitMs !== undefined) await onAsked();
      return answers.get(moveId)?.shift() ?? granted;
    },
    releaseMove: (input) => {
      released.push(input);
      return Promise.resolve();
    },
  });
}, 120_000);
afterAll(() => imports.close(), 30_000);

describe('an import and its place', () => {
  const takenBy = (id: string) => asked.filter(({ move }) => move.moveId === id);
  const givenBy = (id: string) => released.filter(({ moveId }) => moveId === id);
  const play = async (
    world: ImportWorld,
    next: ReserveMoveAnswer[],
    changes: Parameters<typeof importRequest>[0] = {},
    during: Parameters<typeof imports.run>[2] = () => Promise.resolve(),
  ) => {
    let id = '';
    const report = await imports.run(world, importRequest(changes), (handle) => {
      id = handle.workflowId;
      answers.set(id, next);
      worlds.set(id, world);
      return during(handle);
    });
    return { id, report };
  };

  it('waits for room on its target alone before its source is off, for a place before it is sent, and gives both back before its commit', async () => {
    const world = new ImportWorld({ running: true });
    let seen: ImportReport | undefined;
    const looked = Promise.withResolvers<undefined>();
    onAsked = () => looked.promise;
    const { id, report } = await play(
      world,
      [refused('host-refused', 'transient'), granted],
      {},
      async (handle) => {
        seen = await vi.waitUntil(
          async () => {
            const now = await handle.query<ImportReport>(queryNames.report);
            return now.waitsFor === undefined ? undefined : now;
          },
          { timeout: 60_000, interval: 20 },
        );
        looked.resolve(undefined);
      },
    );
    onAsked = () => Promise.resolve();
    expect(seen).toMatchObject({ waitsFor: 'beta: host-refused', sourceRunning: true });
    expect(report).toMatchObject({ phase: 'committed', notes: ['beta: host-refused'] });
    expect(report).not.toHaveProperty('waitsFor');
    const before = doneBefore.map((done) => done.includes('stopForeign'));
    expect(before).toEqual([false, false, true]);
    const [first, second, third] = takenBy(id);
    expect(first).toMatchObject({
      ...{ target: 'beta', move: { workflowId: id }, waits: true },
      vm: { name: 'web', vcpus: 2, disks: [{ name: 'sda', pool: 'default' }, { name: 'sdb' }] },
    });
    expect(first).not.toHaveProperty('source');
    expect(second?.waitMs).toBeGreaterThan(0);
    // Only what is sent counts as coming there.
    expect(third).not.toHaveProperty('waits');
    expect(doneBefore.at(-1)).toContain('ensureConverted');
    expect(givenBy(id)).toEqual([
      { cluster: 'default', moveId: id, hosts: ['beta'], arrivedOn: 'beta' },
    ]);
  }, 120_000);

  it('waits for a place on its conversion host first, its source and its target untouched', async () => {
    const world = new ImportWorld({ running: true });
    const full = { code: 'conversion-host-full', handling: 'transient', remedy: 'r' } as const;
    world.waits.push(...['ten', 'nine'].map((message) => ({ ...full, message })));
    const { id, report } = await play(world, []);
    expect(report).toMatchObject({ phase: 'committed', notes: ['ten', 'nine'] });
    expect(report).not.toHaveProperty('waitsFor');
    const before = world.log.slice(0, world.log.indexOf('stopForeign'));
    expect(before.filter((verb) => verb === 'reserveCache')).toHaveLength(3);
    expect(doneBefore[asked.indexOf(takenBy(id)[0]!)]).toEqual(before);
  }, 120_000);

  it('has its source untouched where its target takes nobody', async () => {
    const world = new ImportWorld({ running: true });
    const { report } = await play(world, [refused('host-disabled', 'permanent')]);
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'host-disabled' } });
    expect(world.log).not.toContain('stopForeign');
  }, 120_000);

  it('takes one for its transfer alone where its source is not turned off; its copy is kept where it gets none', async () => {
    const world = new ImportWorld({ running: false });
    const { id, report } = await play(world, [refused('host-disabled', 'permanent')]);
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'host-disabled' } });
    expect(report.cachedUntil).toBeDefined();
    expect(world.source.running).toBe(false);
    expect(doneBefore.at(-1)).toContain('ensureConverted');
    expect(world.log).not.toContain('reserveTarget');
    expect(givenBy(id)).toEqual([{ cluster: 'default', moveId: id, hosts: ['beta'] }]);
  }, 120_000);
});
