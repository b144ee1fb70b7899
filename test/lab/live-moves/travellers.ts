/** Guests that move while they run, and what has to hold of each after every move. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import type { FerryMove } from '../../../cli/ferry.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import type { LiveProgress, LiveWishes } from '../../../domain/live.ts';
import { isEnd } from '../../../domain/move.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { readConsole } from '../../../lab/console.ts';
import type { LabHost } from '../../../lab/host.ts';
import { checkVmDisk } from '../../../lab/vm.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { makeBusy } from '../live/busy-guest.ts';
import { ask, told } from '../matrix/ask.ts';
import { overlapOf, TickLog } from '../matrix/tick-log.ts';
import { ended, until } from '../stage.ts';
import type { Stage } from '../stage.ts';

const mebibyte = 1024 * 1024;
/** Memory of an idle guest takes some ten seconds at that: time enough to strike in the middle. */
const bandwidthBytesPerSecond = 8 * mebibyte;
const boot = { timeoutMs: 150_000 };

export type Storage = 'shared' | 'local';
export type Load = 'idle' | 'dirtying';

export interface Traveller {
  vm: LabVm;
  storage: Storage;
  at: string;
  wishes: LiveWishes;
  /** How often QEMU's emulation broke it on its way, so that it began anew where it arrived. */
  breaks: number;
  /** How often it was started. */
  starts: number;
}

/** A guest with a disk of known content, up and ticking on alpha. */
export async function makeTraveller(
  stage: Stage,
  storage: Storage,
  load: Load,
  name = `${storage}-${load}`,
): Promise<Traveller> {
  const size = { sizeMiB: 32, fillMiB: 4 };
  const pool = storage === 'shared' ? ('shared' as const) : ('default' as const);
  const isBusy = load === 'dirtying';
  const vm = await stage.vm('alpha', {
    name,
    memoryMiB: isBusy ? 128 : 96,
    dataDisk: { ...size, pool },
  });
  if (isBusy) await makeBusy(stage.lab.host('alpha'), name);
  await stage.virsh('alpha', 'start', name);
  await stage.lab.waitForConsole('alpha', name, /tick 3\n/, boot);
  await stage.lab.waitForConsole('alpha', name, /blocks ok=/, boot);
  if (isBusy) await stage.lab.waitForConsole('alpha', name, /busy\n/, boot);
  // A guest that writes faster than the link is paused in the end, since nothing else would end it.
  const wishes = { ...defaultLiveWishes, ...(isBusy ? { pause: true, patienceMs: 3_000 } : {}) };
  return { vm, storage, at: 'alpha', wishes, breaks: 0, starts: 1 };
}

export interface Trip {
  stage: Stage;
  vm: LabVm;
  from: string;
  to: string;
  move: FerryMove;
}

export interface Row {
  name: string;
  end: 'committed' | 'cancelled';
  wishes?: Partial<LiveWishes>;
  /** As fast as the hosts can, so that many moves take no hour. */
  uncapped?: true;
  /** Orders what is to go wrong; what it did is mended when it returns. */
  strike(trip: Trip): Promise<void>;
}

/** Resolves once a good part of the memory has crossed, by the move's own word. */
export async function midRun({ move }: Trip): Promise<void> {
  const crossed = (live: LiveProgress | undefined): boolean =>
    (live?.memoryProcessedBytes ?? 0) > 8 * mebibyte;
  await until(move, ({ live }) => crossed(live), 'the middle of its run');
}

/** Makes the link slower than the guest writes, however little of a processor it gets. */
export async function outpaced({ move }: Trip): Promise<void> {
  let dirty = 0;
  const nearsItsSecondPass = (live: LiveProgress): boolean =>
    live.iteration > 1 || (live.iteration === 1 && live.memoryRemainingBytes < 24 * mebibyte);
  await until(
    move,
    ({ live }) => live !== undefined && nearsItsSecondPass(live),
    'the end of its first pass',
  );
  await move.tune({ bandwidthBytesPerSecond: mebibyte });
  await until(
    move,
    ({ live }) => {
      dirty = live !== undefined && live.iteration > 1 ? live.dirtyBytesPerSecond : 0;
      return dirty > 0;
    },
    'the rate at which its guest writes',
  );
  const third = Math.max(1, Math.floor(dirty / 3 / mebibyte)) * mebibyte;
  await move.tune({ bandwidthBytesPerSecond: third });
}

/** Until the move has felt a fault, or is over. */
export const felt = ({ move }: Trip): Promise<unknown> =>
  until(
    move,
    ({ report }) =>
      report.firstError !== undefined ||
      (report.live?.runs ?? 0) > 1 ||
      report.steps.some(({ attempts }) => attempts > 0) ||
      isEnd(report.phase),
    'its first error',
  );

/** Of a row that broke its guest so often, something else than the emulation is the cause. */
const mostTries = 2;

/**
 * Moves the guest to the other host with that going wrong, and judges what came of it. Once more where QEMU's emulation
 * broke the guest: now and then it marks no page that the guest writes while memory moves, so that the page is sent as it
 * was (docs/reliability.md). All else has to hold then, too.
 */
export async function travel(stage: Stage, guest: Traveller, row: Row): Promise<MoveReport> {
  for (let tries = 1; ; tries += 1) {
    const { report, hasBegunAnew } = await oneTrip(stage, guest, row);
    if (!hasBegunAnew) return report;
    guest.breaks += 1;
    console.log(`${guest.vm.name} began anew as it arrived on ${guest.at}`);
    expect(tries, `${guest.vm.name} began anew each time`).toBeLessThan(mostTries);
  }
}

async function oneTrip(
  stage: Stage,
  guest: Traveller,
  row: Row,
): Promise<{ report: MoveReport; hasBegunAnew: boolean }> {
  const { vm, at: from } = guest;
  const to = from === 'alpha' ? 'beta' : 'alpha';
  const ticks = TickLog.follow(stage.lab, vm.name);
  const move = await stage.ferry.migrate({
    ...{ vm: vm.name, from, to, autoCommit: true },
    bandwidthBytesPerSecond: row.uncapped === true ? 0 : bandwidthBytesPerSecond,
    live: { ...guest.wishes, ...row.wishes },
  });
  await row.strike({ stage, vm, from, to, move });
  const report = await ended(move);
  const shown = JSON.stringify({ row: row.name, vm: vm.name, live: report.live });
  console.log(shown, report.firstError?.code ?? '');
  const on = row.end === 'committed' ? to : from;
  const { firstError, fault } = report;
  expect(report, JSON.stringify({ firstError, fault })).toMatchObject({
    ...{ phase: row.end, mode: 'live', vmOn: on, vmRunning: true },
    ...{ oneRunning: 'enforced', failedCompensations: [] },
  });
  guest.at = on;
  const hasBegunAnew = await countsOn(stage, guest, { from, hasMoved: on === to });
  // By the guest's own word it never ran twice at a time.
  expect(overlapOf(ticks.end())).toBeUndefined();
  await expectOnlyHere(stage, guest);
  return { report, hasBegunAnew };
}

/** Has the guest count on where it stood; tells whether it does so in a new boot. */
async function countsOn(
  { lab }: Stage,
  { vm, at }: Traveller,
  { from, hasMoved }: { from: string; hasMoved: boolean },
): Promise<boolean> {
  const before = await newestTick(lab.host(from), vm.name);
  const there = hasMoved ? /tick (\d+)\n[^]*tick/ : new RegExp(`tick (${before + 2})\n`);
  const [, tick] = await lab.waitForConsole(at, vm.name, there, boot);
  if (!hasMoved) return false;
  // A line may be torn in two by the switch.
  expect(Number(tick) - before).toBeGreaterThanOrEqual(1);
  expect(Number(tick) - before).toBeLessThanOrEqual(2);
  return (await readConsole(lab.host(at), vm.name)).includes('boot=');
}

/** What the guest says of its pause since it came to where it is, ms; its own clock against the one on its board. */
export async function pauseOf({ lab }: Stage, { vm, at }: Traveller): Promise<number> {
  const [, ms] = await lab.waitForConsole(at, vm.name, /pause_ms=(\d+)\n/, boot);
  return Number(ms);
}

async function newestTick(host: LabHost, vm: string): Promise<number> {
  const ticks = (await readConsole(host, vm)).matchAll(/^tick (\d+)$/gm);
  return Number([...ticks].at(-1)?.[1] ?? 0);
}

const otherOf = (host: string): string => (host === 'alpha' ? 'beta' : 'alpha');

/** The ledgers agree, the other host knows no such VM, and is refused to start it. */
export async function expectOnlyHere({ lab }: Stage, { vm, at }: Traveller): Promise<void> {
  const [on, off] = [lab.host(at), lab.host(otherOf(at))];
  const stateOn = async (host: LabHost): Promise<string | undefined> => {
    const stateDir = host.rootOf(host.stateDir);
    return (await new Ledger({ stateDir, host: host.name }).read(vm.uuid))?.state;
  };
  expect(await stateOn(on)).toBe('owner');
  expect(['released', undefined]).toContain(await stateOn(off));
  expect((await told(off, 'list', '--all', '--name')).split('\n')).not.toContain(vm.name);
  const path = `/run/again-${randomUUID()}.xml`;
  await writeFile(off.rootOf(path), await told(on, 'dumpxml', '--inactive', vm.name));
  const again = await ask(off, ['create', path]);
  await rm(off.rootOf(path));
  if (again.exitCode === 0) await ask(off, ['destroy', vm.name]);
  expect(again.exitCode, `${vm.name} was started on ${off.name} too`).not.toBe(0);
}

/** Stopped and started where it lives now, it finds its disk whole, and goes on as before. */
export async function expectStarts({ lab }: Stage, guest: Traveller, load: Load): Promise<void> {
  const { vm, at } = guest;
  const host = lab.host(at);
  const last = await newestTick(host, vm.name);
  await told(host, 'destroy', vm.name);
  await told(host, 'start', vm.name);
  guest.starts += 1;
  const said = /counter=(\d+)[^]*blocks ok=(\d+) bad=(\d+)/;
  const [, counter, ok, bad] = await lab.waitForConsole(at, vm.name, said, boot);
  expect({ bad, isWhole: Number(ok) > 0 }).toEqual({ bad: '0', isWhole: true });
  expect(Number(counter)).toBeGreaterThanOrEqual(last);
  await lab.waitForConsole(at, vm.name, load === 'dirtying' ? /busy\n/ : /tick \d+\n/, boot);
}

/** Starts once more, and has then every byte of its disk right, read from outside. */
export async function expectWhole(
  stage: Stage,
  guest: Traveller,
  load: Load = 'idle',
): Promise<void> {
  const { vm, at, breaks, starts } = guest;
  await expectStarts(stage, guest, load);
  const host = stage.lab.host(at);
  await told(host, 'destroy', vm.name);
  expect(await checkVmDisk(host, vm)).toMatchObject({ bad: 0, boot: starts + 1 + breaks });
}
