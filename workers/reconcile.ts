/**
 * The timid cleaner of a host. At its start and every few minutes it looks what the host holds of moves and asks
 * Temporal about each: it acts only where Temporal says that this very move is over. A move that Temporal does not
 * know, a server that does not answer or is another one: nothing is touched, and what lies there is listed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { forgetLongEnded } from '../activities/ended.ts';
import type { Gate } from '../activities/policy-gate.ts';
import type { HostParts } from '../activities/parts.ts';
import type { MoveFate, MoveMemory, Orphan, ServerIdentity } from '../domain/orphans.ts';
import type { Quarantine } from '../guard/quarantine.ts';
import { clearClosed } from './reconcile-closed.ts';
import { ownEntry, unknownOrphans } from './reconcile-orphans.ts';
import { lookAround } from './reconcile-sight.ts';
import type { MoveSight } from './reconcile-sight.ts';
import type { Witness } from './reconcile-temporal.ts';

/** Between rounds, ms; up to a quarter more, so that the hosts of a fleet do not ask all at once. */
const everyMs = 5 * 60_000;
/** Until the next round when one move was only seen to be over, or is still being worked on. */
const soonMs = 20_000;
/** A move has to be seen closed for so long: the last verbs of other processes hear of its end by their next beat. */
const graceMs = 15_000;
/** A folder without a memory that is younger is just being made. */
const newbornMs = 60_000;
const roundMs = 2 * 60_000;

export interface ReconcilerOptions {
  parts: HostParts;
  gate: Pick<Gate, 'isAtWork'>;
  quarantine: Quarantine;
  witness: Witness;
  /** Every recorded export of the host. */
  exports: () => Promise<{ moveId: string; diskName: string }[]>;
  /** Ends local disk servers whose worker is gone. */
  endLocalServers: () => Promise<number>;
  log: (level: 'info' | 'warn', facts: object, message: string) => void;
  /** For tests. */
  graceMs?: number;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** When a move was first seen to be over, by this process's clock. */
  readonly #closedSince = new Map<string, number>();
  #findings: Orphan[] = [];
  #round: Promise<Orphan[]> | undefined;
  #server: ServerIdentity = { clusterId: '', namespaceId: '' };
  #pending = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** The server that answered last. */
  get server(): ServerIdentity {
    return this.#server;
  }

  /** Learns which server this is; until then, moves are let in with a server that nobody knows. */
  async meetServer(): Promise<void> {
    this.#server = await this.#options.witness.identity();
  }

  /** Rounds until `signal` fires. Does not reject: what goes wrong is logged, and the next round tries again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.round().catch((error: unknown) =>
        this.#options.log('warn', { error }, 'a round of the cleaner failed'),
      );
      const pause = this.#pending ? soonMs : everyMs * (1 + Math.random() / 4);
      await delay(pause, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /**
   * One look at everything; never two at once. Gives what a person has to see to beside the register: what the guard
   * holds, and everything of moves that Temporal does not tell of.
   */
  async round(): Promise<Orphan[]> {
    this.#round ??= this.#lookAtAll().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async fateOf(move: Pick<MoveMemory, 'moveId' | 'migrationId' | 'server'>): Promise<MoveFate> {
    return this.#options.witness.fateOf(move);
  }

  async #lookAtAll(): Promise<Orphan[]> {
    const { parts, exports, endLocalServers, witness, log } = this.#options;
    const signal = AbortSignal.timeout(roundMs);
    const ended = await endLocalServers();
    if (ended > 0) log('info', { ended }, 'ended disk servers that a killed worker had left');
    await forgetLongEnded(parts);
    const sights = await lookAround(parts, await exports());
    this.#pending = false;
    try {
      this.#server = await witness.identity();
    } catch (error) {
      // Without Temporal nothing is known: what was found last stands, and nothing is touched.
      log('warn', { error }, 'Temporal did not answer the cleaner; nothing is touched');
      return this.#findings;
    }
    const found: Orphan[] = [];
    for (const sight of sights) {
      signal.throwIfAborted();
      try {
        found.push(...(await this.#lookAt(sight, signal)));
      } catch (error) {
        this.#pending = true;
        log('warn', { migrationId: sight.migrationId, error }, 'could not clear up after a move');
      }
    }
    const seen = new Set(sights.map(({ migrationId }) => migrationId));
    for (const id of this.#closedSince.keys()) if (!seen.has(id)) this.#closedSince.delete(id);
    // The date of a thing is that of its first sight.
    const before = new Map(this.#findings.map((orphan) => [orphan.id, orphan.since]));
    this.#findings = found.map((one) => ({ ...one, since: before.get(one.id) ?? one.since }));
    return this.#findings;
  }

  async #lookAt(sight: MoveSight, signal: AbortSignal): Promise<Orphan[]> {
    const { parts, gate, witness } = this.#options;
    const { memory, migrationId } = sight;
    const about = { host: parts.name, sight };
    if (gate.isAtWork(migrationId)) {
      this.#pending = true;
      return [];
    }
    if (memory === undefined) {
      if (sight.trouble === undefined && (sight.folderAgeMs ?? newbornMs) < newbornMs) return [];
      const because =
        sight.trouble ?? `${parts.name} does not remember which move ${migrationId} was`;
      return unknownOrphans({ ...about, because });
    }
    const fate = await witness.fateOf(memory);
    if (fate.state !== 'closed') this.#closedSince.delete(migrationId);
    if (fate.state === 'open') return [];
    if (fate.state === 'unknown') {
      const { target, ...others } = sight;
      const owned = (await ownEntry(parts, memory))?.state === 'owner';
      // After the cutover the target's volumes are the disks of a VM that lives here.
      const shown = owned || target === undefined ? others : { ...others, target };
      return unknownOrphans({ host: parts.name, sight: shown, because: fate.detail });
    }
    const now = performance.now();
    const since = this.#closedSince.get(migrationId) ?? now;
    this.#closedSince.set(migrationId, since);
    if (now - since < (this.#options.graceMs ?? graceMs)) {
      this.#pending = true;
      return [];
    }
    return this.#clear({ ...sight, memory }, fate, signal);
  }

  async #clear(
    sight: MoveSight & { memory: MoveMemory },
    fate: Extract<MoveFate, { state: 'closed' }>,
    signal: AbortSignal,
  ): Promise<Orphan[]> {
    const { parts, quarantine, gate, witness, log } = this.#options;
    const { memory, migrationId } = sight;
    const stillClosed = async (): Promise<boolean> =>
      !gate.isAtWork(migrationId) && (await witness.fateOf(memory)).state === 'closed';
    const held = await clearClosed({ parts, quarantine, sight, fate, stillClosed, signal });
    if (held === undefined) {
      this.#pending = true;
      return [];
    }
    log('info', { moveId: memory.moveId, migrationId, fate: fate.how }, 'cleared up after a move');
    return held;
  }
}
