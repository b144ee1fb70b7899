/** A link that is cut in the middle of post-copy: each host has a part of the guest, and a person decides. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { cutOneWay } from '../../../lab/one-way.ts';
import { waitUntil } from '../../../lab/wait.ts';
import { makeBusyGuest } from '../live/busy-guest.ts';
import { ask, told } from '../matrix/ask.ts';
import { ended, openStage, reached, until } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { expectOnlyHere, expectWhole, makeTraveller, outpaced } from './travellers.ts';
import type { Traveller, Trip } from './travellers.ts';

/** libvirt needs half a minute to miss the other side. */
const isAll = process.env['VMFERRY_LIVE'] === 'all';
const mebibyte = 1024 * 1024;
const boot = { timeoutMs: 150_000 };
const testMs = 600_000;

let root: string;
let stage: Stage;

beforeAll(async () => {
  if (!isAll) return;
  root = await mkdtemp(join(tmpdir(), 'vmferry-post-copy-'));
  const guestDir = await makeBusyGuest(join(root, 'guest'));
  const options = { poolBytes: 256 * mebibyte, shared: true, guestDir };
  stage = await openStage({ name: `p${process.pid}`, ...options });
});

afterAll(async () => {
  if (!isAll) return;
  await stage.close();
  await rm(root, { recursive: true, force: true });
});

interface Broken {
  guest: Traveller;
  move: Trip['move'];
  mend: () => Promise<void>;
}

/** A busy guest on its way from alpha to beta whose link was cut in post-copy, once its move has parked. */
async function brokenOff(name: string): Promise<Broken> {
  const { lab } = stage;
  const guest = await makeTraveller(stage, 'shared', 'dirtying', name);
  const move = await stage.ferry.migrate({
    ...{ vm: name, from: 'alpha', to: 'beta', autoCommit: true },
    bandwidthBytesPerSecond: 8 * mebibyte,
    live: { ...guest.wishes, pause: false, postCopy: true },
  });
  await outpaced({ stage, vm: guest.vm, from: 'alpha', to: 'beta', move });
  await until(move, ({ live }) => live?.inPostCopy === true, 'its post-copy');
  const there = await cutOneWay(lab, { from: 'alpha', to: 'beta' });
  const back = await cutOneWay(lab, { from: 'beta', to: 'alpha' });
  const { fault } = await reached(move, 'parked');
  console.log('parked', JSON.stringify(fault?.message));
  expect(fault).toMatchObject({ code: 'live-post-copy-failed', handling: 'needs-operator' });
  // Nothing is undone meanwhile, and no third copy comes up.
  for (const host of lab.hosts)
    expect((await ask(host, ['start', guest.vm.name])).exitCode).not.toBe(0);
  const mend = async (): Promise<void> => {
    await there();
    await back();
  };
  return { guest, move, mend };
}

const stateOf = (host: string, vm: string): Promise<string> =>
  told(stage.lab.host(host), 'domstate', '--reason', vm);

it.runIf(isAll)(
  'parks, and comes to its end by itself once the link is back and a person says retry',
  async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const { guest, move, mend } = await brokenOff('mended');
    await mend();
    // The target is whole before the source hears of it.
    await waitUntil(async () => (await stateOf('alpha', 'mended')) === 'shut off (migrated)', {
      what: 'QEMU to go on with its post-copy',
      timeoutMs: 150_000,
    });
    await move.retry();
    const report = await ended(move);
    expect(report).toMatchObject({ phase: 'committed', vmOn: 'beta', vmRunning: true });
    expect(report.live).toMatchObject({ postCopy: true, runs: 1 });
    guest.at = 'beta';
    await stage.lab.waitForConsole('beta', 'mended', /tick (\d+)\n[^]*tick/, boot);
    await expectOnlyHere(stage, guest);
    await expectWhole(stage, guest);
  },
  testMs,
);

it.runIf(isAll)(
  'parks, and once a person ended both parts, the VM is off where it was',
  async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const { guest, move, mend } = await brokenOff('lost');
    // In this order: the target's part ends by itself with the source's.
    for (const host of ['beta', 'alpha']) await told(stage.lab.host(host), 'destroy', 'lost');
    await mend();
    await move.retry();
    const report = await ended(move);
    expect(report).toMatchObject({ phase: 'failed', vmOn: 'alpha', vmRunning: false });
    expect(report).toMatchObject({ oneRunning: 'enforced', failedCompensations: [] });
    await told(stage.lab.host('alpha'), 'start', 'lost');
    await stage.lab.waitForConsole('alpha', 'lost', /boot=2[^]*tick/, boot);
    guest.breaks += 1;
    await expectOnlyHere(stage, guest);
    await expectWhole(stage, guest);
  },
  testMs,
);
