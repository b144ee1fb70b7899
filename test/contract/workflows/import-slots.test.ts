import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  ReleaseMoveInput,
  ReserveMoveAnswer,
  ReserveMoveInput,
} from '../../../activities/control/contract.ts';
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
const released: ReleaseMoveInput[] = [];

let imports: ImportBench;
beforeAll(async () => {
  imports = await ImportBench.open({
    reserveMove: (input) => {
      asked.push(input);
      return Promise.resolve(answers.get(input.move.moveId)?.shift() ?? granted);
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
  ) => {
    let id = '';
    const report = await imports.run(world, importRequest(changes), (handle) => {
      id = handle.workflowId;
      answers.set(id, next);
      return Promise.resolve();
    });
    return { id, report };
  };

  it('waits for one on its target alone, after its copy, and gives it back before its commit', async () => {
    const world = new ImportWorld({ running: true });
    const { id, report } = await play(world, [refused('host-refused', 'transient'), granted]);
    expect(report.phase).toBe('committed');
    expect(report.notes).toContain('beta: host-refused');
    const [first, second] = takenBy(id);
    expect(first).toMatchObject({
      ...{ target: 'beta', move: { workflowId: id } },
      vm: { name: 'web', vcpus: 2, disks: [{ name: 'sda', pool: 'default' }, { name: 'sdb' }] },
    });
    expect(first).not.toHaveProperty('source');
    expect(second?.waitMs).toBeGreaterThan(0);
    expect(givenBy(id)).toEqual([
      { cluster: 'default', moveId: id, hosts: ['beta'], arrivedOn: 'beta' },
    ]);
  }, 120_000);

  it('that a target which takes nobody refuses is undone, and its copy kept', async () => {
    const world = new ImportWorld({ running: true });
    const { id, report } = await play(world, [refused('host-disabled', 'permanent')]);
    expect(report).toMatchObject({ phase: 'failed', fault: { code: 'host-disabled' } });
    expect(report.cachedUntil).toBeDefined();
    expect(world.source.running).toBe(true);
    expect(world.log).not.toContain('reserveTarget');
    expect(givenBy(id)).toEqual([{ cluster: 'default', moveId: id, hosts: ['beta'] }]);
  }, 120_000);
});
