/**
 * A worker's connection to Temporal follows its certificate files: they are renewed under it, and a connection made
 * with the old ones would be refused at its next reconnect once they end.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { NativeConnection } from '@temporalio/worker';
import type { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { TemporalConfig } from '../config/schema.ts';
import { connectionSettings } from '../config/temporal-connection.ts';
import type { ConnectionSettings } from '../config/temporal-connection.ts';
import type { TemporalAccess } from './process.ts';

/** Between looks at the files, ms. Looked at, not watched: a watch misses files that are links and move as one. */
const lookMs = 10_000;
/** The SDK sets no limit of its own to a server that takes the connection and says nothing, ms. */
const connectLimitMs = 30_000;

export interface Following {
  temporal: TemporalConfig;
  /** Its `connection` is replaced, so whoever asks it each time uses the new one. */
  access: TemporalAccess;
  worker: Pick<Worker, 'connection'>;
  logger: Pick<Logger, 'info' | 'warn'>;
  signal: AbortSignal;
  /** Of the files that `access` was connected with: `certificateMark`, taken before they were read. */
  mark: string;
  /** Default 10 s. */
  everyMs?: number;
}

/**
 * Until `signal`: once a file of `temporal.tls` has other content, connects anew and hands the worker over; what runs
 * goes on. Does not throw: files that are of no use yet leave the old connection in place, and are tried again.
 */
export async function followCertificates(following: Following): Promise<void> {
  const { temporal, access, logger, signal, everyMs = lookMs } = following;
  if (filesOf(temporal).length === 0) return;
  let { mark } = following;
  while (await passes(everyMs, signal)) {
    try {
      const now = await certificateMark(temporal);
      if (now === mark) continue;
      const settings = await connectionSettings(temporal);
      // Still being written: what was read may be of two issues.
      if ((await certificateMark(temporal)) !== now) continue;
      const old = access.connection;
      await handOver(following, settings);
      mark = now;
      logger.info({ address: temporal.address }, 'uses renewed certificates towards Temporal');
      await old.close();
    } catch (error) {
      logger.warn({ error: String(error) }, 'cannot change to renewed certificates of Temporal');
    }
  }
}

/** False if the signal ends the wait. */
const passes = (ms: number, signal: AbortSignal): Promise<boolean> =>
  delay(ms, true, { signal }).catch(() => false);

const filesOf = ({ tls }: TemporalConfig): string[] =>
  [tls?.ca, tls?.cert, tls?.key].filter((path) => path !== undefined);

/** Of the files' contents, since a time says nothing of one that was restored or linked; '' if one is unreadable. */
export async function certificateMark(temporal: TemporalConfig): Promise<string> {
  try {
    const texts = await Promise.all(filesOf(temporal).map((path) => readFile(path)));
    const hash = createHash('sha256');
    for (const text of texts) hash.update(createHash('sha256').update(text).digest());
    return hash.digest('hex');
  } catch {
    return '';
  }
}

async function handOver(
  { access, worker, signal }: Following,
  settings: ConnectionSettings,
): Promise<void> {
  const fresh = await connectInTime(settings);
  try {
    // Stopped meanwhile: its owner closes what `access` holds, and nothing else.
    signal.throwIfAborted();
    worker.connection = fresh;
  } catch (error) {
    await fresh.close();
    throw error;
  }
  access.connection = fresh;
}

/** Connects, which includes a first answer of the server: certificates that it refuses show here. */
async function connectInTime(settings: ConnectionSettings): Promise<NativeConnection> {
  const connecting = NativeConnection.connect(settings);
  const over = new AbortController();
  const late = delay(connectLimitMs, undefined, { signal: over.signal }).then(() => {
    // What comes after all is not used by anybody.
    connecting.then(
      (connection) => connection.close(),
      () => undefined,
    );
    throw new Error(`${settings.address} did not answer in ${connectLimitMs / 1000} s`);
  });
  try {
    return await Promise.race([connecting, late]);
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}
