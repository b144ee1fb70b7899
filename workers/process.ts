import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import type { LogLevel, Worker } from '@temporalio/worker';
import type { DataConverter } from '@temporalio/common';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { resolvePayloadKeys } from '../config/secrets.ts';
import type { Config } from '../config/schema.ts';
import { connectionSettings } from '../config/temporal-connection.ts';
import { needsOperator, transient } from '../domain/errors.ts';
import { dataConverter } from '../client/payload-codec.ts';

/** A worker that is told to stop lets its activities flush their progress for so long, ms. */
export const shutdownGraceMs = 5_000;
const connectTries = 60;

/** JSON lines on stderr, Temporal's own included. */
export function installLogging(level: Config['log']['level']): Logger {
  const logger = pino({ level, base: { pid: process.pid } }, pino.destination(2));
  const temporalLevel = (
    level === 'fatal' || level === 'silent' ? 'error' : level
  ).toUpperCase() as LogLevel;
  Runtime.install({
    logger: new DefaultLogger(temporalLevel, ({ level: at, message, meta }) => {
      const write = {
        TRACE: 'trace',
        DEBUG: 'debug',
        INFO: 'info',
        WARN: 'warn',
        ERROR: 'error',
      } as const;
      logger[write[at]](meta ?? {}, message);
    }),
  });
  return logger;
}

/** What every worker needs of Temporal: a connection, and the fleet's codec. */
export interface TemporalAccess {
  connection: NativeConnection;
  namespace: string;
  dataConverter: DataConverter;
}

/** Throws `encryption-missing` and `temporal-unreachable`, the latter after a minute of trying. */
export async function connectTemporal(config: Config, logger: Logger): Promise<TemporalAccess> {
  if (config.encryption === undefined) {
    throw needsOperator({
      code: 'encryption-missing',
      message:
        'the configuration has no section `encryption`: payloads may not go to Temporal in plain',
      remedy: 'Add a key; docs/configuration.md shows how.',
    });
  }
  const keys = await resolvePayloadKeys(config.encryption);
  const settings = await connectionSettings(config.temporal);
  return {
    connection: await connectPatiently(settings, logger),
    namespace: config.temporal.namespace,
    dataConverter: dataConverter(keys),
  };
}

/** A worker may come up before its server. */
async function connectPatiently(
  settings: Parameters<typeof NativeConnection.connect>[0] & { address: string },
  logger: Logger,
): Promise<NativeConnection> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await NativeConnection.connect(settings);
    } catch (cause) {
      if (tries >= connectTries) {
        throw transient({
          code: 'temporal-unreachable',
          message: `Temporal at ${settings.address} did not answer ${connectTries} times`,
          remedy: 'Check `temporal.address` in the configuration and that the server runs.',
          cause,
        });
      }
      logger.warn({ address: settings.address, tries }, 'Temporal does not answer yet');
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

/** Runs until SIGTERM or SIGINT, then stops in order: no new work, running activities told, heartbeats flushed. */
export async function runUntilStopped(worker: Worker, logger: Logger): Promise<void> {
  const stop = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, 'stopping');
    if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  try {
    await worker.run();
  } finally {
    process.off('SIGTERM', stop);
    process.off('SIGINT', stop);
  }
  logger.info('stopped');
}
