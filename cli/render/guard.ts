import type { LedgerListing } from '../../guard/ledger.ts';
import { table } from './table.ts';
import type { Cell } from './table.ts';
import type { View } from './theme.ts';

/** The ledger of one host, a line a VM; files that cannot be trusted come last. */
export function guardLines({ entries, corrupt }: LedgerListing, view: View): string[] {
  if (entries.length + corrupt.length === 0)
    return ['The ledger is empty: vmferry saw no VM here.'];
  const rows = [
    ...entries.map(({ uuid, name, state, epoch, note }): Cell[] => [
      { text: name, paint: 'bold' },
      { text: state, paint: state === 'owner' ? 'green' : 'yellow' },
      { text: String(epoch) },
      { text: uuid },
      { text: note },
    ]),
    ...corrupt.map(({ uuid, reason }): Cell[] => [
      { text: '?' },
      { text: 'damaged', paint: 'red' },
      { text: '' },
      { text: uuid },
      { text: reason },
    ]),
  ];
  return table(
    [
      { title: 'VM', elastic: true },
      { title: 'State' },
      { title: 'Epoch', align: 'right' },
      { title: 'UUID' },
      { title: 'Note', elastic: true },
    ],
    rows,
    view,
  );
}
