import {
  log,
  setCurrentDetails,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { Concern } from '../domain/concerns.ts';
import type { Fault } from '../domain/errors.ts';
import { ImportPhase, importStepNames } from '../domain/import.ts';
import type {
  ImportedDisk,
  ImportPlan,
  ImportReport,
  ImportStep,
  ImportStepName,
} from '../domain/import.ts';
import type { ImportVmInput } from './contract.ts';
import { memoNames, moveKeys, otherNamesOf } from './contract.ts';

const now = (): string => new Date().toISOString();

/** What an import knows of itself: the report, kept up to date, shown in Temporal's UI as it changes. */
export class ImportRecord {
  readonly report: ImportReport;
  readonly #input: ImportVmInput;
  readonly #parked = new Map<string, Fault>();
  /** As the search attribute says; each change of it is an event of the history. */
  #shownPhase: ImportPhase = ImportPhase.planned;

  constructor(input: ImportVmInput) {
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
      startedAt: now(),
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

  disk(key: string): ImportedDisk {
    const disk = this.report.disks.find((one) => one.key === key);
    if (disk === undefined) throw new Error(`no disk ${key} in the report`);
    return disk;
  }

  enter(phase: ImportPhase): void {
    this.report.phase = phase;
    this.#forgetParked();
    this.#show();
  }

  /** Shows that `what` stands still until a person acts; several things may, one a disk. */
  park(what: string, fault: Fault): void {
    this.#parked.set(what, fault);
    if (this.report.parkedIn === undefined) {
      this.report.parkedIn = this.report.phase;
      this.report.phase = ImportPhase.parked;
    }
    this.report.fault = fault;
    this.#show();
  }

  /** `what` goes on; the import is parked until nothing stands still. */
  unpark(what: string): void {
    if (!this.#parked.delete(what)) return;
    const [next] = this.#parked.values();
    if (next !== undefined) this.report.fault = next;
    else {
      if (this.report.parkedIn !== undefined) this.report.phase = this.report.parkedIn;
      delete this.report.parkedIn;
      delete this.report.fault;
    }
    this.#show();
  }

  /** Runs one step of the pipeline and keeps its start, end and state. */
  async during<T>(name: ImportStepName, run: () => Promise<T>): Promise<T> {
    const step = this.#step(name);
    step.state = 'running';
    step.startedAt ??= now();
    this.#show();
    try {
      const result = await run();
      step.state = 'done';
      return result;
    } catch (error) {
      step.state = 'failed';
      throw error;
    } finally {
      step.endedAt = now();
      this.#show();
    }
  }

  /** What a step moved or read. */
  moved(name: ImportStepName, bytes: number): void {
    this.#step(name).bytes = bytes;
  }

  skip(...names: ImportStepName[]): void {
    for (const step of this.report.steps)
      if (names.includes(step.name) && step.state === 'waiting') step.state = 'skipped';
  }

  /** A failed attempt at what runs now; the first error of a step and of the import is kept for good. */
  failedAttempt(fault: Fault): void {
    for (const step of this.report.steps) {
      if (step.state !== 'running') continue;
      step.attempts += 1;
      step.firstError ??= fault;
    }
    this.report.firstError ??= fault;
    log.warn('attempt failed', { code: fault.code, host: fault.host });
    this.#show();
  }

  note(text: string): void {
    if (!this.report.notes.includes(text)) this.report.notes.push(text);
  }

  end(phase: ImportPhase, fault?: Fault): void {
    this.report.phase = phase;
    this.#forgetParked();
    if (fault !== undefined) {
      this.report.fault = fault;
      this.report.firstError ??= fault;
    }
    this.report.endedAt = now();
    this.#show();
    // To be read without a worker: one of this import's version may be gone by the time somebody asks.
    upsertMemo({ [memoNames.report]: this.report });
  }

  #forgetParked(): void {
    this.#parked.clear();
    delete this.report.parkedIn;
    delete this.report.fault;
  }

  #step(name: ImportStepName): ImportStep {
    const step = this.report.steps.find((one) => one.name === name);
    if (step === undefined) throw new Error(`no step ${name}`);
    return step;
  }

  #show(): void {
    const { phase } = this.report;
    if (phase !== this.#shownPhase) upsertSearchAttributes([{ key: moveKeys.phase, value: phase }]);
    this.#shownPhase = phase;
    setCurrentDetails(currentDetails(this.report));
  }
}

/** The import in Markdown, for Temporal's UI. */
function currentDetails(report: ImportReport): string {
  const { foreign, vm, target, conversionHost, phase } = report;
  const mark = { waiting: ' ', running: '>', done: 'x', skipped: '-', failed: '!' };
  const steps = report.steps.map(({ name, state, attempts }) => {
    const failed = attempts > 0 ? ` (failed attempts: ${attempts})` : '';
    return `- [${mark[state]}] ${name}${failed}`;
  });
  const fault = report.fault ?? report.firstError;
  const place = fault?.host === undefined ? '' : ` on ${fault.host}`;
  const trouble =
    fault === undefined ? [] : ['', `**${fault.code}**${place}: ${fault.message}`, fault.remedy];
  const way = `${foreign.provider} → ${conversionHost} → ${target}`;
  return [`**${vm.name}** ${way}: **${phase}**`, '', ...steps, ...trouble].join('\n');
}
