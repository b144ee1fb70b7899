import type { OrphanLine } from '../../domain/orphans.ts';
import { bytes, moment } from './quantity.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import { harmless } from './text.ts';
import type { View } from './theme.ts';

/** What moves left, a line each, with below it why it is there and what to do. */
export function orphanLines(orphans: readonly OrphanLine[], view: View): string[] {
  if (orphans.length === 0) return ['No orphans.'];
  const rows = orphans.map((orphan): Cell[] => [
    { text: orphan.id, paint: 'bold' },
    { text: orphan.host },
    { text: orphan.kind, paint: orphan.kind === 'vm' ? 'red' : 'yellow' },
    { text: orphan.sizeBytes === 0 ? '' : bytes(orphan.sizeBytes) },
    { text: moment(orphan.since) },
    { text: orphan.vm.name },
    { text: orphan.kind === 'vm' ? orphan.vm.uuid : orphan.what },
  ]);
  const columns = [
    { title: 'ID' },
    { title: 'Host' },
    { title: 'Kind' },
    { title: 'Size', align: 'right' as const },
    { title: 'Since' },
    { title: 'VM', elastic: true },
    { title: 'What', elastic: true },
  ];
  const [title = '', ...lines] = table(columns, rows, view);
  return [
    title,
    ...lines.flatMap((line, index) => {
      const orphan = orphans[index];
      return orphan === undefined ? [line] : [line, ...below(orphan, view)];
    }),
  ];
}

function below(orphan: OrphanLine, { theme }: View): string[] {
  const { why, remedy, usedBy, kind } = orphan;
  const said = [`${why}.`];
  if (usedBy.length > 0) said.push(`Used by ${usedBy.join(', ')}: it is never removed.`);
  else if (kind !== 'vm' && !orphan.removable)
    said.push('Nothing shows that the move made it: it is never removed.');
  // A file that somebody uses is nothing to remove.
  if (usedBy.length === 0) said.push(remedy);
  return said.map((text) => theme.paint('dim', `  ${harmless(text)}`));
}
