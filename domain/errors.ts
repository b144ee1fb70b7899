/**
 * What vmferry does when a step fails. The class of an error, not its text, decides.
 *
 * - `transient`: unreachable, busy, restarted: retry with back-off.
 * - `outcome-unknown`: the reply to a mutation was lost: read the world back, then retry.
 * - `needs-operator`: no space, authentication, trust changed: park, wait for a person.
 * - `permanent`: invalid request, unsupported, refused by a check: undo and end.
 * - `unsafe`: integrity, source changed, risk of a second copy: stop, leave the source untouched.
 * - `cancelled`: somebody asked for it: compensate.
 */
export const Handling = {
  transient: 'transient',
  outcomeUnknown: 'outcome-unknown',
  needsOperator: 'needs-operator',
  permanent: 'permanent',
  unsafe: 'unsafe',
  cancelled: 'cancelled',
} as const;
export type Handling = (typeof Handling)[keyof typeof Handling];

/** Everything a person needs to act on a failure; crosses process borders as plain data. */
export interface Fault {
  /** Stable, kebab-case: `target-disk-full`, `vm-not-found`. */
  code: string;
  handling: Handling;
  /** What failed, naming the thing. */
  message: string;
  /** What to do next, as a sentence. */
  remedy: string;
  /** The host it happened on, if any. */
  host?: string;
}

export interface FaultOptions {
  code: string;
  message: string;
  remedy: string;
  host?: string;
  cause?: unknown;
}

/** The one error class of vmferry; mapped to a Temporal failure at the activity boundary. */
export class VmFerryError extends Error implements Fault {
  override readonly name = 'VmFerryError';
  readonly code: string;
  readonly handling: Handling;
  readonly remedy: string;
  readonly host?: string;

  constructor(handling: Handling, options: FaultOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.handling = handling;
    this.code = options.code;
    this.remedy = options.remedy;
    if (options.host !== undefined) this.host = options.host;
  }

  toFault(): Fault {
    const { code, handling, message, remedy } = this;
    return this.host === undefined
      ? { code, handling, message, remedy }
      : { code, handling, message, remedy, host: this.host };
  }
}

const maker = (handling: Handling) => (options: FaultOptions) =>
  new VmFerryError(handling, options);

/** Retry: the world is expected to heal by itself. */
export const transient = maker(Handling.transient);
/** A mutation's reply was lost: look at the world before anything else. */
export const outcomeUnknown = maker(Handling.outcomeUnknown);
/** Only a person can mend it; the move parks and waits. */
export const needsOperator = maker(Handling.needsOperator);
/** It will never work as asked; undo and end. */
export const permanent = maker(Handling.permanent);
/** Going on could cost data or start a second copy. */
export const unsafe = maker(Handling.unsafe);
/** Somebody asked for the end. */
export const cancelled = maker(Handling.cancelled);
