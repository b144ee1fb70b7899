/** What both hosts write down before anything is touched: the target a place for the VM, the source that it is on its way. */
import type {
  DiskPlan,
  EpochRef,
  HostActivities,
  LiveAdmission,
  ReserveTargetInput,
} from '../activities/contract.ts';
import { Phase } from '../domain/move.ts';
import { undoEpoch } from './move.ts';
import type { Checked, Move } from './move.ts';
import { limits } from './on-host.ts';

/** Volumes on the target; where a pool chooses their places, these are known only now. */
export async function reserve(move: Move, checked: Checked): Promise<Checked> {
  const { disks } = await reserved(move, checked, {
    what: 'reserve the target',
    call: async (at, asked) => ({ disks: await at.reserveTarget(asked) }),
  });
  return { ...checked, disks };
}

/** The same, with leave for the first live run. */
export async function reserveLive(
  move: Move,
  checked: Checked,
  { mayHold }: { mayHold: boolean },
): Promise<{ checked: Checked; leave: LiveAdmission }> {
  const { disks, leave } = await reserved(move, checked, {
    what: `reserve the target, and admit ${move.input.vm.name}`,
    call: (at, asked) => at.reserveLive({ ...asked, ...(mayHold ? { mayHold } : {}) }),
  });
  return { checked: { ...checked, disks }, leave };
}

interface Reserving<T> {
  what: string;
  call: (at: HostActivities, asked: ReserveTargetInput) => Promise<T>;
}

async function reserved<T extends { disks: DiskPlan[] }>(
  move: Move,
  checked: Checked,
  { what, call }: Reserving<T>,
): Promise<T> {
  const { record, hosts, input } = move;
  const { from, to } = input.request;
  const asked = { ...move.ref, epoch: checked.epoch, source: from, disks: checked.disks };
  record.enter(Phase.preparing);
  move.reserving = true;
  const answer = await record.during('reserve-target', () =>
    hosts.do({
      ...{ host: to, what, step: 'reserve-target', limit: limits.act },
      call: (at) => call(at, asked),
    }),
  );
  for (const disk of answer.disks) {
    const { targetVolume, capacityBytes, targetCapacityBytes = capacityBytes } = disk;
    const more = targetCapacityBytes - capacityBytes;
    if (more > 0)
      record.note(
        `volume ${targetVolume} on ${to} is ${more} bytes larger than disk ${disk.name}; the guest sees the larger size`,
      );
  }
  return answer;
}

/** From here on the VM does not start on the source; one that runs goes on. */
export async function guard(move: Move, { disks, epoch }: Checked): Promise<void> {
  const { record, hosts, undo, input } = move;
  const { from, to } = input.request;
  const ref: EpochRef = { ...move.ref, epoch };
  undo.push({ name: `give ${from} back its VM`, run: () => restoreSource(move, epoch) });
  await record.during('guard-source', () =>
    hosts.do({
      host: from,
      what: 'guard the source',
      step: 'guard-source',
      limit: limits.act,
      call: (at) => at.guardSource({ ...ref, target: to, disks }),
    }),
  );
}

async function restoreSource(move: Move, epoch: number): Promise<void> {
  const { from } = move.input.request;
  const restored = await move.hosts.do({
    host: from,
    what: 'give the source its VM back',
    limit: limits.act,
    call: (at) =>
      at.restoreSource({
        ...move.ref,
        epoch: undoEpoch(move, epoch),
        restart: !move.goingLive,
      }),
  });
  move.record.report.vmOn = from;
  move.record.report.vmRunning = restored.running;
}
