/** The story of an import for a person. */
import type { ImportStory, StoryMoment } from '../ferry.ts';
import type { ImportPhase } from '../../domain/import.ts';
import { importSentenceOf } from './import-story-sentences.ts';
import { importNextSteps } from './import-words.ts';
import { phaseWords } from './step-names.ts';
import { cutShort, downWords, spanWords, tellingLines, upper } from './story.ts';
import type { View } from './theme.ts';

/** As `storyLines` of a move. */
export const importStoryLines = (story: ImportStory, view: View, now: number): string[] =>
  tellingLines(story, view, {
    standing: standing(story),
    sentence: (one: StoryMoment<ImportPhase>) => importSentenceOf(one, story, now),
    stands: [
      homeWords(story),
      cacheWords(story),
      downWords(story, 'import'),
      spanWords(story, now),
    ],
    leftovers: leftoversOf(story),
    next: (shown) => importNextSteps(standingOf(story), shown),
    afterCut: `${story.conversionHost} and ${story.target} clear up by themselves once they have seen that it is over; \`${view.command} orphans\` lists what they leave to a person. Then ask for it again with \`${view.command} v2v\`.`,
  });

const standingOf = ({ targetHasRun, ...story }: ImportStory) => ({
  ...story,
  targetRunning: targetHasRun,
  steps: [],
});

function standing(story: ImportStory): string {
  const { vm, source, target, phase } = story;
  const way = `the import of ${vm.name} from ${source} to ${target}`;
  if (cutShort(story)) return `Temporal no longer runs ${way}: it was ${story.end ?? ''}.`;
  if (phase === 'parked')
    return `${upper(way)} is parked while ${phaseWords(story.parkedIn ?? 'planned')}: a person must act.`;
  if (phase === 'awaiting-commit')
    return `${vm.name} came from ${source} to ${target}; somebody has to commit or roll back.`;
  if (phase === 'committed')
    return `${vm.name} came from ${source} to ${target}, and the import is committed.`;
  if (phase === 'failed') return `${upper(way)} failed.`;
  if (story.end !== undefined) return `${upper(way)} was ${phaseWords(phase)}.`;
  return `${upper(way)} is under way: ${phaseWords(phase)}.`;
}

/** Of a clone only what is on the target is told: its source goes its own way. */
function homeWords({ vm, vmOn, vmRunning, source, target, clone }: ImportStory): string {
  const power = vmRunning ? 'runs' : 'is off';
  if (vmOn === target) return `${vm.name} lives on ${target} and ${power} there, as last heard.`;
  if (clone) return `${target} has nothing of ${vm.name}; its source at ${source} is another VM.`;
  return vmOn === ''
    ? `${target} has given ${vm.name} up; at ${source} it is off until it is given back.`
    : `${vm.name} is at ${source} and ${power} there, as last heard.`;
}

const cacheWords = ({ cachedUntil, conversionHost }: ImportStory): string =>
  cachedUntil === undefined
    ? ''
    : `${conversionHost} keeps what was copied until ${cachedUntil}, unless it was discarded since.`;

function leftoversOf({ leftovers, target, conversionHost }: ImportStory): string[] {
  if (leftovers === undefined) return [];
  return [
    ...(leftovers.targetVolumes ? [`${target} may hold volumes that the import made.`] : []),
    ...(leftovers.exports ? [`${conversionHost} may still offer disks for reading.`] : []),
  ];
}
