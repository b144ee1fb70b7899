import proto from '@temporalio/proto';
import { isNotFound } from '../client/errors.ts';
import { isSameServer } from '../domain/orphans.ts';
import type { MoveFate, MoveMemory, ServerIdentity } from '../domain/orphans.ts';
import type { TemporalAccess } from './process.ts';

/** An answer that takes longer is none. */
const longestMs = 10_000;

const { WorkflowExecutionStatus: Status } = proto.temporal.api.enums.v1;
type Closed = Extract<MoveFate, { state: 'closed' }>['how'];
const closedAs = new Map<number | null | undefined, Closed>([
  [Status.WORKFLOW_EXECUTION_STATUS_COMPLETED, 'completed'],
  [Status.WORKFLOW_EXECUTION_STATUS_FAILED, 'failed'],
  [Status.WORKFLOW_EXECUTION_STATUS_CANCELED, 'cancelled'],
  [Status.WORKFLOW_EXECUTION_STATUS_TERMINATED, 'terminated'],
  [Status.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, 'timed-out'],
]);

/** What the reconciler asks of Temporal; tests may fake it. */
export interface Witness {
  /** Which server answers now. Rejects if none does. */
  identity(): Promise<ServerIdentity>;
  /** What became of a move. Does not reject: what cannot be found out is `unknown`. */
  fateOf(move: Pick<MoveMemory, 'moveId' | 'migrationId' | 'server'>): Promise<MoveFate>;
}

interface Run {
  status: number | null | undefined;
  runId: string;
  /** First of the runs that continue, retry or reset one another; empty if the server does not tell. */
  firstRunId: string;
}

/** Temporal itself, asked over the worker's connection. */
export class TemporalWitness implements Witness {
  readonly #temporal: Pick<TemporalAccess, 'connection' | 'namespace'>;
  readonly #answerMs: number;

  constructor(temporal: Pick<TemporalAccess, 'connection' | 'namespace'>, answerMs = longestMs) {
    this.#temporal = temporal;
    this.#answerMs = answerMs;
  }

  async identity(): Promise<ServerIdentity> {
    const { connection, namespace } = this.#temporal;
    return this.#inTime(async () => {
      const described = await connection.workflowService.describeNamespace({ namespace });
      const namespaceId = described.namespaceInfo?.id ?? '';
      const { clusterId } = await connection.workflowService.getClusterInfo({});
      return { clusterId, namespaceId };
    });
  }

  async fateOf({
    moveId,
    migrationId,
    server,
  }: Pick<MoveMemory, 'moveId' | 'migrationId' | 'server'>): Promise<MoveFate> {
    try {
      const now = await this.identity();
      const fate = await this.#fateHere(moveId, migrationId);
      // No two servers give one ID to two runs, and a move that runs is to be let alone whoever says so.
      if (fate.state === 'open' || isSameServer(server, now)) return fate;
      return foreign(server, now);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      return { state: 'unknown', why: 'unreachable', detail: `Temporal did not answer: ${said}` };
    }
  }

  async #fateHere(moveId: string, migrationId: string): Promise<MoveFate> {
    try {
      // The newest run of that ID: a reset or continued move lives on in it.
      const newest = await this.#describe(moveId, '');
      if (newest.firstRunId === '')
        return unclear('the server does not tell the first run of a workflow');
      if (newest.firstRunId === migrationId) return fateOfStatus(newest.status);
      // Another move of the same VM; only one of an ID can be open, so ours is over, if it ever was.
      const { status } = await this.#describe(moveId, migrationId);
      return fateOfStatus(status, { mustBeClosed: true });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const detail = `Temporal knows no move ${moveId} (run ${migrationId})`;
      return { state: 'unknown', why: 'not-found', detail };
    }
  }

  async #describe(workflowId: string, runId: string): Promise<Run> {
    const { connection, namespace } = this.#temporal;
    const answer = await this.#inTime(() =>
      connection.workflowService.describeWorkflowExecution({
        namespace,
        execution: { workflowId, runId },
      }),
    );
    const info = answer.workflowExecutionInfo;
    return {
      status: info?.status,
      runId: info?.execution?.runId ?? '',
      firstRunId: info?.firstRunId ?? '',
    };
  }

  #inTime<T>(ask: () => Promise<T>): Promise<T> {
    return this.#temporal.connection.withDeadline(Date.now() + this.#answerMs, ask);
  }
}

function fateOfStatus(status: Run['status'], options?: { mustBeClosed: boolean }): MoveFate {
  const how = closedAs.get(status);
  if (how !== undefined) return { state: 'closed', how };
  const open =
    status === Status.WORKFLOW_EXECUTION_STATUS_RUNNING ||
    status === Status.WORKFLOW_EXECUTION_STATUS_PAUSED;
  if (open && options?.mustBeClosed !== true) return { state: 'open' };
  return unclear(`its status ${String(status)} does not say whether it has ended`);
}

const unclear = (what: string): MoveFate => ({
  state: 'unknown',
  why: 'unclear',
  detail: `Temporal's answer about the move is not clear: ${what}`,
});

const foreign = (began: ServerIdentity, now: ServerIdentity): MoveFate => ({
  state: 'unknown',
  why: 'foreign-server',
  detail:
    began.clusterId === '' || now.clusterId === ''
      ? 'it is not known on which Temporal server the move began'
      : `the move began on another Temporal server (cluster ${began.clusterId}, namespace ${began.namespaceId}); this one is ${now.clusterId}, ${now.namespaceId}`,
});
