import { permanent, transient } from '../errors.ts';
import { lookUp } from './bucket-map.ts';
import { refusalsOf } from './filters/all.ts';
import { withReservation } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import type { Reservation } from './host.ts';

import { poolNeedsOf, questionOf } from './question.ts';
import type { PlacementVm } from './vm.ts';

/** Where a move has its room, if it has any. */
export const reservedOn = (fleet: Fleet, moveId: string): string | undefined =>
  lookUp(fleet.moves, moveId);

/**
 * Promises a VM its room on a host: the fleet in which that room is taken. A second time for the same move and host
 * changes nothing. Every filter is asked again, since the fleet may have changed after the choice. Throws a transient
 * `host-refused` if the host may not take the VM (any more), a permanent `host-unknown` or `reserved-elsewhere`.
 */
export function reserve(
  fleet: Fleet,
  vm: PlacementVm,
  { moveId, host }: { moveId: string; host: string },
): Fleet {
  const at = fleet.indexOf.get(host);
  if (at === undefined) {
    throw permanent({
      code: 'host-unknown',
      message: `no host is called ${host}, on which room for ${vm.name} was to be reserved`,
      remedy: 'Correct the name of the host.',
    });
  }
  const reserved = reservedOn(fleet, moveId);
  if (reserved === host) return fleet;
  if (reserved !== undefined) {
    throw permanent({
      code: 'reserved-elsewhere',
      message: `${moveId} has its room on ${reserved} already, and cannot have more on ${host}`,
      remedy: `Release its reservation on ${reserved} first.`,
      host,
    });
  }
  const refusals = refusalsOf(at, questionOf(fleet, vm));
  if (refusals.length > 0) {
    throw transient({
      code: 'host-refused',
      message: `${host} cannot take ${vm.name}: ${refusals.map(({ reason }) => reason).join('; ')}`,
      remedy: 'Choose a host again.',
      host,
    });
  }
  return withReservation(fleet, at, { added: reservationOf(vm, moveId) });
}

/** Gives a move's room back. The same fleet if it has none. */
export function release(fleet: Fleet, moveId: string): Fleet {
  const at = fleet.indexOf.get(reservedOn(fleet, moveId) ?? '') ?? -1;
  const removed = fleet.reservations[at]?.find((reservation) => reservation.moveId === moveId);
  return removed === undefined ? fleet : withReservation(fleet, at, { removed });
}

/** What a move of the VM is to be promised on its target. */
export const reservationOf = (vm: PlacementVm, moveId: string): Reservation => ({
  moveId,
  memoryBytes: vm.memoryBytes,
  vcpus: vm.vcpus,
  pools: poolNeedsOf(vm).flatMap(({ pool, bytes, copies }) => (copies ? [{ pool, bytes }] : [])),
  groups: [...new Set(vm.rules.map(({ group }) => group))],
});
