/** The fault table with real hosts, QEMU, libvirtd, Temporal and workers: a row a fault, at a moment that was seen. */
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { openStage } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { chosenRows } from './rows.ts';
import { Theatre } from './theatre.ts';

const mebibyte = 1024 * 1024;
const rows = chosenRows(process.env);

let stage: Stage;
let theatre: Theatre;
const plays = new Map<number, Promise<void>>();

beforeAll(async () => {
  stage = await openStage({
    name: `m${process.pid}`,
    poolBytes: 512 * mebibyte,
    stateBytes: 32 * mebibyte,
  });
  theatre = new Theatre(stage);
});
afterAll(async () => {
  theatre.close();
  await stage.close();
});

/** Begins a row, and the next one when its fault is over: guests boot and are looked at meanwhile. */
function begin(index: number): Promise<void> {
  const begun = plays.get(index);
  if (begun !== undefined) return begun;
  const entry = rows[index];
  if (entry === undefined) return Promise.resolve();
  const next = (): void => {
    // Its own test tells how it ended.
    begin(index + 1).catch(() => undefined);
  };
  const play = theatre.play(entry.row, entry.storage, next);
  plays.set(index, play);
  return play;
}

it.each(rows.map(({ row, storage }, index) => ({ name: row.name, end: row.end, storage, index })))(
  '$storage: $name: $end',
  async ({ index }) => {
    onTestFailed(async () => console.error(await stage.logs()), 20_000);
    await begin(index);
  },
);

it('leaves every byte on every disk as the lab and the guests wrote it', async () => {
  const disks = await theatre.checkDisks();
  expect(disks.length).toBeGreaterThan(0);
  expect(disks.filter(({ bad, ok }) => bad > 0 || ok < 40)).toEqual([]);
});
