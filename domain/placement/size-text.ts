const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

/**
 * Bytes for people: `1.5 GiB`, `512 MiB`. What is needed is rounded up and what is free down, so that a refusal never
 * shows two equal figures for a need that does not fit. Never below zero: of what is overbooked nothing is free.
 */
export function sizeText(bytes: number, rounded: 'up' | 'down' = 'down'): string {
  const whole = rounded === 'up' ? Math.ceil : Math.floor;
  const least = Math.max(0, bytes);
  if (least < gibibyte) return `${whole(least / mebibyte)} MiB`;
  return `${whole((least / gibibyte) * 10) / 10} GiB`;
}
