/** kill -9 where it hurts most: while ownership changes hands, while the guest starts, while the source is removed. */
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import type { LabVm } from '../../../lab/vm.ts';
import { ended, openStage, until } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { Witness } from '../witness.ts';
import { expectMoved, newestTick } from './soundness.ts';

const course = ['cutting-over', 'starting', 'awaiting-commit', 'committing', 'committed'];

let stage: Stage;
let vm: LabVm;
beforeAll(async () => {
  stage = await openStage({ name: `c${process.pid}`, poolBytes: 512 * 1024 * 1024 });
  vm = await stage.vm('alpha', {
    name: 'late',
    run: true,
    dataDisk: { sizeMiB: 64, fillMiB: 16, seed: 5 },
  });
});
afterAll(async () => {
  await stage.close();
});

it.each([
  { phase: 'cutting-over', from: 'alpha', to: 'beta' },
  { phase: 'starting', from: 'beta', to: 'alpha' },
  { phase: 'committing', from: 'alpha', to: 'beta' },
])('goes on through kill -9 of every worker once it is $phase', async ({ phase, from, to }) => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  const tickBefore = await newestTick(stage, from, vm);
  const witness = Witness.watch(vm.uuid);
  const move = await stage.ferry.migrate({ vm: vm.name, from, to, autoCommit: true });
  // Phases pass quickly: the next one, or the end, will do as well, and nothing may differ.
  const then = course.slice(course.indexOf(phase));
  await until(move, ({ report }) => then.includes(report.phase), phase);
  const { fleet } = stage;
  await Promise.all(
    [fleet.control, fleet.worker(from), fleet.worker(to)].map((one) => one.kill9()),
  );
  await fleet.ready();
  const report = await ended(move);
  expect(report.vm.name).toBe('late');
  await expectMoved({ stage, vm, from, to, tickBefore, witness }, report);
});
