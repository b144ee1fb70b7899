/** `vmferry host`: the verbs of one host, beside its libvirt. Opens no port for commands. */
import { Worker } from '@temporalio/worker';
import { HostBandwidth } from '../activities/host-bandwidth.ts';
import { Operations } from '../activities/operations.ts';
import type { HostParts } from '../activities/parts.ts';
import { readHost } from '../activities/read-host.ts';
import type { Config, HostConfig } from '../config/schema.ts';
import { needsOperator } from '../domain/errors.ts';
import { installHook } from '../guard/install.ts';
import { Ledger } from '../guard/ledger.ts';
import { hostQueue } from '../workflows/contract.ts';
import { NbdDataPlane } from './data-plane.ts';
import { HostNews } from './host-news.ts';
import { ensureHookSeen } from './hook-seen.ts';
import { LibvirtHypervisor } from './hypervisor.ts';
import { takeUpDuties } from './reconcile-duties.ts';
import { connectTemporal, installLogging, runUntilStopped, shutdownGraceMs } from './process.ts';
import { certificateMark, followCertificates } from './renew-connection.ts';
import { tellHost } from './tell-host.ts';
import { refuseUnknownVerb } from './unknown-verb.ts';
import { version } from './version.ts';

/** Beats reach the server at least this often, so that a dead worker is noticed in seconds. */
const heartbeatThrottleMs = 1_000;

export async function runHost(config: Config): Promise<void> {
  const logger = installLogging(config.log.level);
  const host = hostSection(config);
  const ledger = new Ledger({ stateDir: host.stateDir, host: host.name });
  const hypervisor = new LibvirtHypervisor(host, ledger);
  const dataPlane = new NbdDataPlane(host, hypervisor.readSecret);
  const hook = await installHook({ hooksDir: host.hooksDir, stateDir: host.stateDir });
  const seen = await ensureHookSeen(hypervisor);
  logger.info({ hook, live: seen.live, detail: seen.detail }, 'guard');
  const orphans = await dataPlane.endOrphans();
  if (orphans > 0) logger.info({ orphans }, 'ended disk servers that a killed worker had left');
  // They harm nothing, so libvirt that does not answer now is for the verbs to name, not a reason to stay away.
  const looks = await hypervisor.endOrphans().catch((error: unknown) => {
    logger.warn({ error }, 'cannot look for storage pools that a killed worker left');
    return 0;
  });
  if (looks > 0) logger.info({ looks }, 'ended storage pools that a killed worker had left');
  const parts: HostParts = {
    name: host.name,
    version,
    migrationAddress: host.migrationAddress,
    stateDir: host.stateDir,
    bandwidthBytesPerSecond: host.limits.bandwidth,
    parallelCopies: host.limits.parallelCopies,
    hypervisor,
    dataPlane,
    ledger,
    operations: new Operations(),
  };
  const mark = await certificateMark(config.temporal);
  const temporal = await connectTemporal(config, logger);
  const over = new AbortController();
  try {
    const { connection, namespace, dataConverter } = temporal;
    const bandwidth = new HostBandwidth(parts);
    const duties = await takeUpDuties({ parts, host, temporal, dataPlane, bandwidth, logger });
    const entity = { cluster: config.cluster, name: host.name };
    const news = new HostNews({
      read: () => readHost(parts, bandwidth),
      tell: (reading) => tellHost(temporal, entity, { reading }),
      logger,
    });
    const worker = await Worker.create({
      connection,
      namespace,
      dataConverter,
      taskQueue: hostQueue(host.name),
      activities: {
        ...news.after(duties.activities),
        default: refuseUnknownVerb({ host: host.name, version }),
      },
      shutdownGraceTime: shutdownGraceMs,
      maxHeartbeatThrottleInterval: heartbeatThrottleMs,
      defaultHeartbeatThrottleInterval: heartbeatThrottleMs,
    });
    const { migrationAddress } = host;
    const startedAt = new Date().toISOString();
    await tellHost(temporal, entity, {
      announce: { name: host.name, version, migrationAddress, startedAt },
    });
    logger.info({ queue: hostQueue(host.name) }, 'host worker is ready');
    await Promise.all([
      runUntilStopped(worker, logger).finally(() => {
        duties.stop();
        over.abort();
      }),
      duties.reconcile(),
      news.run(over.signal),
      followCertificates({
        ...{ temporal: config.temporal, access: temporal, worker, logger },
        ...{ mark, signal: over.signal },
      }),
    ]);
  } finally {
    await temporal.connection.close();
    await hypervisor.close();
  }
}

function hostSection(config: Config): HostConfig {
  if (config.host !== undefined) return config.host;
  throw needsOperator({
    code: 'host-section-missing',
    message: 'the configuration has no section `host`, which a host worker needs',
    remedy: 'Add it with at least `name` and `migrationAddress`; docs/configuration.md shows how.',
  });
}
