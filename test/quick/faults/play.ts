/** Plays one move with one fault and says how it ended, and what is wrong with what it left. */
import type { MoveReport, MoveRequest } from '../../../domain/move.ts';
import type { Engine } from './engine.ts';
import { Stage } from './stage.ts';
import type { HostName, Strike, Verb } from './stage.ts';

export interface Played {
  report: MoveReport;
  /** Empty if every invariant holds. */
  unsound: string[];
  /** The phases that it was parked in. */
  parkedIn: string[];
  log: string;
  steps: Map<string, number>;
}

export interface PlayOptions {
  strikes?: Strike[];
  request?: Partial<MoveRequest>;
  shared?: boolean;
  /** Given once the move awaits a commit. */
  verdict?: 'commit' | 'rollback';
}

/** A person says `retry` whenever the move is parked, as often as it needs. */
export async function play(options: PlayOptions): Promise<Played> {
  const { strikes = [], request = {}, shared = false, verdict } = options;
  const stage = await Stage.open(strikes, { shared });
  const parkedIn: string[] = [];
  try {
    const report = await stage.run(
      { ...request, autoCommit: verdict === undefined },
      (engine: Engine) => {
        const { phase, parkedIn: where } = engine.query('report') as MoveReport;
        if (phase === 'parked') {
          parkedIn.push(where ?? '');
          engine.update('retry');
        }
        if (phase === 'awaiting-commit' && verdict !== undefined && !given.has(engine)) {
          given.add(engine);
          const order = { operator: 'test', discardTargetWrites: true };
          engine.update(verdict, order);
        }
      },
    );
    const unsound = await stage.unsound(report);
    const log = stage.world.log.join(' | ');
    return { report, unsound, parkedIn, log, steps: stage.steps };
  } finally {
    await stage.close();
  }
}

const given = new WeakSet<Engine>();

/** The verbs of a move of a running VM, in order, up to where only its target may go on. */
export const beforeStart: [HostName, Verb][] = [
  ['alpha', 'checkSource'],
  ['beta', 'checkTarget'],
  ['beta', 'reserveTarget'],
  ['alpha', 'guardSource'],
  ['alpha', 'ensureStopped'],
  ['alpha', 'ensureExport'],
  ['alpha', 'hashDisk'],
  ['beta', 'ensureCopied'],
  ['beta', 'hashDisk'],
  ['beta', 'ensureDefined'],
  ['alpha', 'offerState'],
  ['beta', 'ensureState'],
  ['alpha', 'releaseSource'],
  ['beta', 'takeOwnership'],
  ['beta', 'ensureStarted'],
  ['beta', 'ensureHealthy'],
];

/** What follows: the move may only be finished now, or taken back by a person's word. */
export const afterStart: [HostName, Verb][] = [
  ['alpha', 'closeExports'],
  ['beta', 'settleTarget'],
  ['alpha', 'removeSource'],
];

export const allVerbs = [...beforeStart, ...afterStart];

/** The verbs that undo. */
export const undoVerbs: [HostName, Verb][] = [
  ['beta', 'revokeTarget'],
  ['alpha', 'restoreSource'],
  ['beta', 'clearTarget'],
  ['alpha', 'closeExports'],
];
