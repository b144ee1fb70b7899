/** One plain sentence for each thing that happened to a move. */
import type { Story, StoryMoment, StoryRun, StoryWork } from '../ferry.ts';
import { crossedWords, liveStepWords, pause } from './live-report.ts';
import { bytes, duration } from './quantity.ts';
import { phaseWords } from './step-names.ts';

type Moment<K extends StoryMoment['kind']> = Extract<StoryMoment, { kind: K }>;

/** A sentence, and whether it is good or bad news. */
export interface Sentence {
  text: string;
  mood: 'plain' | 'good' | 'bad';
}

export const plain = (text: string): Sentence => ({ text, mood: 'plain' });
export const good = (text: string): Sentence => ({ text, mood: 'good' });
export const bad = (text: string): Sentence => ({ text, mood: 'bad' });

/** The sentence of a moment; undefined where it would only repeat what its neighbours say. `now` in ms since the epoch. */
export function sentenceOf(moment: StoryMoment, story: Story, now: number): Sentence | undefined {
  switch (moment.kind) {
    case 'asked':
      return plain(
        `${moment.by} asked to move ${story.vm.name} from ${story.source} to ${story.target}.`,
      );
    case 'phase':
      return ofPhase(moment, story);
    case 'work':
      return workSentence(moment, now, () => doneStatement(moment, story));
    case 'order':
    case 'stuck':
    case 'ended':
      return commonSentence(moment, { noun: 'move', phase: story.phase });
  }
}

/** Of what happens to every workflow. */
export function commonSentence(
  moment: Moment<'order' | 'stuck' | 'ended'>,
  story: { noun: string; phase: string },
): Sentence {
  if (moment.kind === 'order') return plain(`${moment.by} gave the order: ${moment.order}.`);
  if (moment.kind === 'stuck')
    return bad(`The ${story.noun} itself could not go on: ${moment.message}.`);
  return ofEnd(moment, story);
}

function ofPhase({ phase }: Moment<'phase'>, story: Story): Sentence | undefined {
  switch (phase) {
    case 'parked':
      return bad('The move parked: it waits for a person.');
    case 'awaiting-commit':
      return good(
        `${story.vm.name} lives on ${story.target}; ${story.source} keeps its copy until somebody commits.`,
      );
    case 'rolling-back':
      return plain('The move began to undo what it had done.');
    case 'planned':
    case 'checking':
    case 'preparing':
    case 'stopping':
    case 'moving':
    case 'copying':
    case 'verifying':
    case 'cutting-over':
    case 'starting':
    case 'committing':
    case 'committed':
    case 'rolled-back':
    case 'cancelled':
    case 'failed':
      return undefined;
  }
}

function ofEnd(
  { how, by, reason }: Moment<'ended'>,
  { noun, phase }: { noun: string; phase: string },
): Sentence {
  const said = reason === undefined ? '' : `: ${reason}`;
  const who = by === undefined ? 'Somebody' : by;
  switch (how) {
    case 'completed':
      return phase === 'committed'
        ? good(`The ${noun} was committed; that was its end.`)
        : plain(`The ${noun} ended ${phaseWords(phase)}.`);
    case 'cancelled':
      return plain(`The ${noun} ended cancelled.`);
    case 'failed':
      return bad(`The ${noun} ended as failed${said}.`);
    case 'terminated':
      return bad(`${who} terminated the workflow in Temporal${said}. Nothing could be undone.`);
    case 'timed-out':
      return bad('Temporal ended the workflow by its time limit. Nothing could be undone.');
    case 'other':
      return bad(
        `The workflow ended in a way that ${noun === 'move' ? 'a' : 'an'} ${noun} does not know.`,
      );
  }
}

/** Of a piece of work; `done` says what came of it. Undefined where it was a mere look. */
export function workSentence(
  work: StoryWork,
  now: number,
  done: () => string,
): Sentence | undefined {
  if (isMereLook(work)) return undefined;
  const text = `${statement(work, now, done)}${failures(work)}`;
  const wentWrong =
    work.failures.length > 0 || work.state === 'given-up' || work.live?.fault !== undefined;
  return wentWrong ? bad(text) : plain(text);
}

function statement(work: StoryWork, now: number, done: () => string): string {
  const { host, what } = work;
  const since = duration(now - Date.parse(work.startedAt));
  switch (work.state) {
    case 'done':
      return done();
    case 'running':
      return `${host} is at it, for ${since} now: ${what}.`;
    case 'waiting':
      return `No worker of ${host} has taken this up yet, for ${since} now: ${what}.`;
    case 'retrying':
      return `${host} could not do this yet: ${what}.`;
    case 'given-up':
      return `${host} could not do this: ${what}.`;
    case 'cancelled':
      return `${host} was told to stop this: ${what}.`;
  }
}

const doneStatement = (work: StoryWork, story: Story): string =>
  work.live === undefined ? `${doneWords(work, story)}${took(work)}.` : ofRun(work.live, story);

/** Both hosts are asked where the guest is after each run, and for a place; only a wait, or what comes of it, is worth a line. */
const isMereLook = ({ verb, state, failures: failed }: StoryWork): boolean =>
  ['liveView', 'reserveMove'].includes(verb) && state === 'done' && failed.length === 0;

/** A live migration that came to its end: what crossed, what was done on the way, and why. */
function ofRun(run: StoryRun, { vm, source, target }: Story): string {
  const crossed = crossedWords({ ...run, totalMs: run.elapsedMs });
  const paused =
    run.downtimeMs === undefined ? '' : `, paused for ${pause(run.downtimeMs)} by libvirt's count`;
  const head =
    run.fault === undefined
      ? `${vm.name} went from ${source} to ${target} while it ran${paused}: ${crossed}.`
      : `${vm.name} did not get to ${target}, ${crossed}: ${sentenceEnd(run.fault.message)}`;
  const steps = run.steps.map((step) => sentenceEnd(upper(liveStepWords(step))));
  return [head, ...steps].join(' ');
}

const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** How long it took, where that is worth a word. */
export function took({ startedAt, endedAt }: StoryWork): string {
  if (endedAt === undefined) return '';
  const ms = Date.parse(endedAt) - Date.parse(startedAt);
  return ms < 1000 ? '' : `, in ${duration(ms)}`;
}

function failures({ failures: all, attempts, state }: StoryWork): string {
  const [first] = all;
  if (first === undefined) return '';
  const failed = state === 'done' ? attempts - 1 : attempts;
  const tries = failed === 1 ? '1 try failed' : `${failed} tries failed`;
  const when = all.length === 1 ? '' : `; the first, at ${clock(first.at)}`;
  return ` ${tries}${when}: ${sentenceEnd(first.fault.message)}`;
}

/** `10:00:03` of a day in UTC. */
export const clock = (iso: string): string => new Date(iso).toISOString().slice(11, 19);

const sentenceEnd = (text: string): string => (/[.!?]$/u.test(text) ? text : `${text}.`);

export function doneWords(work: StoryWork, story: Pick<Story, 'vm'>): string {
  const { verb, host, what } = work;
  const vm = story.vm.name;
  const words: Partial<Record<string, string>> = {
    checkSource: `${host} looked at ${vm} and at its own guard`,
    checkTarget: `${host} checked whether ${vm} fits there`,
    reserveTarget: `${host} made the volumes and a place for ${vm} in its ledger`,
    reserveLive: `${host} has a place for ${vm} in its ledger, and is ready to let it in while it runs`,
    guardSource: `${host} began to refuse other starts of ${vm}`,
    admitLive: `${host} is ready to let ${vm} in while it runs`,
    tuneLive: `${host} took new limits for the live migration`,
    endLive: `${host} begins no live migration of ${vm} any more`,
    withdrawLive: `${host} lets no live migration of ${vm} in any more`,
    awaitArrival: `${host} let ${vm} go on as soon as its source had given it up`,
    settleArrival: `${host} settled what the live migration had brought: ${vm} was let go, or ended`,
    settleLive: `${host} made an end of what the live migration had left there`,
    ensureStopped: shutdownWords(work, vm),
    ensureCopied: `${host} ${past(what)}${amountWords(work)}`,
    ensureDefined: `${host} got the definition of ${vm}`,
    releaseSource: `${host} gave ${vm} up and cannot start it any more`,
    takeOwnership: `${host} became the owner of ${vm}`,
    ensureStarted: `${vm} started on ${host}`,
    ensureHealthy: `${vm} stayed up on ${host}`,
    closeExports: `${host} closed its exports`,
    settleTarget: `${host} put its last settings right for ${vm}`,
    removeSource: `${host} removed its copy of ${vm}`,
    revokeTarget: `${host} stopped ${vm} and gave it up`,
    clearTarget: `${host} removed what the move had made there`,
    restoreSource: `${host} got ${vm} back`,
  };
  return words[verb] ?? `${host} ${past(what)}`;
}

/** `copy vda` -> `copied vda`; what no list foresees is quoted as it stands. */
function past(what: string): string {
  const [first = '', ...rest] = what.split(' ');
  const known: Partial<Record<string, string>> = {
    copy: 'copied',
    export: 'exported',
    hash: 'hashed',
    compare: 'compared',
    offer: 'offered',
    show: 'showed',
    take: 'took',
    put: 'put',
    look: 'looked',
    prove: 'proved',
  };
  const word = known[first];
  return word === undefined ? `did: ${what}` : [word, ...rest].join(' ');
}

function shutdownWords({ host, shutdown }: StoryWork, vm: string): string {
  if (shutdown === 'already-off') return `${vm} was off on ${host} already`;
  return shutdown === 'forced'
    ? `${vm} did not shut down in time and was powered off on ${host}`
    : `${vm} was shut down on ${host}`;
}

export function amountWords({ bytes: moved, bytesRecopied = 0 }: StoryWork): string {
  if (moved === undefined) return '';
  const twice = bytesRecopied === 0 ? '' : `, of it ${bytes(bytesRecopied)} a second time`;
  return `, ${bytes(moved)} of data${twice}`;
}
