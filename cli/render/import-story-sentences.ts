/** One plain sentence for each thing that happened to an import. */
import type { ImportStory, StoryMoment, StoryWork } from '../ferry.ts';
import type { ImportPhase } from '../../domain/import.ts';
import { bytes } from './quantity.ts';
import {
  amountWords,
  bad,
  commonSentence,
  doneWords,
  good,
  plain,
  took,
  workSentence,
} from './story-sentences.ts';
import type { Sentence } from './story-sentences.ts';

/** As `sentenceOf` of a move. */
export function importSentenceOf(
  moment: StoryMoment<ImportPhase>,
  story: ImportStory,
  now: number,
): Sentence | undefined {
  const { vm, source, conversionHost, target } = story;
  switch (moment.kind) {
    case 'asked':
      return plain(
        `${moment.by} asked to import ${vm.name} from ${source}, by ${conversionHost}, to ${target}.`,
      );
    case 'phase':
      return ofPhase(moment.phase, story);
    case 'work':
      return workSentence(moment, now, () => `${importDoneWords(moment, story)}${took(moment)}.`);
    case 'order':
    case 'stuck':
    case 'ended':
      return commonSentence(moment, { noun: 'import', phase: story.phase });
  }
}

/** Of the other phases the work that is done in them tells. */
function ofPhase(phase: ImportPhase, { vm, conversionHost, target }: ImportStory) {
  if (phase === 'parked') return bad('The import parked: it waits for a person.');
  if (phase === 'rolling-back') return plain('The import began to undo what it had done.');
  if (phase !== 'awaiting-commit') return undefined;
  return good(
    `${vm.name} is on ${target}; ${conversionHost} keeps what was copied until somebody commits.`,
  );
}

function importDoneWords(work: StoryWork, story: ImportStory): string {
  const { verb, host, what } = work;
  const { vm, source, target } = story;
  const words: Partial<Record<string, string>> = {
    reserveCache: `${host} holds room for ${vm.name} in its cache`,
    checkRehearsal: `${host} checked whether it can rehearse ${vm.name}`,
    rehearse: `${host} rehearsed ${vm.name}`,
    checkForeign: `${host} looked at ${vm.name} at ${source}`,
    checkImportTarget: `${host} checked whether ${vm.name} fits there`,
    stopForeign: shutdownWords(work, story),
    ensureCached: copyWords(work, story),
    verifyCached: `${host} read the copy back: it is what was read`,
    verifyForeign: `${host} read ${vm.name} back at ${source}: it is off, and its disks are what was copied`,
    ensureConverted: `${host} converted ${vm.name}`,
    ensureCachedExport: `${host} showed ${what.replace(/^show /u, '')} to ${target}`,
    closeCachedExports: `${host} closed its exports`,
    defineImport: `${host} got the definition of ${vm.name}`,
    keepCache: what.startsWith('drop')
      ? `${host} dropped what was copied`
      : `${host} keeps what was copied for a while`,
    clearImport: `${host} removed what the import had made there`,
    restartForeign: backWords(work, story),
  };
  return words[verb] ?? doneWords(work, story);
}

function shutdownWords({ shutdown }: StoryWork, { vm, source }: ImportStory): string {
  if (shutdown === 'already-off') return `${vm.name} was off at ${source} already`;
  return shutdown === 'forced'
    ? `${vm.name} was powered off at ${source}`
    : `${vm.name} was shut down at ${source}`;
}

function copyWords(work: StoryWork, { vm, source }: ImportStory): string {
  const { host, bytesFromCache = 0 } = work;
  const found = bytesFromCache === 0 ? '' : `; ${bytes(bytesFromCache)} were in its cache already`;
  return `${host} copied ${vm.name} from ${source}${amountWords(work)}${found}`;
}

function backWords({ host, gaveBack }: StoryWork, { vm, source }: ImportStory): string {
  const words = {
    started: `${host} started ${vm.name} at ${source} again`,
    'goes-on': `${vm.name} goes on at ${source}`,
    'stays-off': `${vm.name} stays off at ${source}`,
    untouched: `${host} had nothing to give back at ${source}`,
  };
  return words[gaveBack ?? 'untouched'];
}
