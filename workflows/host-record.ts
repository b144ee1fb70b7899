import {
  ApplicationFailure,
  condition,
  defineSignal,
  defineUpdate,
  getExternalWorkflowHandle,
  log,
  proxyActivities,
  setHandler,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';
import type { ImportActivities } from '../activities/import/contract.ts';
import type { BandwidthOrder, UpkeepActivities } from '../activities/upkeep.ts';
import { capsToApply, limitsInForce } from '../domain/hosts/bandwidth.ts';
import {
  conversionRefusedBecause,
  newConversion,
  termsToApply,
  withConversionChange,
} from '../domain/hosts/conversion.ts';
import type {
  ConversionOrder,
  ConversionState,
  ConversionTerms,
} from '../domain/hosts/conversion.ts';
import type { HostReading } from '../domain/hosts/reading.ts';
import { refusedBecause, withChange } from '../domain/hosts/settings.ts';
import type { HostOrder } from '../domain/hosts/settings.ts';
import { slotAnswer, withoutLingering, withoutSlot, withSlot } from '../domain/hosts/slots.ts';
import type { SlotAnswer, SlotRelease, SlotWish } from '../domain/hosts/slots.ts';
import { newHost } from '../domain/hosts/state.ts';
import type { HostState } from '../domain/hosts/state.ts';
import type { HostAnnouncement, HostInput, HostLimitsNews } from './contract.ts';
import { hostQueue, hostUpdateNames, isMoveId, memoNames, signalNames } from './contract.ts';
import { faultOf } from './faults.ts';

const announceSignal = defineSignal<[HostAnnouncement]>(signalNames.announce);
const hostLimitsSignal = defineSignal<[HostLimitsNews]>(signalNames.hostLimits);
const readingSignal = defineSignal<[HostReading]>(signalNames.reading);
const setUpdate = defineUpdate<HostState, [HostOrder]>(hostUpdateNames.set);
const setConversionUpdate = defineUpdate<HostState, [ConversionOrder]>(
  hostUpdateNames.setConversion,
);
const reserveUpdate = defineUpdate<SlotAnswer, [SlotWish]>(hostUpdateNames.reserve);
const releaseUpdate = defineUpdate<undefined, [SlotRelease]>(hostUpdateNames.release);

/** Well below Temporal's 2,000 updates a run; some 3,000 events. */
const mostMessages = 500;
/** A worker that does not take its caps over is told again with its next facts, not in a loop. */
const capsPickUpMs = 15_000;

/** What one run of a host's entity hands to the next. */
export interface RememberedHost extends HostInput {
  announcement?: HostAnnouncement;
  state?: HostState;
}

const now = (): string => new Date().toISOString();

/** What a host's entity knows, changed by what it is told; the rules are in `domain/hosts/`. */
export class HostRecord {
  readonly #input: RememberedHost;
  #announcement: HostAnnouncement | undefined;
  #state: HostState | undefined;
  #messages = 0;
  /** The state that the memo has. */
  #shown: HostState | undefined;
  #capsDue = false;
  #termsDue = false;

  constructor(input: RememberedHost) {
    this.#input = input;
    this.#announcement = input.announcement;
    this.#state = input.state;
    this.#shown = input.state;
    setHandler(announceSignal, (said) => this.#announced(said));
    setHandler(readingSignal, (reading) => this.#read(reading));
    setHandler(setUpdate, (order) => this.#set(order), {
      validator: (order: HostOrder): void => this.#refuseChange(order),
    });
    setHandler(setConversionUpdate, (order) => this.#setConversion(order), {
      validator: (order: ConversionOrder): void => this.#refuseConversion(order),
    });
    setHandler(reserveUpdate, (wish) => this.#reserve(wish), {
      validator: (wish: SlotWish): void => this.#refuseWish(wish),
    });
    setHandler(releaseUpdate, (release) => this.#release(release));
    // A new run begins with an empty memo.
    if (this.#announcement !== undefined)
      upsertMemo({ [memoNames.announcement]: this.#announcement });
    if (this.#state !== undefined) upsertMemo({ [memoNames.hostState]: this.#state });
  }

  /** Keeps the memo and the worker's caps up to the state, until this run has seen enough. */
  async keep(): Promise<RememberedHost> {
    await Promise.all([
      this.#keepMemo(),
      this.#keepCaps(),
      this.#keepTerms(),
      this.#keepMovesToLimits(),
    ]);
    const { cluster, name } = this.#input;
    return {
      cluster,
      name,
      ...(this.#announcement === undefined ? {} : { announcement: this.#announcement }),
      ...(this.#state === undefined ? {} : { state: this.#state }),
    };
  }

  get #known(): HostState {
    return this.#state ?? newHost;
  }

  get #isFull(): boolean {
    return this.#messages >= mostMessages || workflowInfo().continueAsNewSuggested;
  }

  async #keepMemo(): Promise<void> {
    for (;;) {
      await condition(() => this.#state !== this.#shown || this.#isFull);
      if (this.#isFull) return;
      this.#shown = this.#state;
      upsertMemo({ [memoNames.hostState]: this.#state });
    }
  }

  async #keepCaps(): Promise<void> {
    for (;;) {
      await condition(() => this.#capsDue || this.#isFull);
      if (this.#isFull) return;
      this.#capsDue = false;
      const caps = capsToApply(this.#known);
      if (caps === undefined) continue;
      const applied = await applyCaps(this.#input.name, caps);
      const { bandwidthTrouble: _trouble, ...rest } = this.#known;
      this.#state = { ...rest, ...applied };
    }
  }

  /** The same of what people set of it as a conversion host. */
  async #keepTerms(): Promise<void> {
    for (;;) {
      await condition(() => this.#termsDue || this.#isFull);
      if (this.#isFull) return;
      this.#termsDue = false;
      const terms = termsToApply(this.#known.conversion);
      if (terms === undefined) continue;
      const applied = await applyTerms(this.#input.name, terms);
      const { conversion = newConversion } = this.#known;
      const { trouble: _trouble, ...rest } = conversion;
      this.#state = { ...this.#known, conversion: { ...rest, ...applied } };
    }
  }

  /** Moves under way reckon with what the host takes now, not with what it took when they came. */
  async #keepMovesToLimits(): Promise<void> {
    let told = this.#limitsInWords;
    for (;;) {
      await condition(() => this.#limitsInWords !== told || this.#isFull);
      if (this.#limitsInWords === told) return;
      told = this.#limitsInWords;
      const { name: host } = this.#input;
      const { movesIn, movesOut } = this.#known;
      const moves = new Set([...movesIn, ...movesOut].map(({ workflowId }) => workflowId));
      const news = { host, limits: limitsInForce(this.#known) };
      await Promise.all([...moves].filter(isMoveId).map((id) => tellMove(id, news)));
    }
  }

  get #limitsInWords(): string {
    return JSON.stringify(limitsInForce(this.#known));
  }

  #become(state: HostState): void {
    this.#messages += 1;
    this.#state = state;
  }

  #announced(said: HostAnnouncement): void {
    this.#messages += 1;
    this.#announcement = said;
    upsertMemo({ [memoNames.announcement]: said });
    this.#forgetTerms();
  }

  /** A worker that came up anew may have lost what the one before it held to. */
  #forgetTerms(): void {
    const { conversion } = this.#known;
    if (conversion === undefined) return;
    const { inForce: _inForce, ...rest } = conversion;
    this.#state = { ...this.#known, conversion: rest };
    this.#termsDue = true;
  }

  #read(reading: HostReading): void {
    // The worker's word on its caps is newer than the answer to the last order.
    const { bandwidth: _old, bandwidthTrouble: _trouble, ...rest } = this.#known;
    this.#become({ ...withoutLingering(rest, { nowMs: Date.now(), all: true }), reading });
    // It is there now: a good time for what it did not take over when it was set.
    this.#capsDue = true;
    this.#termsDue = true;
  }

  #set({ operator, ...change }: HostOrder): HostState {
    const settings = withChange(this.#known.settings, change);
    this.#become({ ...this.#known, settings, changed: { operator, at: now() } });
    this.#capsDue = true;
    return this.#known;
  }

  #refuseChange(order: HostOrder): void {
    const reasons = refusedBecause(this.#known.settings, order);
    if (reasons.length > 0) throw refusal('host-change-refused', reasons.join('; '));
  }

  #setConversion(order: ConversionOrder): HostState {
    const { conversion = newConversion } = this.#known;
    this.#become({ ...this.#known, conversion: withConversionChange(conversion, order, now()) });
    this.#termsDue = true;
    return this.#known;
  }

  #refuseConversion(order: ConversionOrder): void {
    const reasons = conversionRefusedBecause(order);
    if (reasons.length > 0) throw refusal('host-change-refused', reasons.join('; '));
  }

  #reserve(wish: SlotWish): SlotAnswer {
    const answer = this.#answer(wish);
    if (answer.granted) this.#become(withSlot(this.#withoutOldLingering, wish, now()));
    return answer;
  }

  #release(release: SlotRelease): undefined {
    this.#become(withoutSlot(this.#known, release, now()));
  }

  /** Refused before it is accepted it leaves no event: moves that wait ask again and again. */
  #refuseWish(wish: SlotWish): void {
    const answer = this.#answer(wish);
    if (answer.granted) return;
    const reasons = answer.refusals.map(({ reason }) => reason).join('; ');
    throw refusal('host-refused', reasons, answer);
  }

  #answer(wish: SlotWish): SlotAnswer {
    return slotAnswer(this.#input.name, this.#withoutOldLingering, wish);
  }

  get #withoutOldLingering(): HostState {
    return withoutLingering(this.#known, { nowMs: Date.now() });
  }
}

/** One that is over has no use for it, and one that is yet to begin asks for itself. */
async function tellMove(id: string, news: HostLimitsNews): Promise<void> {
  try {
    await getExternalWorkflowHandle(id).signal(hostLimitsSignal, news);
  } catch (error) {
    log.info('a move did not hear of changed limits', { id, error: String(error) });
  }
}

/** Tells the host's worker what to hold to as a conversion host. */
async function applyTerms(
  name: string,
  terms: ConversionTerms,
): Promise<Pick<ConversionState, 'inForce' | 'trouble'>> {
  const what = 'hold to what was set of it as a conversion host';
  try {
    return { inForce: await workerOf<ImportActivities>(name, what).applyConversion(terms) };
  } catch (error) {
    return { trouble: faultOf(error, { host: name, what }).message };
  }
}

/** Tells the host's worker its caps; what came of it is part of the state. */
async function applyCaps(
  name: string,
  caps: BandwidthOrder,
): Promise<Pick<HostState, 'bandwidth' | 'bandwidthTrouble'>> {
  const what = 'apply its limits';
  try {
    return { bandwidth: await workerOf<UpkeepActivities>(name, what).applyLimits(caps) };
  } catch (error) {
    return { bandwidthTrouble: faultOf(error, { host: name, what }).message };
  }
}

const workerOf = <A extends object>(name: string, what: string) =>
  proxyActivities<A>({
    taskQueue: hostQueue(name),
    scheduleToStartTimeout: capsPickUpMs,
    startToCloseTimeout: '10s',
    retry: { maximumAttempts: 2 },
    summary: `${name}: ${what}`,
  });

const refusal = (type: string, message: string, detail?: SlotAnswer): ApplicationFailure =>
  ApplicationFailure.create({
    type,
    message,
    nonRetryable: true,
    ...(detail === undefined ? {} : { details: [detail] }),
  });
