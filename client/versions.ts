import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import proto from '@temporalio/proto';
import { controlQueue, moveKeys, workflowTypes } from '../workflows/contract.ts';
import { isNotFound } from './errors.ts';
import { hasPolledLately } from './pollers.ts';

/** The control workers' versions together, as Temporal's Worker Deployments call them. */
export const deploymentName = 'vmferry-control';

/** A move that is not over. */
export interface OpenMove {
  id: string;
  vmName: string;
  phase: string;
}

/** A version of the control worker that serves, that new moves go to, or that moves are pinned to. */
export interface VersionLine {
  /** Its build ID, `0.1.0-4f1c0a92b7de`. */
  version: string;
  /** Whether new moves go to it. */
  current: boolean;
  /** Whether a worker of it has polled in the last minute or so. */
  online: boolean;
  /** Began under it, and need a worker of it until they are over. */
  moves: OpenMove[];
}

/** What `vmferry versions` tells. */
export interface VersionList {
  versions: VersionLine[];
  /** Moves that no worker has taken up yet: the current version will. */
  waiting: OpenMove[];
}

/** Temporal's own; its value is `<deployment>:<build ID>`. */
const pinnedTo = defineSearchAttributeKey(
  'TemporalWorkerDeploymentVersion',
  SearchAttributeType.KEYWORD,
);

/**
 * All versions that matter, the current one first. Moves of every cluster in the namespace count, since they share the
 * workers. Temporal's list of moves lags by about a second.
 */
export async function listVersions(client: Client): Promise<VersionList> {
  const [current, online, { pinned, waiting }] = await Promise.all([
    currentVersion(client),
    pollingVersions(client),
    openMoves(client),
  ]);
  const names = new Set([...online, ...pinned.keys(), ...(current === '' ? [] : [current])]);
  const versions = [...names].map((version) => ({
    version,
    current: version === current,
    online: online.has(version),
    moves: pinned.get(version) ?? [],
  }));
  versions.sort(
    (a, b) => Number(b.current) - Number(a.current) || a.version.localeCompare(b.version),
  );
  return { versions, waiting };
}

/** '' if no control worker has ever come up on this server. */
async function currentVersion({ workflowService, options }: Client): Promise<string> {
  try {
    const { workerDeploymentInfo } = await workflowService.describeWorkerDeployment({
      namespace: options.namespace,
      deploymentName,
    });
    return workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId ?? '';
  } catch (error) {
    if (isNotFound(error)) return '';
    throw error;
  }
}

async function pollingVersions({ workflowService, options }: Client): Promise<Set<string>> {
  const { pollers } = await workflowService.describeTaskQueue({
    namespace: options.namespace,
    taskQueue: { name: controlQueue },
    taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
  });
  return new Set(
    pollers
      .filter(hasPolledLately)
      .map(({ deploymentOptions }) => deploymentOptions?.buildId ?? '')
      .filter((version) => version !== ''),
  );
}

async function openMoves(
  client: Client,
): Promise<{ pinned: Map<string, OpenMove[]>; waiting: OpenMove[] }> {
  const types = `('${workflowTypes.migrateVm}', '${workflowTypes.drain}')`;
  const query = `WorkflowType IN ${types} AND ExecutionStatus = 'Running'`;
  const pinned = new Map<string, OpenMove[]>();
  const waiting: OpenMove[] = [];
  for await (const move of client.workflow.list({ query })) {
    const version = versionOf(move);
    const among = version === undefined ? waiting : (pinned.get(version) ?? []);
    if (version !== undefined) pinned.set(version, among);
    const attributes = move.typedSearchAttributes;
    among.push({
      id: move.workflowId,
      vmName: attributes.get(moveKeys.vmName) ?? '',
      // A drain is pinned as a move is, and has neither VM nor phase.
      phase: attributes.get(moveKeys.phase) ?? (isDrain(move) ? 'draining' : ''),
    });
  }
  return { pinned, waiting };
}

const isDrain = ({ type }: WorkflowExecutionInfo): boolean => type === workflowTypes.drain;

/** Undefined before a worker has taken it up. */
function versionOf({ typedSearchAttributes }: WorkflowExecutionInfo): string | undefined {
  const prefix = `${deploymentName}:`;
  const value = typedSearchAttributes.get(pinnedTo);
  return value?.startsWith(prefix) === true ? value.slice(prefix.length) : undefined;
}
