/** Where a VM lives, whether it runs and how long it was down, worked out from what the hosts have done. */
import type { StoryLeftovers, StoryWork } from './story.ts';

/** What the answers of the verbs that matter here say. */
export interface PlaceAnswer {
  wasRunning?: boolean;
  downForMs?: number;
  upForMs?: number;
  running?: boolean;
}

/** Follows one VM through the work of one move. */
export class Place {
  vmOn: string;
  vmRunning: boolean;
  targetHasRun = false;
  readonly leftovers: StoryLeftovers = {
    sourceGuarded: false,
    targetVolumes: false,
    exports: false,
  };
  readonly #source: string;
  readonly #target: string;
  /** A live migration was begun. */
  #mayHaveLeft = false;
  #downSinceMs: number | undefined;
  #downMs: number | undefined;

  constructor(start: { source: string; target: string; running: boolean }) {
    this.#source = start.source;
    this.#target = start.target;
    this.vmOn = start.source;
    this.vmRunning = start.running;
  }

  get downNow(): boolean {
    return this.#downSinceMs !== undefined;
  }

  /** Over the whole move, ms, up to `untilMs`; undefined if the guest never was down. */
  downMs(untilMs: number): number | undefined {
    if (this.#downSinceMs === undefined) return this.#downMs;
    return (this.#downMs ?? 0) + Math.max(0, untilMs - this.#downSinceMs);
  }

  /** A host was asked to do this: from now on it may have happened. */
  begins({ verb }: StoryWork): void {
    if (verb === 'checkSource' || verb === 'ensureExport') this.leftovers.exports = true;
    if (verb === 'reserveTarget') this.leftovers.targetVolumes = true;
    if (verb === 'guardSource') this.leftovers.sourceGuarded = true;
    if (verb === 'releaseSource') this.vmOn = '';
    if (verb === 'ensureStarted') this.targetHasRun = true;
    if (verb === 'moveLive') this.#mayHaveLeft = true;
  }

  /** A host has done it; `at` by the server's clock, which all times of a history share. */
  ends({ verb }: StoryWork, said: PlaceAnswer, at: string): void {
    const atMs = Date.parse(at);
    switch (verb) {
      case 'ensureStopped':
        this.vmRunning = false;
        if (said.wasRunning === true) this.#downSinceMs ??= atMs - (said.downForMs ?? 0);
        break;
      case 'takeOwnership':
        this.vmOn = this.#target;
        // A guest that was not stopped has come over by itself.
        if (this.#mayHaveLeft && this.vmRunning) this.targetHasRun = true;
        break;
      case 'ensureStarted':
        this.vmRunning = true;
        this.#up(atMs - (said.upForMs ?? 0));
        break;
      case 'revokeTarget':
        this.vmOn = '';
        if (this.vmRunning) this.#downSinceMs ??= atMs;
        this.vmRunning = false;
        break;
      case 'restoreSource':
        this.vmOn = this.#source;
        this.vmRunning = said.running === true;
        this.leftovers.sourceGuarded = false;
        if (this.vmRunning) this.#up(atMs);
        break;
      case 'clearTarget':
        this.leftovers.targetVolumes = false;
        break;
      case 'closeExports':
        this.leftovers.exports = false;
        break;
    }
  }

  #up(atMs: number): void {
    if (this.#downSinceMs === undefined) return;
    this.#downMs = (this.#downMs ?? 0) + Math.max(0, atMs - this.#downSinceMs);
    this.#downSinceMs = undefined;
  }
}
