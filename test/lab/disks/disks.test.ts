/** Whole moves of every kind of disk and device between real hosts: bytes, definition, ledgers, and what is left. */
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import type { MigrateRequest } from '../../../client/vmferry.ts';
import type { Concern } from '../../../domain/concerns.ts';
import { snapshotOf } from '../refusals/host-snapshot.ts';
import { ended, openStage } from '../stage.ts';
import { copiedRows } from './copied.ts';
import { mebibyte } from './images.ts';
import { refusedRows } from './refused.ts';
import { plan, playRow, tracesOn } from './scene.ts';
import type { DiskRow, Journey, Scene } from './scene.ts';
import { sharedRows } from './shared.ts';
import { stateRows } from './state.ts';

/** A part of a row's name, to play that one alone. */
const chosen = process.env['VMFERRY_DISK_ROWS'] ?? '';
const isChosen = ({ name }: { name: string }): boolean => name.includes(chosen);
const rows: DiskRow[] = [...copiedRows, ...sharedRows, ...stateRows].filter(isChosen);
const isPlayable = (row: DiskRow): boolean => isChosen(row) && (row.lacks ?? '') === '';
const playable = rows.filter(isPlayable);
/** Named with what this machine lacks. */
const unplayable = rows
  .filter((row) => !isPlayable(row))
  .map(({ name, lacks = '' }) => `${name}: ${lacks}`);
const refused = refusedRows.filter(isChosen);
const prepareMs = 300_000;

let scene: Scene;
const journeys = new Map<string, Journey>();
const refusals = new Map<string, MigrateRequest>();

beforeAll(async () => {
  const stage = await openStage({
    name: `d${process.pid}`,
    poolBytes: 512 * mebibyte,
    shared: true,
  });
  scene = { stage, alpha: stage.lab.host('alpha'), beta: stage.lab.host('beta') };
  // Side by side by their files: most of it is waiting for virsh.
  await Promise.all([
    ...[copiedRows, sharedRows, stateRows].map((part) => prepare(part.filter(isPlayable))),
    prepareRefused(),
  ]);
  for (const { name } of stage.lab.hosts)
    for (const pool of ['default', 'fast', 'shared']) await stage.virsh(name, 'pool-refresh', pool);
}, prepareMs);

async function prepare(part: readonly DiskRow[]): Promise<void> {
  for (const row of part) journeys.set(row.name, await row.prepare(scene));
}

async function prepareRefused(): Promise<void> {
  for (const row of refused)
    refusals.set(row.name, { ...(await row.prepare(scene)), from: 'alpha', to: 'beta' });
}

afterAll(() => scene.stage.close());

const prepared = <T>(all: ReadonlyMap<string, T>, name: string): T => {
  const found = all.get(name);
  if (found === undefined) throw new Error(`${name} was not prepared`);
  return found;
};
const snapshots = () => Promise.all([snapshotOf(scene.alpha), snapshotOf(scene.beta)]);
/** All at once would be a trial of the machine: each starts programs on both hosts. */
const someAtATime = async <T>(items: readonly T[], act: (item: T) => Promise<unknown>) => {
  const rest = [...items];
  const lane = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await act(item);
  };
  await Promise.all([lane(), lane(), lane()]);
};
const criticals = (concerns: readonly Concern[]): Concern[] =>
  concerns.filter(({ level }) => level === 'critical');

describe('a dry run', () => {
  it('tells the way of every disk, whether the VM runs or not, and leaves nothing', async () => {
    onTestFailed(async () => console.error(await scene.stage.logs()), 20_000);
    const before = await snapshots();
    await someAtATime([...journeys.values()], (journey) => plan(scene, journey));
    expect(await snapshots()).toEqual(before);
  });

  it('and a move that is refused name the same reasons, and touch nothing', async () => {
    onTestFailed(async () => console.error(await scene.stage.logs()), 20_000);
    const before = await snapshots();
    await someAtATime(refused, async ({ name, codes, naming }) => {
      const request = prepared(refusals, name);
      const { concerns } = await scene.stage.ferry.plan(request);
      const report = await ended(await scene.stage.ferry.migrate(request));
      expect(report, name).toMatchObject({ phase: 'failed', vmOn: 'alpha' });
      expect(
        criticals(report.concerns)
          .map(({ code }) => code)
          .sort(),
        name,
      ).toEqual(codes);
      expect(criticals(concerns), name).toEqual(criticals(report.concerns));
      const words = criticals(concerns).map(({ message }) => message);
      expect(words.join('\n')).toMatch(naming);
      expect(criticals(concerns).every(({ remedy }) => remedy !== '')).toBe(true);
    });
    expect(await snapshots()).toEqual(before);
  });
});

describe('a whole move of', () => {
  it.concurrent.each(playable.map(({ name }) => name))('%s', async (name) => {
    onTestFailed(async () => console.error(await scene.stage.logs()), 20_000);
    await playRow(scene, prepared(journeys, name));
  });

  it.skip.each(unplayable)('%s', () => undefined);
});

it('leaves no word, export or journal on any host', async () => {
  const left = async (): Promise<string[]> =>
    (await Promise.all([scene.alpha, scene.beta].map(tracesOn))).flat();
  await expect.poll(left, { timeout: 10_000, interval: 200 }).toEqual([]);
});
