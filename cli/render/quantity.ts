/** Numbers as people read them, short and of steady width. */

export { formatBytes as bytes } from '../../config/units.ts';
export { formatByteRate as rate } from '../../config/units.ts';

/**
 * `35 ms`, `0.8 s`, `12.4 s`, `1m 32s`, `2h 05m`, `3d 04h`: of steadier width than the configuration's own
 * form, since these stand in columns and tick.
 */
export function duration(ms: number): string {
  const positive = Math.max(0, ms);
  if (positive < 99.5) return `${Math.round(positive)} ms`;
  if (positive < 59_950) return `${(positive / 1000).toFixed(1)} s`;
  return coarse(positive);
}

/** As `duration`, without fractions of a second: for clocks that tick in view and for estimates. */
export function wholeSeconds(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  return seconds < 60 ? `${seconds} s` : coarse(seconds * 1000);
}

function coarse(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h ${two(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}d ${two(hours % 24)}h`;
}

/** Whole percent, and never 100 before the last byte; `total` 0 counts as done. */
export const percent = (done: number, total: number): number =>
  total <= 0 ? 100 : done >= total ? 100 : Math.min(99, Math.floor((done / total) * 100));

/** `2026-11-21 14:40:03 UTC` */
export const moment = (iso: string): string =>
  `${new Date(iso).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
