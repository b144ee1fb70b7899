/** `vmferry control`: runs the workflows. Several may run anywhere; none needs anything but Temporal. */
import { readFile } from 'node:fs/promises';
import { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { WorkflowBundleOption } from '@temporalio/worker';
import type { Config } from '../config/schema.ts';
import { controlQueue } from '../workflows/contract.ts';
import { buildBundle, bundlePath, isOfTheseSources } from './build-bundle.ts';
import { connectTemporal, installLogging, runUntilStopped, shutdownGraceMs } from './process.ts';
import { ensureSearchAttributes } from './search-attributes.ts';

export async function runControl(config: Config): Promise<void> {
  const logger = installLogging(config.log.level);
  const { connection, namespace, dataConverter } = await connectTemporal(config, logger);
  try {
    await ensureSearchAttributes(connection, namespace);
    const worker = await Worker.create({
      connection,
      namespace,
      dataConverter,
      taskQueue: controlQueue,
      workflowBundle: await bundle(logger),
      shutdownGraceTime: shutdownGraceMs,
    });
    logger.info({ queue: controlQueue }, 'control worker is ready');
    await runUntilStopped(worker, logger);
  } finally {
    await connection.close();
  }
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
