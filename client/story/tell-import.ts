/** From the events of an import to its story. */
import type { ImportPhase, ImportReport } from '../../domain/import.ts';
import { isOff, modeOfImport } from '../../domain/import/mode.ts';
import type {
  CachedDisk,
  ForeignCheck,
  ImportTargetCheck,
  ImportVmInput,
} from '../../workflows/contract.ts';
import type { StoryEvent } from './events.ts';
import type { ImportStory, StoryWork } from './story.ts';
import { Telling } from './telling.ts';
import type { Answer, Beginning } from './telling.ts';
import type { Verbs } from './works.ts';

/** As `tellStory`, of an import. */
export function tellImport(
  id: string,
  events: readonly StoryEvent[],
  nowMs: number,
): ImportStory | undefined {
  const [first, ...others] = events;
  if (first?.kind !== 'asked') return undefined;
  const input = first.input as ImportVmInput;
  const { provider, conversionHost, to, operator, shape } = input.request;
  const { id: foreignId, name } = input.vm;
  const teller = new ImportTelling(input, {
    ...{ noun: 'import', vm: { name: shape.name ?? name, uuid: '' } },
    ...{ source: provider, target: to, operator, running: false, startedAt: first.at, verbs },
  });
  for (const event of others) teller.hear(event);
  const { clone, cachedUntil } = teller;
  return {
    kind: 'import',
    ...teller.told({ id, runId: first.runId, nowMs }),
    ...{ foreign: { provider, id: foreignId, name }, conversionHost, clone },
    ...(cachedUntil === undefined ? {} : { cachedUntil }),
  };
}

const steps: Verbs['steps'] = {
  checkForeign: 'check',
  checkImportTarget: 'check',
  checkRehearsal: 'check',
  stopForeign: 'stop-source',
  ensureCached: 'copy',
  verifyCached: 'copy',
  verifyForeign: 'verify-source',
  ensureConverted: 'convert',
  rehearse: 'rehearse',
  reserveTarget: 'reserve-target',
  ensureCachedExport: 'transfer',
  ensureCopied: 'transfer',
  hashCached: 'transfer',
  hashDisk: 'verify',
  defineImport: 'define',
  takeOwnership: 'cut-over',
  ensureStarted: 'start',
  ensureHealthy: 'start',
  settleTarget: 'commit',
};
const undoing = ['revokeTarget', 'clearImport', 'restartForeign'];
const verbs: Verbs = { steps, undoing };

/** Verbs of imports that mean for the VM's place what others mean in a move. */
const asInMove: Partial<Record<string, string>> = {
  stopForeign: 'ensureStopped',
  restartForeign: 'restoreSource',
  clearImport: 'clearTarget',
  ensureCachedExport: 'ensureExport',
  closeCachedExports: 'closeExports',
};
const asMoves = (work: StoryWork): StoryWork => ({
  ...work,
  verb: asInMove[work.verb] ?? work.verb,
});

/** What an import's verbs may answer. */
type ImportAnswer = Omit<Answer, 'vm'> &
  Partial<Pick<ForeignCheck, 'vm'>> &
  Partial<Pick<ImportTargetCheck, 'plan'>> & {
    disks?: CachedDisk[];
    wasStopped?: boolean;
    until?: string;
  };

class ImportTelling extends Telling<ImportPhase, ImportReport> {
  clone = false;
  cachedUntil: string | undefined;
  readonly #input: ImportVmInput;

  constructor(input: ImportVmInput, beginning: Beginning) {
    super(beginning);
    this.#input = input;
  }

  protected override begins(work: StoryWork): void {
    this.place.begins(asMoves(work));
  }

  protected override ends(work: StoryWork, said: ImportAnswer, at: string): void {
    // The target's words have those of the source among them.
    if (said.concerns !== undefined) this.concerns = said.concerns;
    if (said.plan !== undefined) this.vm = { name: said.plan.name, uuid: said.plan.uuid };
    if (work.verb === 'checkForeign' && said.vm !== undefined) {
      this.clone = modeOfImport(said.vm, this.#input.request) === 'clone';
      this.place.vmRunning = !this.clone && !isOff(said.vm);
    }
    if (work.verb === 'stopForeign') work.shutdown = this.#shutdown(said);
    if (work.verb === 'restartForeign') work.gaveBack = gaveBack(said);
    if (work.verb === 'ensureCached') addUp(work, said.disks ?? []);
    if (work.verb === 'keepCache') this.cachedUntil = said.until;
    // A source that was left as it was says nothing of the VM, and that of a clone is another VM.
    if (work.verb === 'restartForeign' && (this.clone || work.gaveBack === 'untouched')) return;
    this.place.ends(asMoves(work), said, at);
  }

  #shutdown({ wasRunning, forced }: ImportAnswer): NonNullable<StoryWork['shutdown']> {
    if (wasRunning === false) return 'already-off';
    const isForced = forced === true || this.#input.request.running === 'force-off';
    return isForced ? 'forced' : 'graceful';
  }
}

/** Nothing was done there if it neither runs nor was stopped. */
function gaveBack({ running, wasStopped }: ImportAnswer): NonNullable<StoryWork['gaveBack']> {
  if (wasStopped === true) return running === true ? 'started' : 'stays-off';
  return running === true ? 'goes-on' : 'untouched';
}

function addUp(work: StoryWork, disks: readonly CachedDisk[]): void {
  const sum = (of: (disk: CachedDisk) => number): number =>
    disks.reduce((all, disk) => all + of(disk), 0);
  work.bytes = sum(({ bytesCopied }) => bytesCopied);
  work.bytesRecopied = sum(({ bytesRecopied }) => bytesRecopied);
  work.bytesFromCache = sum(({ bytesFromCache }) => bytesFromCache);
}
