/** The manual of the commands about moves. */
import type { Manual } from './manual.ts';
import { asking, following } from './manual.ts';

const rest = ['how the move rests or ended', 'report'] as const;
const order = [rest, ['of an import', 'import-report'], ['with --detach', 'accepted']] as const;

export const moveManuals: Readonly<Record<string, Manual>> = {
  migrate: {
    when: 'Use it to take a VM to another host. With --dry-run it only says what would happen. The guest is down from its shutdown until it is up on the target; the source keeps its copy until `vmferry commit`. Ctrl-C leaves the view, not the move.',
    examples: [
      ['vmferry migrate web-1 --from alpha --to beta', 'move it, and watch'],
      ['vmferry migrate web-1 --from alpha --to beta --dry-run', 'only say what would happen'],
      [
        'vmferry migrate db --from alpha --to beta --disk vdb:pool=fast,format=raw',
        'one disk goes elsewhere',
      ],
      ['vmferry migrate web-1 --from alpha --to beta --detach -o json', 'start it from a script'],
    ],
    codes: following,
    json: [rest, ['with --detach', 'started'], ['with --dry-run', 'plan']],
    configured: true,
  },
  live: {
    when: 'Use it to take a running VM to another host without shutting it down. The guest goes on and is paused at the end only, 300 ms at most unless you allow more. Whether a move ends depends on the guest: if it changes its memory faster than that crosses, what you allowed is done step by step, and if nothing is left the VM stays where it is, or is moved cold with --fallback cold. The source keeps its copy of what was copied until `vmferry commit`. Memory and disks always cross under TLS. docs/live.md says what the hosts need. Ctrl-C leaves the view, not the move.',
    examples: [
      ['vmferry live web-1 --to beta', 'move it, and watch'],
      ['vmferry live web-1 --to beta --dry-run', 'only say what would happen'],
      [
        'vmferry live db --to beta --quickly-finish --highest-downtime 2000',
        'rather a pause of two seconds than a long run',
      ],
      [
        'vmferry live db --to beta --auto-converge --fallback cold',
        'slow it down if need be; if nothing helps, shut it down and move it',
      ],
    ],
    codes: following,
    json: [rest, ['with --detach', 'started'], ['with --dry-run', 'plan']],
    configured: true,
  },
  tune: {
    when: 'Use it while a move is under way: to give it less of the network, or more, or to let a live move end by a longer pause.',
    examples: [
      ['vmferry tune web-1 --max-bandwidth 50MiB/s', 'take less of the network'],
      ['vmferry tune web-1 --max-downtime 2000', 'allow a pause of two seconds'],
      ['vmferry tune web-1 --max-bandwidth 0', 'take all there is'],
    ],
    codes: asking,
    json: [['once it is accepted', 'accepted']],
    configured: true,
  },
  status: {
    when: 'Use it to see how a move or an import stands, what each step took and what failed first. Without a move it lists the latest 50. For what happened in order, see `vmferry explain`.',
    examples: [
      ['vmferry status', 'the latest moves'],
      ['vmferry status web-1', 'one move, with every step'],
      ['vmferry status web-1 --watch -o json', 'every state, one a line'],
    ],
    codes: following,
    json: [
      ['of a move; with --watch one a line', 'status'],
      ['of an import, likewise', 'import-status'],
      ['without a move', 'moves'],
    ],
    configured: true,
  },
  explain: {
    when: 'Use it to learn what happened to a move and why: who asked, what each host did and when, what failed first and how often it was tried again, how long the guest was down, what to do next. It reads the history that Temporal keeps, so it works without any worker, also for a move that was terminated. Of an import it tells the same.',
    examples: [
      ['vmferry explain web-1', 'the latest move of a VM'],
      ['vmferry explain web-1 -o json', 'the same as data'],
    ],
    codes: asking,
    json: [
      ['the story', 'story'],
      ['of an import', 'import-story'],
    ],
    configured: true,
  },
  commit: {
    when: 'Use it once the VM does well on its target. It cannot be taken back: the disks on the source are deleted. An import only drops what was copied: its source is left as it is.',
    examples: [
      ['vmferry commit web-1', 'keep it on the target; a move is removed from its source'],
    ],
    codes: following,
    json: order,
    configured: true,
  },
  rollback: {
    when: 'Use it to go back while a move awaits its commit, or is parked after its cutover.',
    examples: [
      ['vmferry rollback web-1', 'go back; refused if the VM has run on the target'],
      ['vmferry rollback web-1 --discard-target-writes', 'go back, and lose what it wrote there'],
    ],
    codes: following,
    json: order,
    configured: true,
  },
  retry: {
    when: 'Use it when a move is parked and the cause is mended. It goes on from the step that failed; nothing that is safe is copied twice. An import that is over begins anew with what its cache has.',
    examples: [['vmferry retry web-1', 'go on']],
    codes: following,
    json: order,
    configured: true,
  },
  cancel: {
    when: 'Use it to stop a move or an import before its cutover. After the cutover it is refused: then it is `vmferry rollback`.',
    examples: [['vmferry cancel web-1', 'stop it, and wait until all is undone']],
    codes: following,
    json: order,
    configured: true,
  },
  'orphans list': {
    when: 'Use it after moves were terminated, hosts were reinstalled or Temporal was lost: it shows what they left.',
    examples: [
      ['vmferry orphans', 'of all hosts that are online'],
      ['vmferry orphans --host beta -o json', 'of one host, as data'],
    ],
    codes: asking,
    json: [['the list', 'orphans']],
    configured: true,
  },
  'orphans remove': {
    when: 'Use it once you know that nobody needs what an orphan holds. Its data is lost for good.',
    examples: [
      ['vmferry orphans remove 3f0a52c81b7e --host beta --yes', 'remove it from its host'],
    ],
    codes: asking,
    json: [['what was done', 'orphan-outcome']],
    configured: true,
  },
  'orphans keep': {
    when: 'Use it where an orphan is yours to keep: it stays where it is and is not listed any more.',
    examples: [['vmferry orphans keep 3f0a52c81b7e --host beta', 'take it out of the list']],
    codes: asking,
    json: [['what was done', 'orphan-outcome']],
    configured: true,
  },
};
