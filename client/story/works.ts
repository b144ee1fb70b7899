/** The attempts of a history, gathered into pieces of work: one host, one thing to do, however often it was tried. */
import type { Fault } from '../../domain/errors.ts';
import { Handling } from '../../domain/errors.ts';
import { controlQueue, hostQueue } from '../../workflows/contract.ts';
import type { ReadFailure, StoryEvent } from './events.ts';
import type { StoryFailure, StoryWork } from './story.ts';

/** What verbs are in the story: the step that each belongs to, and which of them undo something. */
export interface Verbs {
  steps: Partial<Record<string, NonNullable<StoryWork['step']>>>;
  undoing: readonly string[];
}

/** Of more failures than twice this, the middle is left out. */
const keptAtEachEnd = 10;

type Scheduled = Extract<StoryEvent, { kind: 'scheduled' }>;

/** Finds the piece of work that an event belongs to. */
export class Works {
  /** In the order in which they began. */
  readonly all: StoryWork[] = [];
  readonly #byEvent = new Map<string, StoryWork>();
  readonly #startedAt = new Map<string, string>();
  readonly #verbs: Verbs;

  constructor(verbs: Verbs) {
    this.#verbs = verbs;
  }

  /** The activity of `event` was scheduled: a new piece of work, or another try of one. */
  schedule(event: Scheduled): { work: StoryWork; isNew: boolean } {
    const host = event.queue === controlQueue ? 'control' : event.queue.replace(hostQueue(''), '');
    const what = event.summary.replace(`${host}: `, '').replace(/ \(attempt \d+\)$/u, '');
    const again = this.all.findLast(
      (one) =>
        one.verb === event.verb &&
        one.host === host &&
        one.what === what &&
        (one.state === 'retrying' || one.state === 'given-up'),
    );
    const work = again ?? this.#begin({ verb: event.verb, host, what, startedAt: event.at });
    work.attempts += 1;
    work.state = 'waiting';
    this.#byEvent.set(event.id, work);
    this.#startedAt.set(event.id, event.at);
    return { work, isNew: again === undefined };
  }

  of(event: { id: string }): StoryWork | undefined {
    return this.#byEvent.get(event.id);
  }

  /** A failed try; gives the failure as a person can act on it. */
  fail(work: StoryWork, at: string, failure: ReadFailure): StoryFailure {
    const failed = { at, fault: faultOf(work, failure) };
    work.state = mayGoOn.includes(failed.fault.handling) ? 'retrying' : 'given-up';
    work.endedAt = at;
    work.failures.push(failed);
    if (work.failures.length > 2 * keptAtEachEnd) work.failures.splice(keptAtEachEnd, 1);
    return failed;
  }

  #begin(named: Pick<StoryWork, 'verb' | 'host' | 'what' | 'startedAt'>): StoryWork {
    const step = this.#verbs.steps[named.verb];
    const work: StoryWork = {
      ...(step === undefined ? {} : { step }),
      ...named,
      undo: this.#verbs.undoing.includes(named.verb),
      state: 'waiting',
      attempts: 0,
      failures: [],
    };
    this.all.push(work);
    return work;
  }
}

/** What a move tries again, by itself or at a person's word. */
const mayGoOn: readonly Handling[] = [
  Handling.transient,
  Handling.outcomeUnknown,
  Handling.needsOperator,
];

/** The same words that the move itself has for it, so that a report and its story agree. */
function faultOf({ host, what }: StoryWork, failure: ReadFailure): Fault {
  if (failure.kind === 'fault') return failure.fault;
  if (failure.kind === 'unforeseen') {
    return {
      code: 'internal-error',
      handling: Handling.needsOperator,
      message: `${what} on ${host} failed: ${failure.message}`,
      remedy: `This is a defect of vmferry: see the worker's log on ${host}, then \`vmferry retry\` or \`vmferry cancel\`.`,
      host,
    };
  }
  const [code, message] = {
    'schedule-to-start': ['worker-unreachable', `no worker of ${host} took up: ${what}`],
    heartbeat: ['worker-lost', `the worker of ${host} stopped answering during: ${what}`],
    other: ['step-timed-out', `${what} on ${host} took longer than its limit`],
  }[failure.type] as [string, string];
  const remedy = `It goes on by itself once the worker answers; on ${host} see \`systemctl status vmferry-host\`.`;
  return { code, handling: Handling.transient, message, remedy, host };
}
