/** What `vmferry pki list` prints. */
import type { IssuedCertificate } from '../../pki/authority.ts';
import { warnDays } from '../../pki/expiry.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import type { View } from './theme.ts';

const dayMs = 86_400_000;

/** A line a certificate; `now` in ms since the epoch. */
export function certificateLines(
  all: readonly IssuedCertificate[],
  view: View,
  now: number,
): string[] {
  if (all.length === 0) return ['Nothing was signed yet: vmferry pki issue HOST --address IP'];
  const columns = [
    { title: 'Name', elastic: true },
    { title: 'As' },
    { title: 'State' },
    { title: 'Until' },
    { title: 'Names and addresses', elastic: true },
    { title: 'Serial' },
  ];
  const rows = all.map((one): Cell[] => [
    { text: one.name, paint: 'bold' },
    { text: one.role },
    stateCell(one, now),
    { text: one.notAfter.toISOString().slice(0, 10) },
    { text: [...one.dns, ...one.addresses].join(' ') },
    { text: one.serial, paint: 'dim' },
  ]);
  return table(columns, rows, view);
}

function stateCell({ state, replaced, notAfter }: IssuedCertificate, now: number): Cell {
  if (state !== 'valid') return { text: state, paint: replaced ? 'dim' : 'red' };
  if (replaced) return { text: 'replaced', paint: 'dim' };
  const days = Math.floor((notAfter.getTime() - now) / dayMs);
  return days < warnDays
    ? { text: `${days} days left`, paint: 'yellow' }
    : { text: 'valid', paint: 'green' };
}
