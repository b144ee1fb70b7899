import { imagesOf } from '../domain/chain.ts';
import { blocks } from '../domain/concerns.ts';
import type { DiskPlan } from '../domain/disk-plan.ts';
import { Phase, stepsOf } from '../domain/move.ts';
import type { MovePlan, PlannedDisk, StepName } from '../domain/move.ts';
import type { SourceCheck } from '../activities/contract.ts';
import { checkSource, checkTarget, clearingOfTarget, comparedDisks, modeOf } from './check.ts';
import { Compensations } from './compensations.ts';
import type { MigrateVmInput } from './contract.ts';
import { failureOf, MoveFailed } from './faults.ts';
import { MoveRecord } from './move-record.ts';
import { moveRef } from './move.ts';
import type { Move } from './move.ts';
import { Hosts } from './on-host.ts';
import { Orders } from './orders.ts';

/** What a move would do: both hosts judge, all that speaks against it is told at once, and nothing stays. */
export async function dryRun(input: MigrateVmInput): Promise<MovePlan> {
  const record = new MoveRecord(input);
  const orders = new Orders(record);
  const hosts = new Hosts(record, orders);
  const undo = new Compensations(record, hosts);
  const ref = moveRef(input);
  const move: Move = {
    input,
    ref,
    record,
    orders,
    hosts,
    undo,
    cutoverBegan: false,
    goingLive: false,
    hostLimits: {},
  };
  record.enter(Phase.checking);
  try {
    const source = await checkSource(move);
    const target = await checkTarget(move, source);
    undo.push(clearingOfTarget(move, () => 0));
    return planOf(move, source, target.disks);
  } catch (error) {
    if (!(error instanceof MoveFailed)) throw error;
    throw failureOf(error.fault);
  } finally {
    await undo.runAll();
  }
}

function planOf(move: Move, source: SourceCheck, disks: readonly DiskPlan[]): MovePlan {
  const { input, record } = move;
  const { report } = record;
  const { request } = input;
  const copied = disks.filter(({ how }) => how === 'copy');
  const idle = new Set<StepName>([
    ...(copied.length === 0 ? (['export', 'copy'] as const) : []),
    ...(comparedDisks(disks, request.verify).length === 0 ? (['verify'] as const) : []),
    ...(report.vmRunning || request.autoStart ? [] : (['start'] as const)),
  ]);
  return {
    vm: input.vm,
    source: request.from,
    target: request.to,
    mode: modeOf(request, disks),
    running: report.vmRunning,
    concerns: report.concerns,
    disks: disks.map((disk) => planned(source, disk)),
    steps: stepsOf(request).filter((name) => !idle.has(name)),
    oneRunning: blocks(report.concerns) ? 'none' : report.oneRunning,
    ...(input.placement === undefined ? {} : { placement: input.placement }),
  };
}

function planned({ vm }: SourceCheck, disk: DiskPlan): PlannedDisk {
  const images = vm.disks.flatMap(imagesOf);
  const allocationBytes = images.find(({ name }) => name === disk.name)?.allocationBytes ?? 0;
  return {
    name: disk.name,
    how: disk.how,
    ...(disk.proof === undefined ? {} : { proof: disk.proof }),
    capacityBytes: disk.capacityBytes,
    allocationBytes,
    from: { path: disk.sourcePath, format: disk.sourceFormat },
    to: { path: disk.targetPath, format: disk.targetFormat, pool: disk.targetPool },
  };
}
