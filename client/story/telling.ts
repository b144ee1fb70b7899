/** What every story is made of: events become pieces of work, orders, phases, and what failed first. */
import type { Concern } from '../../domain/concerns.ts';
import type { GivenOrder } from '../../domain/pipeline.ts';
import type { StoryEvent } from './events.ts';
import { Place } from './place.ts';
import type { PlaceAnswer } from './place.ts';
import type { StoryEnd, StoryMoment, StoryWork, Told } from './story.ts';
import { Works } from './works.ts';
import type { Verbs } from './works.ts';

/** Histories are far shorter; what is longer is told from its beginning. */
const mostMoments = 5000;

/** Nothing hangs on what comes of them: facts read ahead, a cap that is followed, places that are given back. */
const asides: readonly string[] = ['hostFacts', 'uploadShare', 'releaseMove'];

/** How a story begins. */
export interface Beginning {
  /** What the person is told that could not go on. */
  noun: 'move' | 'import';
  vm: { name: string; uuid: string };
  source: string;
  target: string;
  operator: string;
  running: boolean;
  startedAt: string;
  verbs: Verbs;
}

/** Parts of the answers of verbs, each looked at before it is used. */
export interface Answer extends PlaceAnswer {
  concerns?: Concern[];
  bytesCopied?: number;
  bytesRecopied?: number;
  forced?: boolean;
}

type Ended = Extract<StoryEvent, { kind: 'ended' }>;

/** Hears the events one after the other, and tells what came of them. */
export abstract class Telling<AnyPhase extends string, Report extends { phase: AnyPhase }> {
  protected readonly place: Place;
  protected concerns: Concern[] = [];
  protected vm: Beginning['vm'];
  readonly #beginning: Beginning;
  readonly #works: Works;
  readonly #timeline: StoryMoment<AnyPhase>[] = [];
  #phase = 'planned' as AnyPhase;
  #parkedIn: AnyPhase | undefined;
  #firstError: Told<AnyPhase, Report>['firstError'];
  #ended: Ended | undefined;
  #cancelSaid: string | undefined;
  /** The first failure of the workflow's own code since it last went on. */
  #stuck: string | undefined;

  constructor(beginning: Beginning) {
    this.#beginning = beginning;
    const { vm, source, target, running, startedAt, operator, verbs } = beginning;
    this.vm = vm;
    this.#works = new Works(verbs);
    this.place = new Place({ source, target, running });
    this.#timeline.push({ kind: 'asked', at: startedAt, by: operator });
  }

  /** A host was asked to do this: from now on it may have happened. */
  protected abstract begins(work: StoryWork): void;
  /** A host has done it, and said this. */
  protected abstract ends(work: StoryWork, said: Answer, at: string): void;

  hear(event: StoryEvent): void {
    switch (event.kind) {
      case 'asked':
        break;
      case 'phase':
        this.#enter(event.phase as AnyPhase, event.at);
        break;
      case 'order':
        this.#order(event.order, event.by, event.at);
        break;
      case 'cancelling':
        this.#cancelSaid = event.by;
        break;
      case 'cancel-asked':
        this.#order('cancel', this.#cancelSaid ?? event.by, event.at);
        break;
      case 'stuck':
        if (this.#stuck === undefined) this.#push({ ...event, kind: 'stuck' });
        this.#stuck ??= event.message;
        break;
      case 'unstuck':
        this.#stuck = undefined;
        break;
      case 'ended':
        this.#end(event);
        break;
      case 'scheduled':
      case 'begun':
      case 'done':
      case 'failed':
      case 'dropped':
        this.#work(event);
        break;
    }
  }

  told({ id, runId, nowMs }: { id: string; runId: string; nowMs: number }): Told<AnyPhase, Report> {
    const { source, target, operator, startedAt } = this.#beginning;
    const report = this.#report();
    const untilMs = this.#ended === undefined ? nowMs : Date.parse(this.#ended.at);
    const { vmOn, vmRunning, targetHasRun, downNow } = this.place;
    const downMs = this.place.downMs(untilMs);
    const end = this.#ended?.how;
    const fault = this.#fault();
    return {
      ...{ id, runId, vm: this.vm, source, target, operator, phase: this.#phase },
      ...(this.#parkedIn === undefined ? {} : { parkedIn: this.#parkedIn }),
      ...(end === undefined ? {} : { end }),
      startedAt,
      ...(this.#ended === undefined ? {} : { endedAt: this.#ended.at }),
      ...{ vmOn, vmRunning, targetHasRun },
      ...(downMs === undefined ? {} : { downMs }),
      ...{ downNow, concerns: this.concerns },
      ...(this.#firstError === undefined ? {} : { firstError: this.#firstError }),
      ...(fault === undefined ? {} : { fault }),
      failedUndo: this.#failedUndo(),
      ...(fromOutside(end) ? { leftovers: this.place.leftovers } : {}),
      timeline: this.#timeline,
      ...(report === undefined ? {} : { report }),
    };
  }

  #push(moment: StoryMoment<AnyPhase>): void {
    if (this.#timeline.length < mostMoments) this.#timeline.push(moment);
  }

  #order(order: GivenOrder['order'], by: string, at: string): void {
    this.#push({ kind: 'order', at, order, by });
  }

  #enter(phase: AnyPhase, at: string): void {
    this.#parkedIn = phase === 'parked' ? this.#phase : undefined;
    this.#phase = phase;
    this.#push({ kind: 'phase', at, phase });
  }

  #work(event: Extract<StoryEvent, { id: string }>): void {
    if (event.kind === 'scheduled') {
      if (asides.includes(event.verb)) return;
      const { work, isNew } = this.#works.schedule(event);
      // The moment is the work itself, which goes on to change.
      if (isNew) this.#push(Object.assign(work, { kind: 'work' as const, at: event.at }));
      this.begins(work);
      return;
    }
    const work = this.#works.of(event);
    if (work === undefined) return;
    switch (event.kind) {
      case 'begun':
        work.state = 'running';
        break;
      case 'dropped':
        work.state = 'cancelled';
        work.endedAt = event.at;
        break;
      case 'failed': {
        const failure = this.#works.fail(work, event.at, event.failure);
        this.#firstError ??= { ...failure, host: work.host, what: work.what };
        break;
      }
      case 'done':
        work.state = 'done';
        work.endedAt = event.at;
        this.#read(work, event.result, event.at);
        break;
    }
  }

  /** What the answer of a verb tells. */
  #read(work: StoryWork, result: unknown, at: string): void {
    const said = (typeof result === 'object' && result !== null ? result : {}) as Answer;
    if (typeof said.bytesCopied === 'number') work.bytes = said.bytesCopied;
    if (typeof said.bytesRecopied === 'number') work.bytesRecopied = said.bytesRecopied;
    this.ends(work, said, at);
  }

  #end(event: Ended): void {
    this.#ended = event;
    for (const work of this.#works.all) {
      if (work.state === 'retrying') work.state = 'given-up';
      if (work.state === 'running' || work.state === 'waiting') work.state = 'cancelled';
    }
    const { at, how, by, reason } = event;
    this.#push({
      kind: 'ended',
      at,
      how,
      ...(by === undefined || by === '' ? {} : { by }),
      ...(reason === undefined || reason === '' ? {} : { reason }),
    });
  }

  #report(): Report | undefined {
    const result = this.#ended?.result;
    return typeof result === 'object' && result !== null && 'phase' in result
      ? (result as Report)
      : undefined;
  }

  #fault(): Told<AnyPhase, Report>['fault'] {
    if (this.#ended?.fault !== undefined) return this.#ended.fault;
    if (this.#ended !== undefined) return undefined;
    if (this.#stuck !== undefined) {
      return {
        code: 'workflow-stuck',
        handling: 'needs-operator',
        message: `the ${this.#beginning.noun} itself cannot go on: ${this.#stuck}`,
        remedy:
          'Nothing is lost: it goes on once a control worker of the right version, with the right keys, runs. See its log.',
      };
    }
    const stopped = this.#works.all.findLast(
      ({ state }) => state === 'retrying' || state === 'given-up',
    );
    return stopped?.failures.at(-1)?.fault;
  }

  #failedUndo(): Told<AnyPhase, Report>['failedUndo'] {
    return this.#works.all.flatMap(({ undo, host, what, state, failures }) => {
      const fault = failures.at(-1)?.fault;
      return undo && state !== 'done' && fault !== undefined ? [{ host, what, fault }] : [];
    });
  }
}

/** Whether nothing of the workflow's own could run any more, so that what stood on the hosts still stands. */
const fromOutside = (end: StoryEnd | undefined): boolean =>
  end === 'terminated' || end === 'timed-out' || end === 'other';
