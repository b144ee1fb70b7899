import { log, setCurrentDetails, upsertMemo, upsertSearchAttributes } from '@temporalio/workflow';
import type { Fault } from '../domain/errors.ts';
import type { PipelineReport, PipelineStep } from '../domain/pipeline.ts';
import { memoNames, moveKeys } from './contract.ts';

const now = (): string => new Date().toISOString();

/** What a move or an import knows of itself: the report, kept up to date, shown in Temporal's UI as it changes. */
export abstract class PipelineRecord<P extends string, N extends string> {
  abstract readonly report: PipelineReport<P | 'parked', N>;
  readonly #parked = new Map<string, Fault>();
  /** As the search attribute says; the client set the first one. Each change of it is an event of the history. */
  #shownPhase = 'planned';

  /** What is on its way from where to where, in Markdown. */
  protected abstract title(): string;

  /** The phase is another one now. */
  protected entered(): void {
    // Nothing, unless somebody wants to hear of it.
  }

  /** Moves on to `phase`. */
  enter(phase: P): void {
    this.report.phase = phase;
    this.#forgetParked();
    this.#show();
  }

  /** Shows that `what` stands still until a person acts; several things may, one a disk. */
  park(what: string, fault: Fault): void {
    this.#parked.set(what, fault);
    if (this.report.parkedIn === undefined) {
      this.report.parkedIn = this.report.phase;
      this.report.phase = 'parked';
    }
    this.report.fault = fault;
    this.#show();
  }

  /** `what` goes on; the whole is parked until nothing stands still. */
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
  async during<T>(name: N, run: () => Promise<T>): Promise<T> {
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
  moved(name: N, bytes: number): void {
    this.#step(name).bytes = bytes;
  }

  /** Steps that are not needed, of those that have not begun; the pipeline may not have had them. */
  skip(...names: N[]): void {
    for (const step of this.report.steps)
      if (names.includes(step.name) && step.state === 'waiting') step.state = 'skipped';
  }

  /** A failed attempt at what runs now, or at one step of it; the first error of a step and of the whole is kept for good. */
  failedAttempt(fault: Fault, at?: string): void {
    for (const step of this.report.steps) {
      if (step.state !== 'running' || (at ?? step.name) !== step.name) continue;
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

  end(phase: P, fault?: Fault): void {
    this.report.phase = phase;
    this.#forgetParked();
    if (fault !== undefined) {
      this.report.fault = fault;
      this.report.firstError ??= fault;
    }
    this.report.endedAt = now();
    this.#show();
    // To be read without a worker: one of its version may be gone by the time somebody asks.
    upsertMemo({ [memoNames.report]: this.report });
  }

  #forgetParked(): void {
    this.#parked.clear();
    delete this.report.parkedIn;
    delete this.report.fault;
  }

  #step(name: N): PipelineStep<N> {
    const step = this.report.steps.find((one) => one.name === name);
    if (step === undefined) throw new Error(`no step ${name}`);
    return step;
  }

  #show(): void {
    const { phase } = this.report;
    if (phase !== this.#shownPhase) {
      this.#shownPhase = phase;
      upsertSearchAttributes([{ key: moveKeys.phase, value: phase }]);
      this.entered();
    }
    setCurrentDetails([`${this.title()}: **${phase}**`, '', ...linesOf(this.report)].join('\n'));
  }
}

const marks = { waiting: ' ', running: '>', done: 'x', skipped: '-', failed: '!' };

/** The pipeline in Markdown, for Temporal's UI. */
function linesOf({ steps, fault, firstError }: PipelineReport): string[] {
  const lines = steps.map(({ name, state, attempts }) => {
    const failed = attempts > 0 ? ` (failed attempts: ${attempts})` : '';
    return `- [${marks[state]}] ${name}${failed}`;
  });
  const trouble = fault ?? firstError;
  if (trouble === undefined) return lines;
  const place = trouble.host === undefined ? '' : ` on ${trouble.host}`;
  return [...lines, '', `**${trouble.code}**${place}: ${trouble.message}`, trouble.remedy];
}
