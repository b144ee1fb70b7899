import { everyMode } from '../../rule.ts';
import type { ForeignRule } from '../../rule.ts';
import type { BatchView } from '../../views.ts';
import { quoted } from '../../words.ts';

/** Of several VMs one map holds for all, so that only a network that none of them has is a slip of the pen. */
export const mapUnused: ForeignRule<BatchView, 'map-unused'> = {
  modes: everyMode,
  outcomes: {
    'map-unused': {
      level: 'warning',
      meaning: 'The map names a network that no VM of the request is on.',
      remedy: 'See that it is spelled as the source has it; capitals count.',
    },
  },
  judge: ({ entries }) => {
    const used = new Set(entries.flatMap(({ vm }) => vm.nics.map(({ network }) => network)));
    const mapped = new Set(entries.flatMap(({ request }) => Object.keys(request.networks)));
    return [...mapped]
      .filter((network) => !used.has(network))
      .map((network) => ({
        code: 'map-unused',
        message: `the map names the network ${quoted(network)}, which no VM of the request is on`,
      }));
  },
};
