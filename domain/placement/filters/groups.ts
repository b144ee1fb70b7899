import type { GroupOnHosts } from '../question.ts';
import type { ChangingFilter } from './filter.ts';

/** Where the other VMs of the group are; anywhere, as long as there are none. */
export const affinity: ChangingFilter = {
  name: 'affinity',
  applies: ({ together }) => together.length > 0,
  passes: (at, { together }) => {
    for (const { hosts } of together) if (!hosts.has(at)) return false;
    return true;
  },
  reason: ({ name }, at, { vm, together }) =>
    `${vm.name} stays with group ${listed(together.filter(({ hosts }) => !hosts.has(at)))}, which has no VM on ${name}`,
};

/** Where no other VM of the group is, or is awaited. */
export const antiAffinity: ChangingFilter = {
  name: 'anti-affinity',
  applies: ({ apart }) => apart.length > 0,
  passes: (at, { apart }) => {
    for (const { hosts } of apart) if (hosts.has(at)) return false;
    return true;
  },
  reason: ({ name }, at, { vm, apart }) =>
    `${vm.name} stays away from group ${listed(apart.filter(({ hosts }) => hosts.has(at)))}, which has a VM on ${name} or on its way there`,
};

const listed = (groups: readonly GroupOnHosts[]): string =>
  groups.map(({ group }) => group).join(', ');
