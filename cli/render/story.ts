/** The story of a move for a person: what happened, how it stands, what to do next. */
import { faultLines } from '../fault.ts';
import type { Story, StoryMoment, Told } from '../ferry.ts';
import { pause } from './live-report.ts';
import { nextSteps } from './next-steps.ts';
import type { NextStep } from './next-steps.ts';
import { duration, moment } from './quantity.ts';
import { phaseWords } from './step-names.ts';
import { clock, sentenceOf } from './story-sentences.ts';
import type { Sentence } from './story-sentences.ts';
import { harmless, padEnd, shellWord, wrap } from './text.ts';
import type { View } from './theme.ts';

const timeCells = 10;
const indent = 2;
/** Lines longer than this are hard to read, however wide the window. */
const widest = 100;

/** What a story of one kind says of itself. */
export interface Telling<AnyMoment> {
  /** All of it in one sentence. */
  standing: string;
  sentence: (one: AnyMoment) => Sentence | undefined;
  /** Sentences on how it stands. */
  stands: readonly string[];
  /** What it may have left, and what to do about each. */
  leftovers: readonly string[];
  next: (view: View) => readonly NextStep[];
  /** Instead of `next`, where its workflow was ended from outside. */
  afterCut: string;
}

type AnyTold = Told<string, unknown>;

/** The whole story; `now` in ms since the epoch. */
export const storyLines = (story: Story, view: View, now: number): string[] =>
  tellingLines(story, view, {
    standing: standing(story),
    sentence: (one: StoryMoment) => sentenceOf(one, story, now),
    stands: standsOf(story, now),
    leftovers: leftoversOf(story),
    next: (shown) => nextSteps(story, shown),
    afterCut: `Look at both hosts (\`${view.command} vms\`), settle what was left behind, then move again: \`${view.command} migrate ${shellWord(story.vm.name)} --from ${story.vmOn === '' ? story.source : story.vmOn} --to HOST\`.`,
  });

/** A story of any kind, in the words of its own. */
export function tellingLines<AnyMoment extends { at: string }>(
  story: Omit<AnyTold, 'timeline'> & { timeline: readonly AnyMoment[] },
  view: View,
  telling: Telling<AnyMoment>,
): string[] {
  const narrow = { ...view, width: Math.min(view.width, widest) };
  const happened = story.timeline.flatMap((one, index) =>
    momentLines(one, telling.sentence(one), {
      view: narrow,
      before: story.timeline[index - 1],
    }),
  );
  const sentences = (texts: readonly string[]): string[] =>
    texts.flatMap((text) => (text === '' ? [] : body(text, narrow)));
  const next = cutShort(story)
    ? sentences([telling.afterCut])
    : stepLines(telling.next(narrow), narrow);
  return [
    ...paragraph(telling.standing, narrow, headStyle(story)),
    '',
    view.theme.paint('bold', 'What happened (UTC)'),
    ...happened,
    ...section('How it stands', sentences(telling.stands), narrow),
    ...section('What failed first', firstErrorLines(story, narrow), narrow),
    ...section(stoppedTitle(story), faultBlock(story, narrow), narrow),
    ...section('Left behind', sentences(telling.leftovers), narrow),
    ...section('Next', next, narrow),
  ];
}

function momentLines(
  one: { at: string },
  sentence: Sentence | undefined,
  { view, before }: { view: View; before: { at: string } | undefined },
): string[] {
  if (sentence === undefined) return [];
  const day = one.at.slice(0, 10);
  const newDay = before?.at.slice(0, 10) === day ? [] : [' '.repeat(indent) + day];
  const style = { plain: undefined, good: 'green', bad: 'yellow' } as const;
  const paint = style[sentence.mood];
  const lines = wrap(harmless(sentence.text), view.width - indent - timeCells).map((line, row) => {
    const time = row === 0 ? view.theme.paint('dim', padEnd(clock(one.at), timeCells)) : '';
    const shown = paint === undefined ? line : view.theme.paint(paint, line);
    return ' '.repeat(indent) + (row === 0 ? time : ' '.repeat(timeCells)) + shown;
  });
  return [...newDay, ...lines];
}

const paragraph = (text: string, view: View, style: 'green' | 'yellow' | 'red' | 'cyan') =>
  wrap(harmless(text), view.width).map((line) => view.theme.paint(['bold', style], line));

const section = (title: string, lines: readonly string[], view: View): string[] =>
  lines.length === 0 ? [] : ['', view.theme.paint('bold', title), ...lines];

const shifted = (lines: readonly string[]): string[] =>
  lines.map((line) => ' '.repeat(indent) + line);

const body = (text: string, view: View): string[] =>
  shifted(wrap(harmless(text), view.width - indent));

export const cutShort = ({ end }: Pick<AnyTold, 'end'>): boolean =>
  end === 'terminated' || end === 'timed-out' || end === 'other';

function headStyle(story: Pick<AnyTold, 'end' | 'phase'>): 'green' | 'yellow' | 'red' | 'cyan' {
  if (cutShort(story) || story.phase === 'failed') return 'red';
  if (story.phase === 'committed' || story.phase === 'awaiting-commit') return 'green';
  const calm = story.end === undefined && !['parked', 'rolling-back'].includes(story.phase);
  return calm ? 'cyan' : 'yellow';
}

/** The move in one sentence. */
function standing(story: Story): string {
  const { vm, source, target } = story;
  const way = `the move of ${vm.name} from ${source} to ${target}`;
  if (cutShort(story)) return `Temporal no longer runs ${way}: it was ${story.end ?? ''}.`;
  switch (story.phase) {
    case 'committed':
      return `${vm.name} moved from ${source} to ${target}, and the move is committed.`;
    case 'awaiting-commit':
      return `${vm.name} moved from ${source} to ${target}; somebody has to commit or roll back.`;
    case 'rolled-back':
      return `${vm.name} is back on ${source}: ${way} was rolled back.`;
    case 'cancelled':
      return `${upper(way)} was cancelled.`;
    case 'failed':
      return `${upper(way)} failed.`;
    case 'parked':
      return `${upper(way)} is parked while ${phaseWords(story.parkedIn ?? 'planned')}: a person must act.`;
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
    case 'rolling-back':
      return `${upper(way)} is under way: ${phaseWords(story.phase)}.`;
  }
}

export const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function standsOf(story: Story, now: number): string[] {
  const { vm, source, target } = story;
  const power = story.vmRunning ? 'runs' : 'is off';
  const home =
    story.vmOn === ''
      ? `${source} has given ${vm.name} up and ${target} does not have it yet: neither may start it.`
      : `${vm.name} lives on ${story.vmOn} and ${power} there, as last heard.`;
  return [home, downWords(story, 'move'), liveWords(story), spanWords(story, now)];
}

/** When it began, and how long it took. */
export function spanWords(
  { startedAt, endedAt }: Pick<AnyTold, 'startedAt' | 'endedAt'>,
  now: number,
): string {
  const until = endedAt === undefined ? now : Date.parse(endedAt);
  const took = duration(until - Date.parse(startedAt));
  const began = `It began at ${moment(startedAt)}`;
  return endedAt === undefined ? `${began}, ${took} ago.` : `${began} and took ${took}.`;
}

/** How a live move went, or why it was none; from the report, which knows it for good. */
function liveWords({ report }: Story): string {
  const live = report?.live;
  if (live === undefined) return '';
  if (live.gaveUp !== undefined) return `It was not moved live: ${live.gaveUp}`;
  if (live.downtimeMs !== undefined)
    return `The guest was paused for ${pause(live.downtimeMs)}, as the hosts measured it.`;
  return live.postCopy
    ? 'The guest went over by post-copy, whose pause libvirt does not measure.'
    : '';
}

/** For how long the guest was down; empty if it never was. */
export function downWords(
  { downMs, downNow, end }: Pick<AnyTold, 'downMs' | 'downNow' | 'end'>,
  noun: string,
): string {
  if (downMs === undefined) return '';
  const long = duration(downMs);
  if (!downNow) return `The guest was down for ${long}.`;
  return end === undefined
    ? `The guest has been down for ${long}.`
    : `The guest was down for ${long} when the ${noun} ended, and was not started again.`;
}

function firstErrorLines(
  { firstError, fault }: Pick<AnyTold, 'firstError' | 'fault'>,
  view: View,
): string[] {
  if (firstError === undefined) return [];
  const { at, host, what } = firstError;
  const same = fault?.code === firstError.fault.code && fault.message === firstError.fault.message;
  const where = body(`At ${moment(at)}, on ${host}, during: ${what}.`, view);
  const inner = { ...view, width: view.width - indent };
  return same ? where : [...where, ...shifted(faultLines(firstError.fault, inner))];
}

const stoppedTitle = ({ end }: Pick<AnyTold, 'end'>): string =>
  end === undefined ? 'What stands in the way' : 'What ended it';

function faultBlock(
  { fault, failedUndo }: Pick<AnyTold, 'fault' | 'failedUndo'>,
  view: View,
): string[] {
  const inner = { ...view, width: view.width - indent };
  const undo = failedUndo.flatMap(({ host, what }) =>
    body(`Not undone on ${host}: ${what}.`, view),
  );
  return [...(fault === undefined ? [] : shifted(faultLines(fault, inner))), ...undo];
}

function leftoversOf({ leftovers, source, target, vm }: Story): string[] {
  if (leftovers === undefined) return [];
  return [
    ...(leftovers.sourceGuarded
      ? [
          `The guard of ${source} still refuses to start ${vm.name}. Make sure that it runs nowhere, then \`vmferry guard claim ${vm.uuid} --reason TEXT\` on the host that is to have it.`,
        ]
      : []),
    ...(leftovers.targetVolumes ? [`${target} may hold volumes that the move made.`] : []),
    ...(leftovers.exports ? [`${source} may still offer disks for reading.`] : []),
  ];
}

const stepLines = (next: readonly NextStep[], view: View): string[] =>
  next.flatMap(({ command, effect }) => [
    ' '.repeat(indent) + command,
    ...wrap(effect, view.width - 6).map((line) => view.theme.paint('dim', `      ${line}`)),
  ]);
