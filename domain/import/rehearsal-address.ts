/** This host's address beside a guest on a network of theirs alone. */

const toNumber = (address: string): number | undefined => {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
};

const toText = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');

export interface Segment {
  /** First address of the block, as a number. */
  first: number;
  size: number;
}

/**
 * The smallest block in which guest and host both have an address that is neither its first nor its last; so that as
 * little as can be of this host's traffic is led there meanwhile. Undefined for what is no IPv4 address of a guest.
 */
export function besideGuest(
  guest: string,
): { address: string; prefix: number; segment: Segment } | undefined {
  const number = toNumber(guest);
  if (number === undefined) return undefined;
  for (let bits = 2; bits <= 8; bits += 1) {
    const size = 2 ** bits;
    const place = number % size;
    if (place === 0 || place === size - 1) continue;
    const first = number - place;
    const host = place === 1 ? number + 1 : number - 1;
    return { address: toText(host), prefix: 32 - bits, segment: { first, size } };
  }
  return undefined;
}

/**
 * The route of this host that already leads into the block, as `interface address/prefix`; undefined if none does but
 * the default one. `routes` is `/proc/net/route`.
 */
export function routeInto({ first, size }: Segment, routes: string): string | undefined {
  for (const line of routes.split('\n').slice(1)) {
    const [name = '', to = '', , , , , , mask = ''] = line.trim().split(/\s+/);
    const [begin, bits] = [littleEndian(to), littleEndian(mask)];
    if (begin === undefined || bits === undefined || bits === 0) continue;
    const length = 2 ** 32 - bits;
    if (first < begin + length && begin < first + size)
      return `${name} ${toText(begin)}/${32 - Math.log2(length)}`;
  }
  return undefined;
}

const littleEndian = (hex: string): number | undefined =>
  /^[0-9A-F]{8}$/i.test(hex)
    ? Number.parseInt((hex.match(/../g) ?? []).toReversed().join(''), 16)
    : undefined;
