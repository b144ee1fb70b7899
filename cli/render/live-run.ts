/*
 *     disks   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  100 %        1.00 of 1.00 GiB
 *     memory  ━━━━━━━━━━━━━━━━━━━━━━━━━─────────  76 %   3.04 of 4.00 GiB    96.0 MiB/s   12 s left
 *     pass 3, the guest changes 12.0 MiB/s
 *     it ends in about 12 s: 96 MiB/s cross, and 12 MiB/s change
 */
import type { LiveProgress } from '../../domain/live.ts';
import { amount, bars } from './disk-bars.ts';
import type { Bar } from './disk-bars.ts';
import { percent, rate, wholeSeconds } from './quantity.ts';
import { cut, harmless, wrap } from './text.ts';
import type { View } from './theme.ts';

const mostOutlookLines = 2;

/** libvirt copies disks before memory, and tells one rate at a time. */
const onDisks = ({ diskRemainingBytes, iteration }: LiveProgress): boolean =>
  diskRemainingBytes > 0 && iteration <= 1;

const barOf = (
  live: LiveProgress,
  part: { name: string; total: number; remaining: number; moving: boolean },
): Bar => ({
  name: part.name,
  totalBytes: part.total,
  doneBytes: Math.max(0, part.total - part.remaining),
  bytesPerSecond: part.moving ? live.bytesPerSecond : 0,
});

/** Disks, if any are copied along, then memory: what is at the target already and has not changed since. */
function barsOf(live: LiveProgress): Bar[] {
  const disksMove = onDisks(live);
  const memory = barOf(live, {
    name: 'memory',
    total: live.memoryTotalBytes,
    remaining: live.memoryTotalBytes === 0 ? 0 : live.memoryRemainingBytes,
    moving: !disksMove,
  });
  // What is left of a pass says nothing of the end: the next one may be as long.
  memory.leftMs = disksMove ? undefined : live.etaMs;
  const disks =
    live.diskTotalBytes === 0
      ? []
      : [
          barOf(live, {
            name: 'disks',
            total: live.diskTotalBytes,
            remaining: live.diskRemainingBytes,
            moving: disksMove,
          }),
        ];
  return live.memoryTotalBytes === 0 ? disks : [...disks, memory];
}

/** `pass 3, the guest changes 12.0 MiB/s and is slowed down by 20 %`; empty before the first. */
function passWords(live: LiveProgress): string {
  const slowed =
    live.throttlePercent > 0 ? `the guest is slowed down by ${live.throttlePercent} %` : '';
  const changes =
    live.dirtyBytesPerSecond > 0 ? `the guest changes ${rate(live.dirtyBytesPerSecond)}` : '';
  const pass = live.iteration > 0 ? `pass ${live.iteration}` : '';
  const words = live.inPostCopy
    ? ['the guest runs on the target, its memory follows']
    : [pass, changes, slowed];
  return words.filter((text) => text !== '').join(', ');
}

/** What stands below the step `live` while it runs. */
export function liveLines(
  live: LiveProgress,
  view: View,
  { width, indent }: { width: number; indent: number },
): string[] {
  const { paint } = view.theme;
  const room = width - indent;
  const words = [
    cut(passWords(live), room),
    ...wrap(harmless(live.outlook), room)
      .slice(0, mostOutlookLines)
      .map((line) => cut(line, room)),
  ].filter((text) => text !== '');
  return [
    ...bars(barsOf(live), view, { width, indent }),
    ...words.map((text) => ' '.repeat(indent) + paint('dim', text)),
  ];
}

/** The same as one line of a log. */
export function liveLogLine(live: LiveProgress): string {
  const parts = barsOf(live).map((bar) => {
    const moving = bar.bytesPerSecond > 0 ? ` ${rate(bar.bytesPerSecond)}` : '';
    const left = bar.leftMs === undefined ? '' : ` ${wholeSeconds(bar.leftMs)} left`;
    return `${bar.name} ${percent(bar.doneBytes, bar.totalBytes)}% ${amount(bar.doneBytes, bar.totalBytes)}${moving}${left}`;
  });
  return [...parts, passWords(live), live.outlook].filter((text) => text !== '').join('; ');
}
