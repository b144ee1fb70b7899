import type { OpenMove, VersionLine, VersionList } from '../ferry.ts';
import { phaseWords } from './step-names.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { harmless } from './text.ts';
import type { View } from './theme.ts';

/** The VMs named below the table at most, a version. */
const mostNamed = 20;

/** Versions of the control worker, and for each that new moves do not go to, whether it may be ended. */
export function versionLines({ versions, waiting }: VersionList, view: View): string[] {
  if (versions.length === 0 && waiting.length === 0)
    return ['No control worker has come up yet: start `vmferry control`.'];
  const rows = versions.map((line): Cell[] => [
    { text: line.version, paint: 'bold' },
    line.online ? { text: 'online', paint: 'green' } : offline(line),
    { text: line.current ? 'go here' : '' },
    { text: String(line.moves.length) },
  ]);
  const columns = [
    { title: 'Version', elastic: true },
    { title: 'Worker' },
    { title: 'New moves' },
    { title: 'Open moves', align: 'right' as const },
  ];
  const said = [
    ...versions.flatMap(verdict),
    ...(waiting.length === 0
      ? []
      : [`${moves(waiting.length)} not taken up by a worker yet: ${named(waiting)}.`]),
  ];
  return [...table(columns, rows, view), ...(said.length === 0 ? [] : ['', ...said])];
}

const offline = ({ current, moves }: VersionLine): Cell => ({
  text: 'offline',
  paint: current || moves.length > 0 ? 'red' : 'dim',
});

function verdict(line: VersionLine): string[] {
  const { version, current, online, moves: open } = line;
  const shown = harmless(version);
  if (!online) {
    const affected = [
      ...(current ? ['new moves'] : []),
      ...(open.length > 0 ? [named(open)] : []),
    ].join(' and ');
    return [`No worker of ${shown} runs, and ${affected} wait for one: start it.`];
  }
  if (current) return [];
  if (open.length === 0) return [`${shown} has no open moves: its worker may be ended.`];
  return [`${shown} is needed until the moves of ${named(open)} are over.`];
}

const moves = (count: number): string => (count === 1 ? '1 move is' : `${count} moves are`);

function named(open: readonly OpenMove[]): string {
  const names = open
    .slice(0, mostNamed)
    .map(({ vmName, phase }) => harmless(`${vmName} (${phaseWords(phase)})`));
  const more = open.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}
