const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

const step = (crc: number, byte: number): number =>
  ((crc << 8) ^ (table[((crc >>> 24) ^ byte) & 0xff] ?? 0)) >>> 0;

/**
 * The checksum that POSIX `cksum` prints for the same bytes, so that the hook and a person can verify a
 * ledger file with a tool that every host has.
 */
export function cksum(data: Uint8Array): number {
  let crc = 0;
  for (const byte of data) crc = step(crc, byte);
  for (let length = data.length; length > 0; length = Math.floor(length / 256)) {
    crc = step(crc, length % 256);
  }
  return ~crc >>> 0;
}
