/** The source off: what this import does to it stands in the cache's record before it is done. */
import { setTimeout as delay } from 'node:timers/promises';
import { needsOperator } from '../../domain/errors.ts';
import type { ForeignSource } from '../../domain/foreign.ts';
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import { takenBy } from './cache.ts';
import type { StopForeignInput, StopForeignResult } from './contract.ts';
import { isVmOff } from './off.ts';
import type { ImportParts } from './parts.ts';

/** A foreign platform tells of a state only when it is asked. */
const askEveryMs = 2_000;
/** How long a power-off may take. */
const forcedOffMs = 60_000;

export async function stopForeign(
  parts: ImportParts,
  input: StopForeignInput,
  signal: AbortSignal,
): Promise<StopForeignResult> {
  const { provider, migrationId, foreign } = input;
  const cache = cacheOf(parts, input);
  return cache.alone('stop the source', signal, () =>
    atProvider(
      parts,
      provider,
      { label: migrationId, pause: false, reads: false, signal },
      async (source) => {
        const record = takenBy(input, await cache.read(), parts.server());
        const off = isVmOff(await source.state(foreign.id));
        const memory = record.source ?? { wasRunning: !off, stopped: false, paused: false };
        record.source = memory;
        if (!off) {
          const { settled: _, ...known } = memory;
          const before = { ...known, stopped: true, restart: input.restart };
          record.source = before;
          await cache.write(record);
          await takeDown(source, input, { alreadyAsked: memory.stopped, signal });
        }
        record.source.offAtMs ??= Date.now();
        await cache.write(record);
        const { wasRunning, offAtMs } = record.source;
        return { wasRunning, downForMs: Math.max(0, Date.now() - offAtMs) };
      },
    ),
  );
}

async function takeDown(
  source: ForeignSource,
  { foreign, running, shutdownTimeoutMs }: StopForeignInput,
  { alreadyAsked, signal }: { alreadyAsked: boolean; signal: AbortSignal },
): Promise<void> {
  if (running === 'force-off') {
    await source.forceOff(foreign.id);
    if (await isOffWithin(source, foreign.id, { limitMs: forcedOffMs, signal })) return;
    throw stillRuns(foreign.name, 'it was powered off', forcedOffMs);
  }
  // A second press of the power button means something else to some guests.
  if (!alreadyAsked) await source.requestShutdown(foreign.id);
  if (await isOffWithin(source, foreign.id, { limitMs: shutdownTimeoutMs, signal })) return;
  throw stillRuns(foreign.name, 'its guest was asked to shut down', shutdownTimeoutMs);
}

async function isOffWithin(
  source: ForeignSource,
  id: string,
  { limitMs, signal }: { limitMs: number; signal: AbortSignal },
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    if (isVmOff(await source.state(id))) return true;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return false;
    await delay(Math.min(askEveryMs, leftMs), undefined, { signal });
  }
}

const stillRuns = (vm: string, what: string, limitMs: number) =>
  needsOperator({
    code: 'shutdown-timed-out',
    message: `${vm} still runs ${Math.round(limitMs / 1000)} s after ${what}`,
    remedy:
      'Shut it down by hand and `vmferry retry`, or cancel and import it with --running force-off.',
  });
