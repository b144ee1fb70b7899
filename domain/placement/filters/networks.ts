import type { PlacementHost } from '../host.ts';
import type { Question } from '../question.ts';
import type { FixedFilter } from './filter.ts';

/** Every libvirt network and bridge that a card of the VM is on. */
export const networks: FixedFilter = {
  name: 'networks',
  passes: (host, question) => missingFrom(host, question).length === 0,
  reason: (host, question) => `${host.name} has no ${missingFrom(host, question).join(', no ')}`,
};

const missingFrom = (host: PlacementHost, question: Question): string[] => [
  ...question.networks
    .filter((name) => !host.networks.includes(name))
    .map((name) => `network ${name}`),
  ...question.bridges
    .filter((name) => !host.bridges.includes(name))
    .map((name) => `bridge ${name}`),
];
