/** From the cache to the target, by the verbs of every move: reserved, copied, compared, defined. */
import { Handling } from '../domain/errors.ts';
import type { DiskPlan } from '../domain/disk-plan.ts';
import { ImportPhase } from '../domain/import.ts';
import { allOrNone } from './all-or-none.ts';
import { MoveFailed } from './faults.ts';
import type { Import, Judged, Placed } from './import.ts';
import { transferCap, withinUploadShare } from './import-upload.ts';
import { limits } from './on-host.ts';

/** Volumes on the target; where a pool chooses their places, these are known only now. */
export async function reserve(run: Import, judged: Judged): Promise<Placed> {
  const { record, hosts, input } = run;
  const { to, conversionHost } = input.request;
  const { target, epoch } = judged;
  record.enter(ImportPhase.preparing);
  run.reserving = true;
  const disks = await record.during('reserve-target', () =>
    hosts.do({
      host: to,
      what: 'reserve the target',
      limit: limits.act,
      call: (at) =>
        at.reserveTarget({ ...target, epoch, source: conversionHost, disks: diskPlans(judged) }),
    }),
  );
  return { ...judged, disks };
}

function diskPlans({ foreign, plan }: Judged): DiskPlan[] {
  return plan.disks.map(({ key, ...planned }) => ({
    ...planned,
    // For people: the conversion host knows by the key which of its files that is.
    sourcePath: foreign.vm.disks.find((disk) => disk.key === key)?.path ?? key,
    sourceFormat: plan.converted ? 'qcow2' : 'raw',
    sourceKind: 'file',
    how: 'copy',
    allocation: 'thin',
    exclusive: true,
  }));
}

export async function transfer(run: Import, placed: Placed): Promise<void> {
  const { record, input } = run;
  const compared = input.request.verify === 'full';
  pushClosing(run);
  record.enter(ImportPhase.transferring);
  const places = placed.plan.disks.map((_, place) => place);
  const copies = places.map((place) => () => copyOne(run, placed, place));
  const hashes = places.map((place) => () => hashCached(run, placed, place));
  await record.during('transfer', () =>
    withinUploadShare(run, () => allOrNone(compared ? [...copies, ...hashes] : copies)),
  );
  const { disks } = record.report;
  record.moved(
    'transfer',
    disks.reduce((sum, { bytesTransferred }) => sum + bytesTransferred, 0),
  );
  if (compared) await verify(run, placed);
  else record.note('verification was off: no copy was compared');
  await closeExports(run);
}

function pushClosing(run: Import): void {
  const { conversionHost } = run.input.request;
  run.undo.push({ name: `close the exports of ${conversionHost}`, run: () => closeExports(run) });
}

const closeExports = ({ hosts, ref, input }: Import): Promise<void> =>
  hosts.do({
    host: input.request.conversionHost,
    what: 'close exports',
    limit: limits.act,
    call: (at) => at.closeCachedExports(ref),
  });

/** What the conversion host is asked for a disk by its place in the plan. */
function cachedDisk({ ref }: Import, { plan }: Placed, place: number) {
  const planned = plan.disks[place];
  if (planned === undefined) throw new Error(`no disk ${place} in the plan`);
  const { key, capacityBytes } = planned;
  return { ...ref, key, capacityBytes, ...(plan.converted ? { overlay: place } : {}) };
}

function diskAt({ disks }: Placed, place: number): DiskPlan {
  const disk = disks[place];
  if (disk === undefined) throw new Error(`no disk ${place} was reserved`);
  return disk;
}

async function copyOne(run: Import, placed: Placed, place: number): Promise<void> {
  const { record, hosts, input } = run;
  const { to, conversionHost, operator, verify: how } = input.request;
  const { target, epoch } = placed;
  const disk = diskAt(placed, place);
  const cached = cachedDisk(run, placed, place);
  const result = await hosts.do({
    host: to,
    what: `take over ${disk.name}`,
    limit: limits.bulk,
    call: async (at) => {
      // Asked anew for each attempt: an export that died with its host stands on another port.
      const source = await hosts.do({
        host: conversionHost,
        what: `show ${disk.name}`,
        limit: limits.act,
        call: (from) =>
          from.ensureCachedExport({
            ...cached,
            ...{ name: disk.name, target: to, vm: target.vm, operator },
          }),
      });
      const verified = how === 'full';
      const bandwidthBytesPerSecond = transferCap(run);
      return at.ensureCopied({ ...target, epoch, disk, source, bandwidthBytesPerSecond, verified });
    },
  });
  record.disk(cached.key).bytesTransferred = result.bytesCopied;
}

async function hashCached(run: Import, placed: Placed, place: number): Promise<void> {
  const cached = cachedDisk(run, placed, place);
  const { root } = await run.hosts.do({
    host: run.input.request.conversionHost,
    what: `hash what is sent of ${cached.key}`,
    limit: limits.bulk,
    call: (at) => at.hashCached(cached),
  });
  run.record.disk(cached.key).sourceHash = root;
}

/** The target reads itself back past the page cache; both trees must have one root. */
async function verify(run: Import, placed: Placed): Promise<void> {
  const { record, hosts, input } = run;
  const { target, epoch, plan } = placed;
  const { to } = input.request;
  record.enter(ImportPhase.verifying);
  await record.during('verify', async () => {
    const work = plan.disks.map(({ key }, place) => async () => {
      const disk = diskAt(placed, place);
      const { root } = await hosts.do({
        host: to,
        what: `hash ${disk.name}`,
        limit: limits.bulk,
        call: (at) => at.hashDisk({ ...target, epoch, disk, side: 'target' }),
      });
      record.disk(key).targetHash = root;
    });
    await allOrNone(work);
    for (const { key } of plan.disks) compare(run, key);
  });
}

function compare({ record, input }: Import, key: string): void {
  const { to, conversionHost } = input.request;
  const disk = record.disk(key);
  disk.verified = disk.sourceHash !== undefined && disk.sourceHash === disk.targetHash;
  if (disk.verified) return;
  throw new MoveFailed({
    code: 'verification-failed',
    handling: Handling.unsafe,
    message: `disk ${key}: what ${to} has differs from what ${conversionHost} sent`,
    remedy: `The source is untouched. Check memory, network and storage of ${to} before the next try.`,
    host: to,
  });
}

/** Defined on the target, where the guard refuses a start until the cutover. */
export async function define(run: Import, placed: Placed): Promise<void> {
  const { record, hosts, input } = run;
  const { target, epoch, plan, foreign, disks } = placed;
  const { to } = input.request;
  const { complaint } = await record.during('define', () =>
    hosts.do({
      host: to,
      what: `define ${plan.name}`,
      limit: limits.act,
      call: (at) => at.defineImport({ ...target, epoch, foreign: foreign.vm, plan, disks }),
    }),
  );
  if (complaint !== '')
    record.note(`libvirt on ${to} does not know all of the definition: ${complaint}`);
}
