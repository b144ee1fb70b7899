/** One import of one foreign VM, running or over. */
import {
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { WorkflowHandle } from '@temporalio/client';
import { cancelled, permanent } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import { ImportPhase, isImportEnd } from '../domain/import.ts';
import type { ImportReport, ImportStatus } from '../domain/import.ts';
import {
  controlQueue,
  importDiscardId,
  labelsOfImport,
  memoNames,
  queryNames,
  signalNames,
  updateNames,
  workflowTypes,
} from '../workflows/contract.ts';
import type {
  CancelOrder,
  CommitOrder,
  DropCacheInput,
  ImportHeartbeat,
  ImportVmInput,
  RetryOrder,
  RollbackOrder,
  TuneOrder,
} from '../workflows/contract.ts';
import type { Access } from './access.ts';
import { beatsOf } from './beats.ts';
import { WorkflowExecutionAlreadyStartedError } from './errors.ts';
import { HistoryReader } from './story/events.ts';
import type { StoryEvent } from './story/events.ts';
import type { ImportStory } from './story/story.ts';
import { tellImport } from './story/tell-import.ts';
import { watchUntil } from './watch.ts';
import type { WatchOptions } from './watch.ts';

export class Import {
  readonly kind = 'import';
  /** The workflow's ID, `import/<cluster>/<provider>/<foreign VM ID>`. */
  readonly id: string;
  readonly #access: Access;
  readonly #handle: WorkflowHandle;

  constructor(access: Access, id: string, runId?: string) {
    this.id = id;
    this.#access = access;
    this.#handle = access.client.workflow.getHandle(id, runId);
  }

  /** Begins one. Throws `import-already-running`, which names the first. */
  static async start(access: Access, input: ImportVmInput, id: string): Promise<Import> {
    try {
      await access.client.workflow.start(workflowTypes.importVm, {
        workflowId: id,
        taskQueue: controlQueue,
        args: [input],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        ...labelsOfImport(input),
      });
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) throw running(id, input.vm.name);
      throw error;
    }
    return new Import(access, id);
  }

  /** The report as of now, and what the heartbeats of copies and of a conversion say. */
  async status(): Promise<ImportStatus> {
    return this.#try('read the import', async () => {
      const described = await this.#handle.describe();
      const last = described.memo?.[memoNames.report] as ImportReport | undefined;
      if (last !== undefined) return { report: await this.#asOfNow(last), progress: [] };
      const report = await this.#handle.query<ImportReport>(queryNames.report);
      if (isImportEnd(report.phase)) return { report, progress: [] };
      const beats = await beatsOf<ImportHeartbeat>(this.#access.client, described);
      const conversion = beats.findLast((beat) => beat.conversion !== undefined)?.conversion;
      return {
        report,
        progress: beats.flatMap(({ disks = [] }) => disks),
        ...(conversion === undefined ? {} : { conversion }),
      };
    });
  }

  /** As `Move.story`. */
  async story(): Promise<ImportStory> {
    return this.#try('read the history of', async () => {
      const story = tellImport(this.id, await this.#events(), Date.now());
      if (story === undefined) throw this.#untellable();
      return story;
    });
  }

  /** As `Move.watch`: until it ends, awaits a commit, or parks. */
  watch(options: WatchOptions = {}): AsyncIterable<ImportStatus> {
    const isLast = ({ report }: ImportStatus): boolean => importRests(report);
    return watchUntil({ ask: () => this.status(), isLast }, options);
  }

  /** Waits for the end, whatever it is, and gives the last report. */
  async result(): Promise<ImportReport> {
    // How it ended stands in the report; a failed or cancelled workflow is an answer here, not an error.
    await this.#handle.result().catch(() => undefined);
    return (await this.status()).report;
  }

  /** Makes it final: what was copied is dropped. The source stays, as it is. */
  async commit(): Promise<void> {
    const order: CommitOrder = { operator: this.#access.operator };
    await this.#try('commit', () =>
      this.#handle.executeUpdate(updateNames.commit, { args: [order] }),
    );
  }

  /** The VM goes from the target again. `discardTargetWrites` has to be said where it has run there. */
  async rollback(options: { discardTargetWrites?: boolean } = {}): Promise<void> {
    const order: RollbackOrder = {
      discardTargetWrites: options.discardTargetWrites ?? false,
      operator: this.#access.operator,
    };
    await this.#try('roll back', () =>
      this.#handle.executeUpdate(updateNames.rollback, { args: [order] }),
    );
  }

  /**
   * Goes on from where it parked. One that failed, was cancelled or rolled back begins anew as it was asked for, and
   * uses what is left in the cache. Throws `order-refused`.
   */
  async retry(): Promise<void> {
    await this.#try('retry', async () => {
      const { status } = await this.#handle.describe();
      if (status.name === 'RUNNING') {
        const order: RetryOrder = { operator: this.#access.operator };
        await this.#handle.executeUpdate(updateNames.retry, { args: [order] });
        return;
      }
      const { report } = await this.status();
      if (report.phase === ImportPhase.committed) throw refused('retry', report.phase);
      const { cluster, vm, request } = await this.#input();
      const { operator } = this.#access;
      await Import.start(this.#access, { cluster, vm, request: { ...request, operator } }, this.id);
    });
  }

  /** Another cap for what it copies; 0 is none. Gives whether a copy that runs now took it; else it holds for what comes. */
  async tune({
    bandwidthBytesPerSecond,
  }: Required<Pick<TuneOrder, 'bandwidthBytesPerSecond'>>): Promise<boolean> {
    const order: TuneOrder = { bandwidthBytesPerSecond, operator: this.#access.operator };
    return this.#try('tune', () =>
      this.#handle.executeUpdate<boolean, [TuneOrder]>(updateNames.tune, { args: [order] }),
    );
  }

  /** Undoes one that has not cut over yet. Refused later: then it is `rollback` or `commit`. */
  async cancel(): Promise<void> {
    await this.#try('cancel', async () => {
      const report = await this.#handle.query<ImportReport>(queryNames.report);
      const phase = report.parkedIn ?? report.phase;
      if (isImportEnd(phase)) throw refused('cancel', phase);
      if (pastCancel.includes(phase)) {
        throw cancelled({
          code: 'order-refused',
          message: `cannot cancel: the import is ${phase}, past its cutover`,
          remedy:
            'Use `vmferry rollback` to take the VM from its target again, or `vmferry commit`.',
        });
      }
      // Temporal's cancel says nothing of the person behind it. Neither waits for a worker.
      const order: CancelOrder = { operator: this.#access.operator };
      await this.#handle.signal(signalNames.cancelling, order);
      await this.#handle.cancel();
    });
  }

  /**
   * Drops what an import that is over left in the cache, before its time. Throws `order-refused` for one that is under
   * way, `host-offline`, `cache-in-use`.
   */
  async discard(): Promise<void> {
    await this.#try('discard the copy of', async () => {
      const { report } = await this.status();
      if (!isImportEnd(report.phase)) throw refused('discard', report.phase);
      const { foreign, conversionHost: host } = report;
      const vm = { id: foreign.id, name: foreign.name };
      const input: DropCacheInput = { host, provider: foreign.provider, vm };
      const what = `drop the cache of ${vm.name}`;
      const id = importDiscardId(this.id, report.runId);
      await this.#access.read(workflowTypes.dropCache, input, what, id);
    });
  }

  /** The report of an import that is over was written at its end: what has become of the cache since is not in it. */
  async #asOfNow(report: ImportReport): Promise<ImportReport> {
    const { cachedUntil, ...others } = report;
    if (cachedUntil === undefined) return report;
    const isGone = Date.parse(cachedUntil) <= Date.now() || (await this.#isDiscarded(report.runId));
    return isGone ? others : report;
  }

  async #isDiscarded(runId: string): Promise<boolean> {
    const discard = this.#access.client.workflow.getHandle(importDiscardId(this.id, runId));
    try {
      return (await discard.describe()).status.name === 'COMPLETED';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  /** What it was begun with, by its history. */
  async #input(): Promise<ImportVmInput> {
    const [first] = await this.#events(1);
    if (first?.kind === 'asked') return first.input as ImportVmInput;
    throw this.#untellable();
  }

  async #events(most = Infinity): Promise<StoryEvent[]> {
    const { events } = await this.#handle.fetchHistory();
    const reader = new HistoryReader(this.#access.client.options.loadedDataConverter);
    return reader.read((events ?? []).slice(0, most));
  }

  #untellable(): VmFerryError {
    return permanent({
      code: 'story-untellable',
      message: `the history of ${this.id} is not that of an import`,
      remedy: 'List the imports with `vmferry status`.',
    });
  }

  #try<T>(what: string, run: () => Promise<T>): Promise<T> {
    return this.#access.attempt(`${what} ${this.id}`, run);
  }
}

/** Nothing more happens by itself. */
const importRests = ({ phase }: Pick<ImportReport, 'phase'>): boolean =>
  isImportEnd(phase) || phase === ImportPhase.awaitingCommit || phase === ImportPhase.parked;

const pastCancel: readonly ImportPhase[] = [
  ImportPhase.cuttingOver,
  ImportPhase.starting,
  ImportPhase.awaitingCommit,
  ImportPhase.committing,
  ImportPhase.rollingBack,
];

const refused = (order: string, phase: ImportPhase) =>
  permanent({
    code: 'order-refused',
    message: `cannot ${order}: the import is ${phase}`,
    remedy: 'See where it stands with `vmferry status`.',
  });

const running = (id: string, vm: string) =>
  permanent({
    code: 'import-already-running',
    message: `${vm} is already being imported by ${id}`,
    remedy: `Follow it with \`vmferry status ${id}\`; commit, roll back or cancel it before the next import.`,
  });
