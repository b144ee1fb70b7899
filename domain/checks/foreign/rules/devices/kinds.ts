/** What platforms say of devices that are bound to their host, sorted by what their loss means. */

export type FixedKind = 'nic' | 'usb' | 'passed-through' | 'other';

/** The first that matches counts. Clauses are those of `ForeignVm.fixedDevices`, of all platforms. */
const kinds: readonly [FixedKind, RegExp][] = [
  ['nic', /^(?:SR-IOV network card|interface (?:hostdev|vdpa|vhostuser))\b/],
  ['usb', /^(?:USB device of the host|hostdev usb)\b/],
  // A card may be a controller with disks of its own; a GPU or a drive by SCSI is what a guest was made for.
  ['passed-through', /^(?:PCI passthrough|SCSI passthrough|hostdev |disk )/],
];

const kindOf = (device: string): FixedKind =>
  kinds.find(([, pattern]) => pattern.test(device))?.[0] ?? 'other';

/** Those of a kind, in their order. */
export const fixedOf = (devices: readonly string[], kind: FixedKind): string[] =>
  devices.filter((device) => kindOf(device) === kind);
