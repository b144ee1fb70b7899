/** MAC addresses of cards on the target. */
import type { ForeignNic, ForeignVm } from '../foreign.ts';
import type { ImportShape } from '../import.ts';
import type { ImportMode } from './mode.ts';
import { broughtCards } from './networks.ts';

/** Whether the cards get new addresses: a clone must not speak with those of its source. */
export const hasNewMacs = (mode: ImportMode, { newMacs }: Pick<ImportShape, 'newMacs'>): boolean =>
  mode === 'clone' || newMacs === true;

/** Lower case with colons, of one card (not of a group), not all zero: what libvirt takes. */
export const isUsableMac = (mac: string): boolean =>
  /^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/.test(mac) && !/^[0:]+$/.test(mac);

/** Addresses that more than one card has, lower case, each once. */
export function repeatedMacs(macs: readonly string[]): string[] {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const each of macs) {
    const mac = each.toLowerCase();
    if (mac === '') continue;
    if (seen.has(mac)) repeated.add(mac);
    seen.add(mac);
  }
  return [...repeated];
}

/**
 * A card's address on the target, lower case: as it was asked for, else the source's where that is kept; empty where one
 * is to be made.
 */
export function settledMac(
  { key, mac }: Pick<ForeignNic, 'key' | 'mac'>,
  mode: ImportMode,
  shape: MacShape,
): string {
  const wished = shape.nics?.find((one) => one.key === key)?.mac;
  return (wished ?? (hasNewMacs(mode, shape) ? '' : mac)).toLowerCase();
}

type MacShape = Pick<ImportShape, 'newMacs' | 'nics'>;

/** Those of the cards that come, as they will be on the target; without those that are still to be made. */
export const keptMacs = (
  vm: Pick<ForeignVm, 'nics'>,
  mode: ImportMode,
  shape: MacShape,
): string[] =>
  broughtCards(vm, shape)
    .map((nic) => settledMac(nic, mode, shape))
    .filter(isUsableMac);

/** Prefix of the addresses that QEMU and libvirt make. */
const ours = '52:54:00';
const spaceSize = 2 ** 24;

/**
 * A new address for a card of a VM, none of `taken`. The same VM and card have the same one each time, so that a
 * definition that is made twice is the same; it follows from the UUID, which is random. Throws a RangeError if all are
 * taken, which no host comes near.
 */
export function madeMac(
  { uuid, card }: { uuid: string; card: number },
  taken: ReadonlySet<string>,
): string {
  const start = hashOf(`${uuid}/${card}`) % spaceSize;
  for (let step = 0; step < spaceSize; step += 1) {
    const number = (start + step) % spaceSize;
    const digits = number.toString(16).padStart(6, '0');
    const mac = `${ours}:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}`;
    if (!taken.has(mac)) return mac;
  }
  throw new RangeError('every MAC address is taken');
}

/** FNV-1a with a last mix, so that neighbouring cards lie far apart. Nothing secret hangs on it. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
