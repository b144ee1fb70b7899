import { workflowInfo } from '@temporalio/workflow';
import { Phase, stepsOf } from '../domain/move.ts';
import type { MoveReport, Step, StepName } from '../domain/move.ts';
import type { MigrateVmInput } from './contract.ts';
import { PipelineRecord } from './pipeline-record.ts';
import { tellOfRest } from './tell-parent.ts';

/** What a move knows of itself. */
export class MoveRecord extends PipelineRecord<Phase, StepName> {
  override readonly report: MoveReport;

  constructor(input: MigrateVmInput) {
    super();
    const info = workflowInfo();
    const { request, vm } = input;
    this.report = {
      id: info.workflowId,
      runId: info.runId,
      mode: request.live === undefined ? 'cold' : 'live',
      vm,
      source: request.from,
      target: request.to,
      operator: request.operator,
      phase: Phase.planned,
      steps: stepsOf(request).map((name): Step => ({ name, state: 'waiting', attempts: 0 })),
      concerns: [],
      disks: [],
      oneRunning: 'none',
      vmOn: request.from,
      vmRunning: input.running,
      failedCompensations: [],
      notes: [],
      startedAt: new Date().toISOString(),
      ...(request.live === undefined ? {} : { live: { runs: 0, steps: [], postCopy: false } }),
      ...(input.placement === undefined ? {} : { placement: input.placement }),
    };
  }

  protected override title(): string {
    const { vm, source, target } = this.report;
    return `**${vm.name}** ${source} → ${target}`;
  }

  protected override entered(): void {
    tellOfRest(this.report);
  }
}
