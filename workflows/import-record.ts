import { upsertMemo, workflowInfo } from '@temporalio/workflow';
import type { Concern } from '../domain/concerns.ts';
import { ImportPhase, importStepNames } from '../domain/import.ts';
import type {
  ImportedDisk,
  ImportPlan,
  ImportReport,
  ImportStep,
  ImportStepName,
} from '../domain/import.ts';
import type { ImportVmInput } from './contract.ts';
import { memoNames, otherNamesOf } from './contract.ts';
import { PipelineRecord } from './pipeline-record.ts';

/** What an import knows of itself. */
export class ImportRecord extends PipelineRecord<ImportPhase, ImportStepName> {
  override readonly report: ImportReport;
  readonly #input: ImportVmInput;

  constructor(input: ImportVmInput) {
    super();
    const { vm, request } = input;
    this.#input = input;
    const info = workflowInfo();
    const { provider, conversionHost, to, operator, convert, verify, rehearse } = request;
    const skipped: ImportStepName[] = [
      ...(convert === 'no' ? (['convert'] as const) : []),
      ...(rehearse === undefined ? (['rehearse'] as const) : []),
      ...(verify === 'off' ? (['verify'] as const) : []),
    ];
    this.report = {
      id: info.workflowId,
      runId: info.runId,
      kind: 'import',
      vm: { name: request.shape.name ?? vm.name, uuid: '' },
      foreign: { provider, id: vm.id, name: vm.name },
      conversionHost,
      target: to,
      operator,
      phase: ImportPhase.planned,
      steps: importStepNames.map((name): ImportStep => {
        const state = skipped.includes(name) ? 'skipped' : 'waiting';
        return { name, state, attempts: 0 };
      }),
      concerns: [],
      disks: [],
      oneRunning: 'none',
      sourceRunning: false,
      targetRunning: false,
      failedCompensations: [],
      notes: [],
      startedAt: new Date().toISOString(),
    };
  }

  /** Shows what came of the checks; all of it, also what forbids the import. */
  judged(concerns: readonly Concern[], plan?: ImportPlan): void {
    this.report.concerns.push(...concerns);
    if (plan === undefined) return;
    this.report.vm = { name: plan.name, uuid: plan.uuid };
    const names = otherNamesOf(this.#input, plan.uuid);
    // The client has noted what it knew beforehand; a clone got its UUID only now.
    if (names.length > otherNamesOf(this.#input).length)
      upsertMemo({ [memoNames.alsoNamed]: names });
    this.report.clone = plan.clone;
    this.report.disks = plan.disks.map(({ key, name, capacityBytes }): ImportedDisk => ({
      ...{ key, name, capacityBytes },
      bytesCopied: 0,
      bytesRecopied: 0,
      bytesFromCache: 0,
      bytesTransferred: 0,
      verified: false,
    }));
  }

  /** The report says what is waited for as long as `wait` lasts; notes keep it. */
  async whileWaiting(wait: (note: (text: string) => void) => Promise<unknown>): Promise<void> {
    try {
      await wait((text) => {
        this.note(text);
        this.report.waitsFor = text;
      });
    } finally {
      delete this.report.waitsFor;
    }
  }

  disk(key: string): ImportedDisk {
    const disk = this.report.disks.find((one) => one.key === key);
    if (disk === undefined) throw new Error(`no disk ${key} in the report`);
    return disk;
  }

  protected override title(): string {
    const { foreign, vm, target, conversionHost } = this.report;
    return `**${vm.name}** ${foreign.provider} → ${conversionHost} → ${target}`;
  }
}
