/** `vmferry control`: runs the workflows. Several may run anywhere; none needs anything but Temporal. */
import { readFile } from 'node:fs/promises';
import { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { WorkflowBundleOption } from '@temporalio/worker';
import { createControlActivities } from '../activities/control/verbs.ts';
import { deploymentName } from '../client/versions.ts';
import type { Config } from '../config/schema.ts';
import { controlQueue } from '../workflows/contract.ts';
import { buildBundle, bundlePath, isOfTheseSources, sourcesHash } from './build-bundle.ts';
import { keepPlace, takePlace } from './deployment.ts';
import type { Verdict } from './deployment.ts';
import { TemporalFleet } from './fleet-access.ts';
import type { TemporalAccess } from './process.ts';
import { connectTemporal, installLogging, runUntilStopped, shutdownGraceMs } from './process.ts';
import { certificateMark, followCertificates } from './renew-connection.ts';
import { ensureSearchAttributes } from './search-attributes.ts';
import { version } from './version.ts';

export async function runControl(config: Config): Promise<void> {
  const logger = installLogging(config.log.level);
  const mark = await certificateMark(config.temporal);
  const access = await connectTemporal(config, logger);
  const over = new AbortController();
  try {
    await ensureSearchAttributes(access.connection, access.namespace, logger);
    const buildId = await ownBuildId();
    const worker = await createControlWorker(access, {
      buildId,
      workflowBundle: await bundle(logger),
    });
    await Promise.all([
      runInPlace(worker, { access, buildId, logger }).finally(() => over.abort()),
      followCertificates({
        ...{ temporal: config.temporal, access, worker, logger },
        ...{ mark, signal: over.signal },
      }),
    ]);
  } finally {
    await access.connection.close();
  }
}

/** A worker for the workflows of one version, and for what they ask of hosts' entities; not polling yet. */
export const createControlWorker = (
  access: TemporalAccess,
  { buildId, workflowBundle }: { buildId: string; workflowBundle: WorkflowBundleOption },
): Promise<Worker> =>
  Worker.create({
    ...access,
    taskQueue: controlQueue,
    workflowBundle,
    activities: createControlActivities((cluster) => new TemporalFleet(access, cluster)),
    shutdownGraceTime: shutdownGraceMs,
    workerDeploymentOptions: {
      useWorkerVersioning: true,
      version: { deploymentName, buildId },
      // A move ends under the workflows that it began with; what lives for ever says otherwise itself.
      defaultVersioningBehavior: 'PINNED',
    },
  });

/** Runs until it is told to stop; `onPlace` hears once it is settled who serves new moves. */
export async function runInPlace(
  worker: Worker,
  options: {
    access: TemporalAccess;
    buildId: string;
    logger: Logger;
    onPlace?: (verdict: Verdict) => void;
  },
): Promise<void> {
  const { access, buildId, logger, onPlace } = options;
  const over = new AbortController();
  const place = async (): Promise<void> => {
    try {
      const verdict = await takePlace(access, buildId, { logger, signal: over.signal });
      if (verdict === undefined) return;
      onPlace?.(verdict);
      if (verdict === 'was-replaced') {
        logger.warn(
          { version: buildId },
          'another version is current: this worker serves only the moves that began under its own',
        );
      }
      logger.info({ queue: controlQueue, version: buildId }, 'control worker is ready');
      await keepPlace(access, buildId, { logger, signal: over.signal });
    } catch (error) {
      if (over.signal.aborted) return;
      // Its supervisor starts it anew: a worker that no move ever comes to must not look healthy.
      worker.shutdown();
      throw error;
    }
  };
  await Promise.all([
    runUntilStopped(worker, logger).finally(() => {
      over.abort();
    }),
    place(),
  ]);
}

/** The prebuilt one if it was made of these sources, else one made now, which takes some seconds. */
async function bundle(logger: Logger): Promise<WorkflowBundleOption> {
  const prebuilt = await readFile(bundlePath, 'utf8').catch(() => undefined);
  if (prebuilt !== undefined && (await isOfTheseSources(prebuilt))) return { codePath: bundlePath };
  logger.warn(
    { bundlePath },
    'the prebuilt workflow bundle is missing or of other sources; `npm run build` makes it',
  );
  return { code: await buildBundle() };
}

/**
 * `0.1.0-4f1c0a92b7de`: the package's version, and its workflows' sources; or `$VMFERRY_BUILD_ID`, where somebody else
 * keeps count of versions.
 */
export const ownBuildId = async (env = process.env): Promise<string> => {
  const given = env['VMFERRY_BUILD_ID'] ?? '';
  return given === '' ? `${version}-${(await sourcesHash()).slice(0, 12)}` : given;
};
