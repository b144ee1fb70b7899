/** The source off: what this import does to it stands in the cache's record before it is done. */
import { setTimeout as delay } from 'node:timers/promises';
import { needsOperator, VmFerryError } from '../../domain/errors.ts';
import type { ForeignSource } from '../../domain/foreign.ts';
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import { takenBy } from './cache.ts';
import type { StopForeignInput, StopForeignResult } from './contract.ts';
import { isVmOff } from './off.ts';
import type { ImportParts } from './parts.ts';

/** A foreign platform tells of a state only when it is asked. */
const lookEveryMs = 2_000;
/** How long a power-off may take. */
const forcedOffMs = 60_000;

interface Pace {
  /** A guest that is still starting does not hear its button: it is asked again, as in `ensure-stopped.ts`. */
  askAgainMs: number;
}

export async function stopForeign(
  parts: ImportParts,
  input: StopForeignInput,
  signal: AbortSignal,
  pace: Pace = { askAgainMs: 15_000 },
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
          const mayForce = await isToBeForced(source, input, { ...pace, signal });
          if (mayForce) {
            if (input.running !== 'force-off') record.source.forced = true;
            await cache.write(record);
            await forceOff(source, input, signal);
          }
        }
        record.source.offAtMs ??= Date.now();
        await cache.write(record);
        const { wasRunning, offAtMs, forced = false } = record.source;
        const downForMs = Math.max(0, Date.now() - offAtMs);
        return { wasRunning, downForMs, ...(forced ? { forced } : {}) };
      },
    ),
  );
}

/** False once its guest went down by itself. Throws `shutdown-timed-out` where nothing may be forced. */
async function isToBeForced(
  source: ForeignSource,
  { foreign, running, shutdownTimeoutMs }: StopForeignInput,
  { askAgainMs, signal }: Pace & { signal: AbortSignal },
): Promise<boolean> {
  if (running === 'force-off') return true;
  let leftMs = shutdownTimeoutMs;
  let unheard: string | undefined;
  do {
    unheard = await askToShutDown(source, foreign.id);
    const limitMs = Math.min(askAgainMs, leftMs);
    if (await isOffWithin(source, foreign.id, { limitMs, signal })) return false;
    leftMs -= limitMs;
  } while (leftMs > 0);
  if (running === 'shutdown-or-force-off') return true;
  const why = unheard === undefined ? '' : ` (${unheard})`;
  throw stillRuns(foreign.name, `its guest was asked to shut down${why}`, shutdownTimeoutMs);
}

/** Why it cannot hear: it may once it has started, or end without its tools. */
async function askToShutDown(source: ForeignSource, id: string): Promise<string | undefined> {
  try {
    await source.requestShutdown(id);
    return undefined;
  } catch (error) {
    if (error instanceof VmFerryError && error.code === 'shutdown-unsupported')
      return error.message;
    throw error;
  }
}

async function forceOff(
  source: ForeignSource,
  { foreign }: StopForeignInput,
  signal: AbortSignal,
): Promise<void> {
  await source.forceOff(foreign.id);
  if (await isOffWithin(source, foreign.id, { limitMs: forcedOffMs, signal })) return;
  throw stillRuns(foreign.name, 'it was powered off', forcedOffMs);
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
    await delay(Math.min(lookEveryMs, leftMs), undefined, { signal });
  }
}

const stillRuns = (vm: string, what: string, limitMs: number) =>
  needsOperator({
    code: 'shutdown-timed-out',
    message: `${vm} still runs ${Math.round(limitMs / 1000)} s after ${what}`,
    remedy:
      'Shut it down by hand and `vmferry retry`, or cancel and import it with --running shutdown-or-force-off.',
  });
