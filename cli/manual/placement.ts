/** The manual of the commands that choose hosts and empty them. */
import { ExitCode } from '../exit-code.ts';
import type { Manual } from './manual.ts';
import { asking } from './manual.ts';

const { done, failed, refused, parked, cancelled, unreachable, detached } = ExitCode;

export const placementManuals: Readonly<Record<string, Manual>> = {
  place: {
    when: 'Use it to see which host a VM would go to, and why. Without --explain it prints the name alone, for scripts. docs/placement.md has the rules.',
    examples: [
      ['vmferry place web-1', 'the name of the host'],
      ['vmferry place web-1 --explain', 'what speaks for and against every host'],
      ['vmferry place web-1 --prefer-host gamma -o json', 'as data'],
    ],
    codes: asking,
    json: [['the choice', 'placed']],
    configured: true,
  },
  drain: {
    when: 'Use it before a host is updated, repaired or switched off. It ends with 0 only if no VM of the host is left on it. A worker or a server that dies meanwhile does not matter. Ctrl-C leaves the view, not the drain.',
    examples: [
      ['vmferry drain alpha --dry-run', 'what would become of each VM'],
      ['vmferry drain alpha', 'empty it; said again, follow it'],
      ['vmferry drain alpha --policy cold --parallel 4', 'shut down what cannot move live'],
      ['vmferry drain alpha --to rack=2', 'only to hosts with that label'],
    ],
    codes: [done, failed, refused, parked, cancelled, unreachable, detached],
    json: [
      ['how it ended', 'drain'],
      ['with --dry-run', 'drain-plan'],
      ['with --detach', 'started'],
    ],
    configured: true,
  },
  undrain: {
    when: 'Use it once the host may have VMs again. It moves none back.',
    examples: [['vmferry undrain alpha', 'let VMs come to it again']],
    codes: asking,
    json: [['what was done', 'undrained']],
    configured: true,
  },
};
