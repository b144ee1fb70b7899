import type { PlacementHost } from '../host.ts';
import type { Question } from '../question.ts';
import type { FixedFilter } from './filter.ts';

/** Labels that the VM asks of its host. */
export const labels: FixedFilter = {
  name: 'labels',
  passes: (host, question) => missingFrom(host, question).length === 0,
  reason: (host, question) => `${host.name} lacks ${missingFrom(host, question).join(', ')}`,
};

const missingFrom = (host: PlacementHost, { labels: asked }: Question): string[] =>
  asked
    .filter(([key, value]) => host.labels[key] !== value)
    .map(([key, value]) => `the label ${key}=${value}`);
