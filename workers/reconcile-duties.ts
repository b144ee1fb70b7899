/** What a host worker does beside carrying out verbs: it holds its host's policy, and clears up timidly. */
import type { Logger } from 'pino';
import { createHostActivities } from '../activities/index.ts';
import type { HostActivities } from '../activities/contract.ts';
import type { ImportActivities } from '../activities/import/contract.ts';
import { createImportActivities } from '../activities/import/index.ts';
import type { HostBandwidth } from '../activities/host-bandwidth.ts';
import type { OrphanActivities } from '../activities/orphans.ts';
import { createOrphanActivities } from '../activities/orphans-verbs.ts';
import type { HostParts } from '../activities/parts.ts';
import { Gate } from '../activities/policy-gate.ts';
import type { UpkeepActivities } from '../activities/upkeep.ts';
import type { HostConfig } from '../config/schema.ts';
import { Quarantine } from '../guard/quarantine.ts';
import { Exports } from '../platforms/libvirt/export.ts';
import type { NbdDataPlane } from './data-plane.ts';
import { importParts, keepCaches } from './import-duties.ts';
import { PolicyFile } from './policy-file.ts';
import type { TemporalAccess } from './process.ts';
import { Reconciler } from './reconcile.ts';
import { TemporalWitness } from './reconcile-temporal.ts';
import type { Witness } from './reconcile-temporal.ts';

export interface Duties {
  activities: HostActivities & UpkeepActivities & OrphanActivities & ImportActivities;
  /** Clears up until `stop`; resolves then. */
  reconcile(): Promise<void>;
  stop(): void;
}

export async function takeUpDuties(options: {
  parts: HostParts;
  host: HostConfig;
  temporal: TemporalAccess;
  dataPlane: NbdDataPlane;
  /** The caps of this host, which its news tell too. */
  bandwidth: HostBandwidth;
  logger: Logger;
}): Promise<Duties> {
  const { parts, host, temporal, dataPlane, bandwidth, logger } = options;
  const policy = new PolicyFile(host.policy === undefined ? {} : { path: host.policy });
  const quarantine = new Quarantine({ stateDir: host.stateDir, host: host.name });
  const witness = new TemporalWitness(temporal);
  const gate = new Gate({ parts, policy, server: () => reconciler.server });
  // Only to read what is recorded; the data plane's own opens and ends exports.
  const recorded = new Exports({
    host: host.name,
    stateDir: host.stateDir,
    tlsDir: host.tls.dir,
    address: host.migrationAddress,
    ports: host.exportPorts,
  });
  const reconciler: Reconciler = new Reconciler({
    parts,
    gate,
    quarantine,
    witness,
    exports: () => recorded.names(),
    endLocalServers: () => dataPlane.endOrphans(),
    log: (level, facts, message) => logger[level](facts, message),
  });
  const now = await policy.current();
  if (now.state === 'broken') logger.error(now, 'the policy cannot be used: nothing new is let in');
  else logger.info({ file: now.policy.file }, 'policy');
  // Before the first verb: a move is remembered with the server that it began on.
  await reconciler
    .meetServer()
    .catch((error: unknown) => logger.warn({ error }, 'Temporal does not tell which server it is'));
  const stopping = new AbortController();
  const conversion = importParts(parts, host, () => reconciler.server);
  const log = (level: 'info' | 'warn', facts: object, message: string): void =>
    logger[level](facts, message);
  return {
    activities: {
      ...createHostActivities(parts, gate, bandwidth),
      ...createImportActivities({
        ...{ parts, gate },
        ...(conversion === undefined ? {} : { conversion }),
      }),
      ...createOrphanActivities(parts, {
        quarantine,
        look: () => reconciler.round(),
        fateOf: (move) => reconciler.fateOf(move),
        isAtWork: (migrationId) => gate.isAtWork(migrationId),
        admit: (operator) => gate.admitOrder('remove-orphan', operator),
      }),
    },
    reconcile: async () => {
      const fateOf: Witness['fateOf'] = (move) => witness.fateOf(move);
      const { signal } = stopping;
      const caches = conversion === undefined ? [] : [conversion];
      await Promise.all([
        reconciler.run(signal),
        ...caches.map((own) => keepCaches(own, { fateOf, log, signal })),
      ]);
    },
    stop: () => stopping.abort(),
  };
}
