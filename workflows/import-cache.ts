/** From the source into the cache of the conversion host, and the conversion there. */
import type {
  CacheInput,
  CacheResult,
  ImportActivities,
  ReserveCacheAnswer,
  StopForeignInput,
} from '../activities/import/contract.ts';
import { ImportPhase } from '../domain/import.ts';
import { cacheNeed } from '../domain/import/capacity.ts';
import type { Import, Judged } from './import.ts';
import { limits } from './on-host.ts';
import { untilGranted } from './until-granted.ts';

/** When the source was seen to be off, by the workflow's clock; undefined if the import did not stop it. */
export interface SourceStopped {
  wasRunning: boolean;
  offSinceMs?: number;
}

/**
 * Before anything is touched: one of the places of imports that the conversion host works on, and room in its cache.
 * Waits for both as long as others have them.
 */
export async function holdRoom(
  { hosts, ref, input, record }: Import,
  { foreign }: Judged,
): Promise<void> {
  const { neededBytes, besideBytes } = cacheNeed(foreign.vm, input.request);
  const ask = (wait: { waitMs?: number }): Promise<ReserveCacheAnswer> => {
    // Whoever has waited for a day does not end with a worker that is away for a minute.
    const { attemptMs, ...limit } = wait.waitMs === undefined ? limits.check : limits.act;
    return hosts.do({
      host: input.request.conversionHost,
      what: `hold room for ${input.vm.name}`,
      limit: { ...limit, attemptMs: attemptMs + (wait.waitMs ?? 0) },
      call: (at) => at.reserveCache({ ...ref, neededBytes, besideBytes, ...wait }),
    });
  };
  await record.whileWaiting((note) => untilGranted(ask, note));
}

/** How the source is turned off before it is read; undefined if it is not. */
export function stopOf(
  { record, input }: Import,
  { plan }: Judged,
): StopForeignInput['running'] | undefined {
  const { running } = input.request;
  const step = record.report.steps.find(({ name }) => name === 'stop-source');
  const runsOn = plan.clone || running === 'leave' || running === 'pause';
  return runsOn || step?.state === 'skipped' ? undefined : running;
}

/** The source off, if it runs and was asked to be; what is done to it is given back whatever happens later. */
export async function stopSource(run: Import, judged: Judged): Promise<SourceStopped> {
  const { foreign } = judged;
  const { record, hosts, ref, input } = run;
  const { conversionHost: host, shutdownTimeoutMs, restartSource } = input.request;
  pushGivingBack(run);
  const running = stopOf(run, judged);
  if (running === undefined) return { wasRunning: false };
  record.enter(ImportPhase.stopping);
  const stopped = await record.during('stop-source', () =>
    hosts.do({
      host,
      what: `shut down ${foreign.vm.name}`,
      limit: { ...limits.act, attemptMs: shutdownTimeoutMs + limits.act.attemptMs },
      call: (at) => at.stopForeign({ ...ref, running, shutdownTimeoutMs, restart: restartSource }),
    }),
  );
  record.report.sourceRunning = false;
  if (stopped.forced === true)
    record.note(`${foreign.vm.name} did not shut down in time and was powered off`);
  return { wasRunning: stopped.wasRunning, offSinceMs: Date.now() - stopped.downForMs };
}

function pushGivingBack(run: Import): void {
  const { record, hosts, ref, input, undo } = run;
  const { conversionHost: host, restartSource: restart } = input.request;
  undo.push({
    name: `give back ${input.vm.name} at ${input.request.provider}`,
    run: async () => {
      const { running, wasStopped } = await hosts.do({
        host,
        what: `give ${input.vm.name} back`,
        limit: limits.act,
        call: (at) => at.restartForeign({ ...ref, restart }),
      });
      record.report.sourceRunning = running;
      if (wasStopped && !running)
        record.note(
          `${input.vm.name} was shut down at ${input.request.provider} and is off there: start it when you like`,
        );
    },
  });
}

export async function fillCache(run: Import, judged: Judged): Promise<void> {
  const { record, hosts, input } = run;
  const { conversionHost: host } = input.request;
  record.enter(ImportPhase.copying);
  const { disks } = await record.during('copy', () =>
    hosts.do({
      host,
      what: `copy ${input.vm.name}`,
      limit: limits.bulk,
      call: (at) => copyAndCompare(run, judged, at),
    }),
  );
  const compared = input.request.verify === 'full' ? { copyVerified: true } : {};
  for (const { key, ...seen } of disks) Object.assign(record.disk(key), seen, compared);
  record.moved(
    'copy',
    disks.reduce((sum, { bytesCopied }) => sum + bytesCopied, 0),
  );
  if (!judged.plan.clone) await record.during('verify-source', () => readSourceBack(run, judged));
}

/** A copy that is not what was read goes, and the next attempt reads the source again: hence the two are one call. */
async function copyAndCompare(
  run: Import,
  judged: Judged,
  at: Pick<ImportActivities, 'ensureCached' | 'verifyCached'>,
): Promise<CacheResult> {
  const { verify, running } = run.input.request;
  const input = cacheInput(run, judged);
  const result = await at.ensureCached(input);
  // Its guest stood still for as long as it was read, and no longer.
  if (judged.plan.clone && running === 'pause') await letGoOn(run);
  if (verify === 'full') await at.verifyCached(input);
  return result;
}

async function letGoOn({ record, hosts, ref, input }: Import): Promise<void> {
  const { running } = await hosts.do({
    host: input.request.conversionHost,
    what: `let ${input.vm.name} go on`,
    limit: limits.act,
    call: (at) => at.restartForeign({ ...ref, restart: false }),
  });
  record.report.sourceRunning = running;
}

/** A source that is to stay off is off, and its disks are what was copied. */
export async function readSourceBack(
  run: Import,
  judged: Judged,
  as: { handsOver?: true } = {},
): Promise<void> {
  const { hosts, input } = run;
  await hosts.do({
    host: input.request.conversionHost,
    what: `read ${input.vm.name} back`,
    limit: limits.act,
    call: (at) => at.verifyForeign({ ...cacheInput(run, judged), ...as }),
  });
}

function cacheInput({ ref, input }: Import, { foreign, plan }: Judged): CacheInput {
  const { bandwidthBytesPerSecond, running } = input.request;
  const disks = plan.disks.map(({ key }) => key);
  return { ...ref, vm: foreign.vm, disks, bandwidthBytesPerSecond, running };
}

export async function convert(run: Import, { foreign, plan }: Judged): Promise<void> {
  if (!plan.converted) return;
  const { record, hosts, ref, input } = run;
  const { conversionHost: host, root, luksKeys = [] } = input.request;
  record.enter(ImportPhase.converting);
  const wishes = { luksKeys, ...(root === undefined ? {} : { root }) };
  const report = await record.during('convert', () =>
    hosts.do({
      host,
      what: `convert ${input.vm.name}`,
      limit: limits.bulk,
      call: (at) => at.ensureConverted({ ...ref, vm: foreign.vm, plan, ...wishes }),
    }),
  );
  record.report.conversion = report;
  if (report.virtio === false)
    record.note('the tool found no virtio drivers for this guest: it may not see its disks');
}
