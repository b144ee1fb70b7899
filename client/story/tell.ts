/** From the events of a move to its story: who asked, what was done where, what failed, how it stands. */
import { Phase } from '../../domain/move.ts';
import type { GivenOrder, MoveReport } from '../../domain/move.ts';
import type { Concern } from '../../domain/concerns.ts';
import type { MigrateVmInput, MoveLiveResult } from '../../workflows/contract.ts';
import type { StoryEvent } from './events.ts';
import { Place } from './place.ts';
import type { Story, StoryEnd, StoryMoment, StoryWork } from './story.ts';
import { Works } from './works.ts';

/** Histories of moves are far shorter; what is longer is told from its beginning. */
const mostMoments = 5000;

/**
 * Tells the story; `nowMs` is for what still goes on. `undefined` where the events are none of a move's, or its
 * beginning is missing.
 */
export function tellStory(
  id: string,
  events: readonly StoryEvent[],
  nowMs: number,
): Story | undefined {
  const [first] = events;
  if (first?.kind !== 'asked') return undefined;
  const input = first.input as MigrateVmInput;
  const teller = new Teller(input, first.at);
  for (const event of events.slice(1)) teller.hear(event);
  return teller.story({ id, runId: first.runId, nowMs });
}

class Teller {
  readonly #input: MigrateVmInput;
  readonly #startedAt: string;
  readonly #works = new Works();
  readonly #place: Place;
  readonly #timeline: StoryMoment[] = [];
  readonly #concerns: Concern[] = [];
  #phase: Phase = Phase.planned;
  #parkedIn: Phase | undefined;
  #firstError: Story['firstError'];
  #ended: Extract<StoryEvent, { kind: 'ended' }> | undefined;
  #cancelSaid: string | undefined;
  /** The first failure of the workflow's own code since it last went on. */
  #stuck: string | undefined;

  constructor(input: MigrateVmInput, startedAt: string) {
    this.#input = input;
    this.#startedAt = startedAt;
    const { from, to, operator } = input.request;
    this.#place = new Place({ source: from, target: to, running: input.running });
    this.#timeline.push({ kind: 'asked', at: startedAt, by: operator });
  }

  hear(event: StoryEvent): void {
    switch (event.kind) {
      case 'asked':
        break;
      case 'phase':
        this.#enter(event.phase as Phase, event.at);
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

  story({ id, runId, nowMs }: { id: string; runId: string; nowMs: number }): Story {
    const { vm, request } = this.#input;
    const report = this.#report();
    const untilMs = this.#ended === undefined ? nowMs : Date.parse(this.#ended.at);
    const { vmOn, vmRunning, targetHasRun, downNow } = this.#place;
    const downMs = this.#place.downMs(untilMs);
    const end = this.#ended?.how;
    const fault = this.#fault();
    return {
      id,
      runId,
      vm,
      source: request.from,
      target: request.to,
      operator: request.operator,
      phase: this.#phase,
      ...(this.#parkedIn === undefined ? {} : { parkedIn: this.#parkedIn }),
      ...(end === undefined ? {} : { end }),
      startedAt: this.#startedAt,
      ...(this.#ended === undefined ? {} : { endedAt: this.#ended.at }),
      vmOn,
      vmRunning,
      targetHasRun,
      ...(downMs === undefined ? {} : { downMs }),
      downNow,
      concerns: this.#concerns,
      ...(this.#firstError === undefined ? {} : { firstError: this.#firstError }),
      ...(fault === undefined ? {} : { fault }),
      failedUndo: this.#failedUndo(),
      ...(fromOutside(end) ? { leftovers: this.#place.leftovers } : {}),
      timeline: this.#timeline,
      ...(report === undefined ? {} : { report }),
    };
  }

  #push(moment: StoryMoment): void {
    if (this.#timeline.length < mostMoments) this.#timeline.push(moment);
  }

  #order(order: GivenOrder['order'], by: string, at: string): void {
    this.#push({ kind: 'order', at, order, by });
  }

  #enter(phase: Phase, at: string): void {
    this.#parkedIn = phase === Phase.parked ? this.#phase : undefined;
    this.#phase = phase;
    this.#push({ kind: 'phase', at, phase });
  }

  #work(event: Extract<StoryEvent, { id: string }>): void {
    if (event.kind === 'scheduled') {
      const { work, isNew } = this.#works.schedule(event);
      // The moment is the work itself, which goes on to change.
      if (isNew) this.#push(Object.assign(work, { kind: 'work' as const, at: event.at }));
      this.#place.begins(work);
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
    if (said.concerns !== undefined) this.#concerns.push(...said.concerns);
    if (typeof said.bytesCopied === 'number') work.bytes = said.bytesCopied;
    if (typeof said.bytesRecopied === 'number') work.bytesRecopied = said.bytesRecopied;
    if (work.verb === 'moveLive' && Array.isArray(said.steps)) {
      const { held: _, ...run } = said as MoveLiveResult;
      work.live = run;
    }
    if (work.verb === 'ensureStopped') {
      work.shutdown = said.forced
        ? 'forced'
        : said.wasRunning === false
          ? 'already-off'
          : 'graceful';
    }
    this.#place.ends(work, said, at);
  }

  #end(event: Extract<StoryEvent, { kind: 'ended' }>): void {
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

  #report(): MoveReport | undefined {
    const result = this.#ended?.result;
    return typeof result === 'object' && result !== null && 'phase' in result
      ? (result as MoveReport)
      : undefined;
  }

  #fault(): Story['fault'] {
    if (this.#ended?.fault !== undefined) return this.#ended.fault;
    if (this.#ended !== undefined) return undefined;
    if (this.#stuck !== undefined) {
      return {
        code: 'workflow-stuck',
        handling: 'needs-operator',
        message: `the move itself cannot go on: ${this.#stuck}`,
        remedy:
          'Nothing is lost: it goes on once a control worker of the right version, with the right keys, runs. See its log.',
      };
    }
    const stopped = this.#works.all.findLast(
      ({ state }) => state === 'retrying' || state === 'given-up',
    );
    return stopped?.failures.at(-1)?.fault;
  }

  #failedUndo(): Story['failedUndo'] {
    return this.#works.all.flatMap(({ undo, host, what, state, failures }) => {
      const fault = failures.at(-1)?.fault;
      return undo && state !== 'done' && fault !== undefined ? [{ host, what, fault }] : [];
    });
  }
}

/** Parts of the answers of several verbs, each looked at before it is used. */
interface Answer extends Partial<MoveLiveResult> {
  concerns?: Concern[];
  bytesCopied?: number;
  bytesRecopied?: number;
  forced?: boolean;
  wasRunning?: boolean;
  downForMs?: number;
  upForMs?: number;
  running?: boolean;
}

/** Whether nothing of the move's own could run any more, so that what stood on the hosts still stands. */
const fromOutside = (end: StoryEnd | undefined): boolean =>
  end === 'terminated' || end === 'timed-out' || end === 'other';
