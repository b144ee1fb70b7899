import type { DiskPlan, EpochRef, OpenExport } from '../activities/contract.ts';
import { Handling } from '../domain/errors.ts';
import { Phase } from '../domain/move.ts';
import type { DiskResult } from '../domain/move.ts';
import { chainsOf } from '../domain/disk-plan.ts';
import { allOrNone } from './all-or-none.ts';
import { comparedDisks } from './check.ts';
import { MoveFailed } from './faults.ts';
import type { Checked, Move } from './move.ts';
import { limits } from './on-host.ts';
import { capOf } from './tune.ts';

/** What the target read, by disk name: the cutover asks the source whether it is still so. */
export type Exports = Record<string, OpenExport>;

/** Opens the source's disks to the target alone and copies them; the source hashes its own side meanwhile. */
export async function copyAll(move: Move, { disks, epoch }: Checked): Promise<Exports> {
  const { record, hosts, input } = move;
  const { from, to } = input.request;
  const ref: EpochRef = { ...move.ref, epoch };
  record.enter(Phase.copying);
  const open = async (disk: DiskPlan): Promise<OpenExport> =>
    hosts.do({
      host: from,
      what: `export ${disk.name}`,
      limit: limits.act,
      call: (at) => at.ensureExport({ ...ref, target: to, disk }),
    });
  const copied = disks.filter(({ how }) => how === 'copy');
  const exports: Exports = {};
  if (copied.length === 0) return exports;
  await record.during('export', async () => {
    for (const disk of copied) exports[disk.name] = await open(disk);
  });
  const copyNow = (disk: DiskPlan): Promise<void> => copyOne(move, { disk, ref, open });
  // An image is written only once what it lies on is whole: QEMU fills up from there what is written in part.
  const copies = chainsOf(copied).map(
    ([lowest, ...above]) =>
      () =>
        above.reduce((below, disk) => below.then(() => copyNow(disk)), copyNow(lowest)),
  );
  const hashes = copied.map((disk) => () => hashSide(move, { disk, ref, side: 'source' }));
  const work = input.request.verify === 'full' ? [...copies, ...hashes] : copies;
  await record.during('copy', () => allOrNone(work));
  record.moved('copy', sum(record.report.disks.map(({ bytesCopied }) => bytesCopied)));
  return exports;
}

interface CopyOne {
  disk: DiskPlan;
  ref: EpochRef;
  open: (disk: DiskPlan) => Promise<OpenExport>;
}

async function copyOne(move: Move, { disk, ref, open }: CopyOne): Promise<void> {
  const { hosts, input } = move;
  const result = await hosts.do({
    host: input.request.to,
    what: `copy ${disk.name}`,
    limit: limits.bulk,
    call: async (at) => {
      // Asked anew for each attempt: an export that died with its host stands on another port.
      const source = await open(disk);
      const bandwidthBytesPerSecond = capOf(move);
      const verified = input.request.verify === 'full';
      return at.ensureCopied({ ...ref, disk, source, bandwidthBytesPerSecond, verified });
    },
  });
  const shown = resultOf(move, disk);
  shown.bytesCopied = result.bytesCopied;
  shown.bytesRecopied = result.bytesRecopied;
  if (result.restarted !== undefined) shown.restarted = result.restarted;
}

/** The target reads itself back past the page cache; both trees must have one root. */
export async function verifyAll(move: Move, { disks, epoch }: Checked): Promise<void> {
  const { record, input } = move;
  const { verify } = input.request;
  const copied = disks.some(({ how }) => how === 'copy');
  if (verify === 'off' && copied) record.note('verification was off: no copy was compared');
  const compared = comparedDisks(disks, verify);
  if (compared.length === 0) return;
  const ref: EpochRef = { ...move.ref, epoch };
  record.enter(Phase.verifying);
  await record.during('verify', async () => {
    await allOrNone(
      compared.flatMap((disk) => [
        () => hashSide(move, { disk, ref, side: 'target' }),
        // A copy's source was hashed while it was copied.
        ...(disk.how === 'shared' ? [() => hashSide(move, { disk, ref, side: 'source' })] : []),
      ]),
    );
    for (const disk of compared) compare(move, disk);
  });
  record.moved('verify', sum(compared.map(({ capacityBytes }) => capacityBytes)));
}

const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);

interface HashSide {
  disk: DiskPlan;
  ref: EpochRef;
  side: 'source' | 'target';
}

async function hashSide(move: Move, { disk, ref, side }: HashSide): Promise<void> {
  const { from, to } = move.input.request;
  const result = await move.hosts.do({
    host: side === 'source' ? from : to,
    what: `hash ${disk.name} of the ${side}`,
    limit: limits.bulk,
    call: (at) => at.hashDisk({ ...ref, disk, side }),
  });
  resultOf(move, disk)[side === 'source' ? 'sourceHash' : 'targetHash'] = result.root;
}

function compare(move: Move, disk: DiskPlan): void {
  const result = resultOf(move, disk);
  result.verified = result.sourceHash !== undefined && result.sourceHash === result.targetHash;
  if (result.verified) return;
  const { from, to } = move.input.request;
  if (disk.how === 'shared') {
    (move.strangers ??= []).push(disk.targetPath);
    throw new MoveFailed({
      code: 'storage-not-the-same',
      handling: Handling.unsafe,
      message: `disk ${disk.name} was said to be shared, but ${disk.targetPath} on ${to} holds other bytes than ${disk.sourcePath} on ${from}`,
      remedy: `The source is untouched and gets its VM back. Look at what ${disk.targetPath} is on ${to}, or let the disk be copied.`,
      host: to,
    });
  }
  throw new MoveFailed({
    code: 'verification-failed',
    handling: Handling.unsafe,
    message: `disk ${disk.name}: the copy on ${to} differs from the source on ${from}`,
    remedy: `The source is untouched and gets its VM back. Check memory, network and storage of ${to} before the next try.`,
    host: to,
  });
}

function resultOf(move: Move, disk: DiskPlan): DiskResult {
  const found = move.record.report.disks.find((one) => one.name === disk.name);
  if (found === undefined) throw new Error(`no disk ${disk.name} in the report`);
  return found;
}
