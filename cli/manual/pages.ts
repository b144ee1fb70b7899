/** Every command's manual, by its path: `migrate`, `guard claim`. */
import type { Manual } from './manual.ts';
import { fleetManuals, labManuals } from './fleet.ts';
import { importManuals } from './imports.ts';
import { moveManuals } from './moves.ts';
import { placementManuals } from './placement.ts';

export const manuals: Readonly<Record<string, Manual | undefined>> = {
  ...moveManuals,
  ...importManuals,
  ...fleetManuals,
  ...placementManuals,
  ...labManuals,
};
