/** From the events of a move to its story: who asked, what was done where, what failed, how it stands. */
import type { MoveReport, Phase } from '../../domain/move.ts';
import type { MigrateVmInput, MoveLiveResult } from '../../workflows/contract.ts';
import type { StoryEvent } from './events.ts';
import type { Story, StoryWork } from './story.ts';
import { Telling } from './telling.ts';
import type { Answer } from './telling.ts';
import type { Verbs } from './works.ts';

/**
 * Tells the story; `nowMs` is for what still goes on. `undefined` where the events are none of a move's, or its
 * beginning is missing.
 */
export function tellStory(
  id: string,
  events: readonly StoryEvent[],
  nowMs: number,
): Story | undefined {
  const [first, ...others] = events;
  if (first?.kind !== 'asked') return undefined;
  const { vm, running, request } = first.input as MigrateVmInput;
  const { from: source, to: target, operator } = request;
  const startedAt = first.at;
  const noun = 'move';
  const teller = new MoveTelling({ noun, vm, source, target, operator, running, startedAt, verbs });
  for (const event of others) teller.hear(event);
  return teller.told({ id, runId: first.runId, nowMs });
}

const steps: Verbs['steps'] = {
  checkSource: 'check',
  checkTarget: 'check',
  reserveTarget: 'reserve-target',
  reserveLive: 'reserve-target',
  guardSource: 'guard-source',
  admitLive: 'live',
  moveLive: 'live',
  liveView: 'live',
  tuneLive: 'live',
  settleLive: 'live',
  awaitArrival: 'live',
  settleArrival: 'live',
  ensureStopped: 'stop-source',
  ensureExport: 'export',
  offerState: 'export',
  ensureCopied: 'copy',
  hashDisk: 'verify',
  ensureDefined: 'define',
  ensureState: 'define',
  releaseSource: 'cut-over',
  takeOwnership: 'cut-over',
  ensureStarted: 'start',
  ensureHealthy: 'start',
  settleTarget: 'commit',
  removeSource: 'commit',
};

const undoing = ['endLive', 'withdrawLive', 'revokeTarget', 'clearTarget', 'restoreSource'];
const verbs: Verbs = { steps, undoing };

class MoveTelling extends Telling<Phase, MoveReport> {
  protected override begins(work: StoryWork): void {
    this.place.begins(work);
  }

  protected override ends(
    work: StoryWork,
    said: Answer & Partial<MoveLiveResult>,
    at: string,
  ): void {
    if (said.concerns !== undefined) this.concerns.push(...said.concerns);
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
    this.place.ends(work, said, at);
  }
}
