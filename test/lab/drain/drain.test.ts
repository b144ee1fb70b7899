/** A host is emptied for real, while the control worker dies, and taken back into service. */
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { waitUntil } from '../../../lab/wait.ts';
import type { DrainStatus, FerryDrain } from '../../../cli/ferry.ts';
import { isUnderWay } from '../../../domain/drain/board.ts';
import { openStage } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { defineTiny, must, virsh } from '../refusals/tiny-vm.ts';

const mebibyte = 1024 * 1024;
const patient = { timeoutMs: 120_000, everyMs: 200 };

let stage: Stage;

beforeAll(async () => {
  stage = await openStage({
    name: 'drain',
    hosts: ['alpha', 'beta', 'gamma'],
    poolBytes: 128 * mebibyte,
  });
  const alpha = stage.lab.host('alpha');
  for (const name of ['off1', 'off2']) await defineTiny(alpha, { name, disk: 'raw' });
  for (const name of ['run1', 'run2']) {
    await defineTiny(alpha, { name });
    await must(alpha, 'start', name);
  }
}, 180_000);
afterAll(async () => stage.close(), 60_000);

/** Hosts take no VM before their workers have told what they have. */
const chosenFor = async (vm: string, from: string, preferHost?: string): Promise<string> => {
  const wishes = preferHost === undefined ? {} : { preferHost };
  return (await stage.ferry.place({ vm, from, ...wishes })).answer.chosen ?? '';
};

/** Watches to the end; `at` is called with each look. */
async function toItsEnd(
  drain: FerryDrain,
  at: (status: DrainStatus) => void,
): Promise<DrainStatus> {
  let last: DrainStatus | undefined;
  for await (const status of drain.watch({ signal: AbortSignal.timeout(patient.timeoutMs) })) {
    last = status;
    at(status);
  }
  return last!;
}

it('takes every VM away, running ones as they run, though its worker and that of workflows are killed', async () => {
  onTestFailed(async () => console.error(await stage.logs()));
  const { ferry, fleet, lab } = stage;
  await waitUntil(async () => ['beta', 'gamma'].includes(await chosenFor('off1', 'alpha')), {
    what: 'a host to take off1',
    ...patient,
  });
  const plan = await ferry.planDrain('alpha');
  expect(plan.vms.map(({ name, way }) => `${name} ${way}`)).toEqual(
    expect.arrayContaining(['off1 cold', 'off2 cold', 'run1 live', 'run2 live']),
  );

  const { drain } = await ferry.drain('alpha', { parallel: 2 });
  let control: Promise<void> | undefined;
  let source: Promise<void> | undefined;
  const { report } = await toItsEnd(drain, ({ report: { vms } }) => {
    if (vms.some(({ moveId }) => moveId !== undefined)) control ??= fleet.control.kill9();
    const isHalfWay = vms.some(({ state }) => state === 'moved');
    if (isHalfWay && vms.some(isUnderWay)) source ??= fleet.worker('alpha').kill9();
  });
  await Promise.all([control, source]);
  expect(control).toBeDefined();
  expect(source).toBeDefined();
  const shown = JSON.stringify(report.vms, null, 1);
  expect(
    report.vms.map(({ name, state, mode }) => [name, state, mode]),
    shown,
  ).toEqual([
    ['off1', 'moved', 'cold'],
    ['off2', 'moved', 'cold'],
    ['run1', 'moved', 'live'],
    ['run2', 'moved', 'live'],
  ]);
  expect(report.vms.every(({ awaitsCommit }) => awaitsCommit === true)).toBe(true);
  for (const { name, to = '' } of report.vms) {
    const state = await must(lab.host(to), 'domstate', name);
    expect(state, name).toBe(name.startsWith('run') ? 'running' : 'shut off');
    // Its old host keeps a copy, and may not start it.
    expect((await virsh(lab.host('alpha'), 'start', name)).ok, name).toBe(false);
  }
}, 180_000);

it('lets no VM come to the host until it is taken back into service', async () => {
  const { ferry, lab } = stage;
  await defineTiny(lab.host('beta'), { name: 'extra', disk: 'raw' });
  const { answer } = await ferry.place({ vm: 'extra', from: 'beta', preferHost: 'alpha' });
  expect(answer.chosen).toBe('gamma');
  expect(answer.rows.find(({ host }) => host === 'alpha')?.why).toContain('not-draining');
  expect(await ferry.undrain('alpha')).toEqual({ host: 'alpha', cancelled: false });
  expect(await chosenFor('extra', 'beta', 'alpha')).toBe('alpha');

  const move = await ferry.migrate({ vm: 'extra', from: 'beta', preferHost: 'alpha' });
  await waitUntil(async () => (await move.status()).report.phase === 'awaiting-commit', {
    what: 'extra to be on alpha',
    ...patient,
  });
  const { report } = await move.status();
  expect(report).toMatchObject({ target: 'alpha', vmOn: 'alpha' });
  expect(report.placement?.reasons[0]).toContain('alpha is the best');
}, 120_000);
