/** How the checks put lists and sizes. */

/** The first few of a list that may be long. */
export const firstOf = (names: readonly string[]): string =>
  names.length <= 5
    ? names.join(', ')
    : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;

/** All of them, or `none`. */
export const listed = (names: readonly string[]): string =>
  names.length === 0 ? 'none' : names.join(', ');

export const mib = (bytes: number): string => `${Math.ceil(bytes / 1048576)} MiB`;

/** What a host's ledger has of a VM. */
export const ledgerSays = (
  host: string,
  vm: string,
  { state, note }: { state: string; note: string },
): string =>
  `the ledger of ${host} already says ${state} for ${vm}${note === '' ? '' : ` (${note})`}`;
