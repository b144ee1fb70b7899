/** `vmferry control`: runs the workflows. Several may run anywhere; none needs anything but Temporal. */
import { access } from 'node:fs/promises';
import { Worker } from '@temporalio/worker';
import type { WorkflowBundleOption } from '@temporalio/worker';
import type { Config } from '../config/schema.ts';
import { controlQueue } from '../workflows/contract.ts';
import { buildBundle, bundlePath } from './build-bundle.ts';
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
      workflowBundle: await bundle(),
      shutdownGraceTime: shutdownGraceMs,
    });
    logger.info({ queue: controlQueue }, 'control worker is ready');
    await runUntilStopped(worker, logger);
  } finally {
    await connection.close();
  }
}

/** The prebuilt one, or one made now (some seconds) in a checkout that has none. */
async function bundle(): Promise<WorkflowBundleOption> {
  try {
    await access(bundlePath);
    return { codePath: bundlePath };
  } catch {
    return { code: await buildBundle() };
  }
}
