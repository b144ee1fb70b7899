/**
 * Versions of the control worker, as Temporal's Worker Deployments have them: a move stays with the version it began
 * under, new moves go to the current one. What a version is: these workflows, by package version and sources.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import proto from '@temporalio/proto';
import { transient } from '../domain/errors.ts';
import { deploymentName } from '../client/versions.ts';
import { controlQueue } from '../workflows/contract.ts';
import { answered, grpcCode } from './answered.ts';
import type { TemporalAccess } from './process.ts';

/** Between looks at whether the server knows this version yet, ms. */
const lookMs = 250;
/** Once that is settled, ms. */
const lookAgainMs = 15_000;
/** A worker that polls is known within a second or two; beyond this the server has a problem. */
const knownWithinMs = 60_000;
/** A version whose workers have not polled for so long has none, ms. Polls last a minute at most. */
const silentMs = 75_000;
/** gRPC's NOT_FOUND, FAILED_PRECONDITION and ABORTED. */
const grpc = { notFound: 5, failedPrecondition: 9, aborted: 10 } as const;

type Server = Pick<TemporalAccess, 'connection' | 'namespace'>;

/** One question to the server, with what is needed to ask it again. */
interface Asking extends Server {
  logger: Logger;
  signal: AbortSignal;
}

/** What Temporal says of a deployment, as far as it decides who becomes current. */
export interface DeploymentState {
  /** Build ID that new moves go to; '' if none. */
  current: string;
  /** Whether a worker of the current version has polled lately. */
  currentAlive: boolean;
  /** Versions that the server knows. */
  versions: readonly { buildId: string; wasCurrent: boolean }[];
}

/** Why this version becomes the current one, or why not. */
export type Verdict = 'is-current' | 'not-known-yet' | 'first' | 'newer' | 'sole' | 'was-replaced';

/**
 * A version becomes current when it first comes up, and if nobody else serves. One that was replaced does not take over
 * again because its worker is restarted: that would turn an upgrade back.
 */
export function judgeVersion(
  { current, currentAlive, versions }: DeploymentState,
  own: string,
): Verdict {
  if (current === own) return 'is-current';
  const self = versions.find(({ buildId }) => buildId === own);
  if (self === undefined) return 'not-known-yet';
  if (current === '') return 'first';
  if (!self.wasCurrent) return 'newer';
  return currentAlive ? 'was-replaced' : 'sole';
}

interface PlaceOptions {
  logger: Logger;
  signal: AbortSignal;
  /** Whether it may take over from a version that is silent: only a worker that has just come up. */
  atStart?: boolean;
}

/**
 * Sees to it that new moves have a version to go to; for a worker that polls already. Resolves with what was done.
 * Throws `version-unknown` if the server does not take it.
 */
export async function takePlace(
  access: Server,
  own: string,
  { logger, signal, atStart = true }: PlaceOptions,
): Promise<Verdict | undefined> {
  const deadline = Date.now() + knownWithinMs;
  const asking = { connection: access.connection, namespace: access.namespace, logger, signal };
  while (!signal.aborted) {
    const { state, conflictToken } = await describe(asking);
    const verdict = judgeVersion(state, own);
    if (verdict === 'is-current' || verdict === 'was-replaced') return verdict;
    // In the middle of an upgrade the new version may be silent for a while; that is no reason to turn it back.
    if (verdict === 'sole' && !atStart) return verdict;
    if (verdict !== 'not-known-yet' && (await makeCurrent(asking, own, conflictToken))) {
      logger.info(
        { version: own, before: state.current, why: verdict },
        'new moves go to this version',
      );
      return verdict;
    }
    if (Date.now() > deadline) throw unknownVersion(own);
    await delay(lookMs, undefined, { signal }).catch(ignoreAbort);
  }
  return undefined;
}

/**
 * Looks again now and then, until `signal`: a server whose database came back from a backup, or was lost, knows no
 * version or an older one, and new moves would wait for ever. Does not throw: the next look may succeed.
 */
export async function keepPlace(access: Server, own: string, options: PlaceOptions): Promise<void> {
  const { logger, signal } = options;
  for (;;) {
    await delay(lookAgainMs, undefined, { signal }).catch(ignoreAbort);
    if (signal.aborted) return;
    try {
      await takePlace(access, own, { logger, signal, atStart: false });
    } catch (error) {
      logger.warn({ error: String(error) }, 'cannot see which version new moves go to');
    }
  }
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
}

interface Described {
  state: DeploymentState;
  conflictToken: Uint8Array;
}

async function describe(asking: Asking): Promise<Described> {
  const { connection, namespace } = asking;
  try {
    const { workerDeploymentInfo: info, conflictToken } = await answered(
      { ...asking, what: 'versions of the control worker' },
      () => connection.workflowService.describeWorkerDeployment({ namespace, deploymentName }),
    );
    const current = info?.routingConfig?.currentDeploymentVersion?.buildId ?? '';
    const versions = (info?.versionSummaries ?? []).map((one) => ({
      buildId: one.deploymentVersion?.buildId ?? '',
      wasCurrent: one.firstActivationTime != null,
    }));
    const currentAlive = current !== '' && (await isPolling(asking, current));
    return { state: { current, currentAlive, versions }, conflictToken };
  } catch (error) {
    if (grpcCode(error) !== grpc.notFound) throw error;
    return {
      state: { current: '', currentAlive: false, versions: [] },
      conflictToken: new Uint8Array(),
    };
  }
}

/** Whether workers of a version poll for workflow tasks. */
async function isPolling(asking: Asking, buildId: string): Promise<boolean> {
  const { connection, namespace } = asking;
  const { pollers } = await answered({ ...asking, what: 'who polls for workflows' }, () =>
    connection.workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name: controlQueue },
      taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    }),
  );
  return pollers.some(
    ({ deploymentOptions, lastAccessTime }) =>
      deploymentOptions?.buildId === buildId &&
      Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1000 < silentMs,
  );
}

/**
 * False if the deployment has changed since it was looked at, or is not ready for it: look again. So it is, too, if the
 * answer to a first try was lost.
 */
async function makeCurrent(
  asking: Asking,
  buildId: string,
  conflictToken: Uint8Array,
): Promise<boolean> {
  const { connection, namespace } = asking;
  try {
    await answered({ ...asking, what: 'the version that new moves go to' }, () =>
      connection.workflowService.setWorkerDeploymentCurrentVersion({
        namespace,
        deploymentName,
        buildId,
        conflictToken,
        identity: `vmferry control ${process.pid}`,
      }),
    );
    return true;
  } catch (error) {
    const code = grpcCode(error);
    if (code === grpc.failedPrecondition || code === grpc.aborted) return false;
    throw error;
  }
}

const unknownVersion = (own: string) =>
  transient({
    code: 'version-unknown',
    message: `Temporal did not take version ${own} of ${deploymentName} within ${knownWithinMs / 1000} s after its worker began to poll`,
    remedy: 'Look at the log of the Temporal server; vmferry was tried with 1.32.',
  });
