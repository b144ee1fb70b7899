/** What `vmferry place` shows. */
import type { PlaceVmResult } from '../ferry.ts';
import { harmless, padEnd, wrap } from './text.ts';
import type { View } from './theme.ts';

type Rows = PlaceVmResult['answer']['rows'];

/** The chosen host alone, for scripts, or all hosts with the reasons. */
export function placeLines(placed: PlaceVmResult, view: View, explain: boolean): string[] {
  const { vm, answer } = placed;
  const { chosen } = answer;
  if (!explain) return chosen === undefined ? refusedLines(placed, view) : [harmless(chosen)];
  const { paint, glyphs } = view.theme;
  const head =
    chosen === undefined
      ? paint('red', `${glyphs.failed} no host takes ${harmless(vm.name)}`)
      : paint('green', `${glyphs.done} ${harmless(`${vm.name} would go to ${chosen}`)}`);
  const more = answer.hosts - answer.rows.length;
  return [
    head,
    `  by ${answer.policy}; it is on ${harmless(vm.host)} now`,
    '',
    ...rowLines(answer.rows, view),
    ...(more > 0 ? [paint('dim', `and ${more} more hosts`)] : []),
  ];
}

const refusedLines = ({ vm, answer }: PlaceVmResult, view: View): string[] => [
  view.theme.paint('red', `${view.theme.glyphs.failed} no host takes ${harmless(vm.name)}`),
  ...answer.refusals.map(
    ({ filter, hosts }) => `  ${hosts === 1 ? '1 host' : `${hosts} hosts`}: ${filter}`,
  ),
  `  ${view.command} place ${harmless(vm.name)} --explain`,
];

/** A host a paragraph: its name and points, then one reason a line. */
function rowLines(rows: Rows, view: View): string[] {
  const { paint, glyphs } = view.theme;
  const name = Math.max(4, ...rows.map(({ host }) => host.length)) + 2;
  const mark = {
    chosen: paint('green', glyphs.done),
    possible: paint('dim', glyphs.waiting),
    refused: paint('red', glyphs.failed),
  };
  return rows.flatMap(({ host, state, total, why }) => [
    `${mark[state]} ${paint('bold', padEnd(harmless(host), name))}${state}${total === '' ? '' : `, ${total} points`}`,
    ...why
      .split('; ')
      .filter((reason) => reason !== '')
      .flatMap((reason) => wrap(harmless(reason), view.width - 4))
      .map((line) => paint('dim', `    ${line}`)),
  ]);
}
