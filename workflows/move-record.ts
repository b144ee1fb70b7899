import {
  log,
  setCurrentDetails,
  upsertMemo,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { Fault } from '../domain/errors.ts';
import { Phase, stepsOf } from '../domain/move.ts';
import type { MoveReport, Step, StepName } from '../domain/move.ts';
import type { MigrateVmInput } from './contract.ts';
import { memoNames, moveKeys } from './contract.ts';
import { tellOfRest } from './tell-parent.ts';

const now = (): string => new Date().toISOString();

/** What a move knows of itself: the report, kept up to date, shown in Temporal's UI as it changes. */
export class MoveRecord {
  readonly report: MoveReport;
  readonly #parked = new Map<string, Fault>();
  /** As the search attribute says; the client set the first one. Each change of it is an event of the history. */
  #shownPhase: Phase = Phase.planned;

  constructor(input: MigrateVmInput) {
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
      startedAt: now(),
      ...(request.live === undefined ? {} : { live: { runs: 0, steps: [], postCopy: false } }),
      ...(input.placement === undefined ? {} : { placement: input.placement }),
    };
  }

  /** Moves on to `phase`. */
  enter(phase: Phase): void {
    this.report.phase = phase;
    this.#forgetParked();
    this.#show();
  }

  /** Shows that `what` stands still until a person acts; several things may, one a disk. */
  park(what: string, fault: Fault): void {
    this.#parked.set(what, fault);
    if (this.report.parkedIn === undefined) {
      this.report.parkedIn = this.report.phase;
      this.report.phase = Phase.parked;
    }
    this.report.fault = fault;
    this.#show();
  }

  /** `what` goes on; the move is parked until nothing stands still. */
  unpark(what: string): void {
    if (!this.#parked.delete(what)) return;
    const [next] = this.#parked.values();
    if (next !== undefined) {
      this.report.fault = next;
    } else {
      if (this.report.parkedIn !== undefined) this.report.phase = this.report.parkedIn;
      delete this.report.parkedIn;
      delete this.report.fault;
    }
    this.#show();
  }

  /** Runs one step of the pipeline and keeps its start, end and state. */
  async during<T>(name: StepName, run: () => Promise<T>): Promise<T> {
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
  moved(name: StepName, bytes: number): void {
    this.#step(name).bytes = bytes;
  }

  /** Steps that this move does not need; its pipeline may not have had them. */
  skip(...names: StepName[]): void {
    for (const step of this.report.steps) if (names.includes(step.name)) step.state = 'skipped';
  }

  /** A failed attempt at what runs now; the first error of a step and of the move is kept for good. */
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

  end(phase: Phase, fault?: Fault): void {
    this.report.phase = phase;
    this.#forgetParked();
    if (fault !== undefined) {
      this.report.fault = fault;
      this.report.firstError ??= fault;
    }
    this.report.endedAt = now();
    this.#show();
    // To be read without a worker: one of this move's version may be gone by the time somebody asks.
    upsertMemo({ [memoNames.report]: this.report });
  }

  #forgetParked(): void {
    this.#parked.clear();
    delete this.report.parkedIn;
    delete this.report.fault;
  }

  #step(name: StepName): Step {
    const step = this.report.steps.find((one) => one.name === name);
    if (step === undefined) throw new Error(`no step ${name}`);
    return step;
  }

  #show(): void {
    const { phase, fault, firstError } = this.report;
    if (phase !== this.#shownPhase) {
      this.#shownPhase = phase;
      upsertSearchAttributes([{ key: moveKeys.phase, value: phase }]);
      tellOfRest(this.report);
    }
    setCurrentDetails(currentDetails(this.report, fault ?? firstError));
  }
}

/** The move in Markdown, for Temporal's UI. */
function currentDetails(report: MoveReport, fault?: Fault): string {
  const mark = { waiting: ' ', running: '>', done: 'x', skipped: '-', failed: '!' };
  const steps = report.steps.map((step) => {
    const attempts = step.attempts > 0 ? ` (failed attempts: ${step.attempts})` : '';
    return `- [${mark[step.state]}] ${step.name}${attempts}`;
  });
  const trouble =
    fault === undefined
      ? []
      : [
          '',
          `**${fault.code}**${fault.host ? ` on ${fault.host}` : ''}: ${fault.message}`,
          fault.remedy,
        ];
  return [
    `**${report.vm.name}** ${report.source} → ${report.target}: **${report.phase}**`,
    '',
    ...steps,
    ...trouble,
  ].join('\n');
}
