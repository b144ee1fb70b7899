/** The place of an import on its target: as many VMs come to it at a time as it takes, by moves and imports together. */
import type { PlacementVm } from '../domain/placement/vm.ts';
import type { Import, Judged } from './import.ts';
import { placesFor, placesReleased } from './slots.ts';

/** Before the first of the two calls below. */
export function pushGivingSlot(run: Import): void {
  run.undo.push({
    name: `give the place on ${run.input.request.to} back`,
    run: () => giveTargetSlot(run, false),
  });
}

/**
 * Waits until the target has the VM's room, and takes it: nothing comes there yet, so that it does not count among what
 * comes. Throws as `takeTargetSlot`.
 */
export const takeTargetRoom = (run: Import, judged: Judged): Promise<void> =>
  takePlace(run, judged, { waits: true });

/**
 * Waits until the target has a place for what is sent to it, and takes it. While it waits the report says why. Throws
 * `MoveFailed` where no waiting helps, and the cancellation.
 */
export const takeTargetSlot = (run: Import, judged: Judged): Promise<void> =>
  takePlace(run, judged, {});

async function takePlace(run: Import, judged: Judged, as: { waits?: true }): Promise<void> {
  const { input, ref, record } = run;
  const { to: target } = input.request;
  await record.whileWaiting((note) =>
    placesFor(
      {
        cluster: input.cluster,
        move: { moveId: ref.moveId, workflowId: ref.moveId, runId: ref.migrationId },
        ...{ target, vm: placementVmOf(run, judged), ...as },
      },
      { note, giveBack: () => giveTargetSlot(run, false) },
    ),
  );
}

/** As `giveSlots` of a move. `arrived`: the VM is on the target, where its facts will count it. */
export async function giveTargetSlot({ input, ref }: Import, arrived: boolean): Promise<void> {
  const { to } = input.request;
  await placesReleased({
    ...{ cluster: input.cluster, moveId: ref.moveId, hosts: [to] },
    ...(arrived ? { arrivedOn: to } : {}),
  });
}

function placementVmOf({ input }: Import, { plan, foreign }: Judged): PlacementVm {
  const { name, domainType, machine, memoryBytes, cpus, clone, disks } = plan;
  // One that stays off takes room for its disks only; whether this one ran nobody knows for sure before its start.
  const isOff = clone || (foreign.vm.state === 'shut-off' && !input.request.autoStart);
  return {
    ...{ name, domainType, machine, arch: foreign.vm.arch },
    ...(isOff ? { vcpus: 0, memoryBytes: 0 } : { vcpus: cpus, memoryBytes }),
    disks: disks.map(({ key, name: disk, capacityBytes, targetPool }) => {
      const { allocationBytes = 0 } = foreign.vm.disks.find((one) => one.key === key) ?? {};
      return {
        name: disk,
        bytes: allocationBytes || capacityBytes,
        pool: targetPool,
        shared: false,
      };
    }),
    ...{ nics: [], requiredLabels: {}, rules: [] },
  };
}
