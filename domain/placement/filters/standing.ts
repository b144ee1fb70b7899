import type { ChangingFilter, FixedFilter } from './filter.ts';

/** Somebody took the host out of service for new VMs. */
export const enabled: FixedFilter = {
  name: 'enabled',
  passes: (host) => host.enabled,
  reason: (host) => `${host.name} is disabled`,
};

/** A host that is being emptied takes nothing meanwhile. */
export const notDraining: FixedFilter = {
  name: 'not-draining',
  passes: (host) => !host.draining,
  reason: (host) => `${host.name} is being drained`,
};

/** Two names may stand for one machine: libvirt's UUID of the host tells. */
export const notSource: ChangingFilter = {
  name: 'not-source',
  applies: ({ sourceUuid }) => sourceUuid !== undefined,
  passes: (at, { fleet, sourceUuid }) => fleet.hosts[at]?.hostUuid !== sourceUuid,
  reason: ({ name }, _at, { vm }) =>
    name === vm.host
      ? `${vm.name} is on ${name} already`
      : `${name} is the same machine as ${vm.host ?? 'the source'}`,
};

/** As many moves towards the host as it may have at a time. */
export const moveLimit: ChangingFilter = {
  name: 'move-limit',
  applies: () => true,
  passes: (at, { fleet }) => (fleet.columns.movesInLeft[at] ?? 0) > 0,
  reason: ({ name, movesIn }) =>
    `${name} has as many moves towards it under way as it may have (${movesIn.limit})`,
};
