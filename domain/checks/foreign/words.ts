/** How the checks put words of a foreign system: in quotes, and never long. */

const longest = 200;

export const quoted = (text: string): string => JSON.stringify(text.slice(0, longest));

/** `one disk`, `3 disks`. */
export const counted = (number: number, one: string, many: string): string =>
  number === 1 ? `one ${one}` : `${number} ${many}`;
