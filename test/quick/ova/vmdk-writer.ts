/** Sparse VMDKs for tests, sound ones and others. */
import { deflateSync } from 'node:zlib';

export interface VmdkText {
  capacityBytes: number;
  /** Grains of 64 KiB that have bytes, by number. */
  grains?: Readonly<Record<number, Uint8Array>>;
  /** Grains that are stated to be zeroes. */
  zeroGrains?: readonly number[];
  /** Deflated, with the directory in a footer. */
  streamed?: boolean;
  /** In place of the sound descriptor. */
  descriptor?: string;
  /** Spoils the header, and the footer if there is one. */
  spoil?: (header: Buffer) => void;
}

export const grainBytes = 64 * 1024;
const perTable = 512;
const sector = 512;

export const soundDescriptor = (capacityBytes: number): string =>
  `# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="streamOptimized"\n\n# Extent description\nRW ${capacityBytes / sector} SPARSE "disk.vmdk"\n`;

const padded = (bytes: Uint8Array): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((sector - (bytes.length % sector)) % sector)]);

function marker(sectors: number, type: number): Buffer {
  const block = Buffer.alloc(sector);
  block.writeBigUInt64LE(BigInt(sectors), 0);
  block.writeUInt32LE(type, 12);
  return block;
}

export function vmdkOf(text: VmdkText): Buffer {
  const { capacityBytes, grains = {}, zeroGrains = [], streamed = false } = text;
  const tables = Math.ceil(capacityBytes / (grainBytes * perTable));
  const descriptor = Buffer.alloc(4 * sector);
  descriptor.write(text.descriptor ?? soundDescriptor(capacityBytes));
  const parts: Buffer[] = [Buffer.alloc(sector), descriptor];
  const here = (): number => parts.reduce((sum, { length }) => sum + length, 0) / sector;
  const table = Buffer.alloc(tables * perTable * 4);
  for (const [number, body] of Object.entries(grains)) {
    const grain = Number(number);
    table.writeUInt32LE(here(), grain * 4);
    if (streamed) {
      const packed = deflateSync(body);
      const head = Buffer.alloc(12);
      head.writeBigUInt64LE(BigInt((grain * grainBytes) / sector), 0);
      head.writeUInt32LE(packed.length, 8);
      parts.push(padded(Buffer.concat([head, packed])));
    } else {
      const whole = Buffer.alloc(grainBytes);
      whole.set(body);
      parts.push(whole);
    }
  }
  for (const grain of zeroGrains) table.writeUInt32LE(1, grain * 4);
  const directory = Buffer.alloc(tables * 4);
  for (let nth = 0; nth < tables; nth += 1) {
    const one = table.subarray(nth * perTable * 4, (nth + 1) * perTable * 4);
    if (one.every((byte) => byte === 0)) continue;
    if (streamed) parts.push(marker(4, 1));
    directory.writeUInt32LE(here(), nth * 4);
    parts.push(one);
  }
  if (streamed) parts.push(marker(1, 2));
  const directorySector = here();
  parts.push(padded(directory));
  const header = headerOf(text, streamed ? 0xffff_ffff_ffff_ffffn : BigInt(directorySector));
  text.spoil?.(header);
  parts[0] = header;
  if (streamed) {
    const footer = headerOf(text, BigInt(directorySector));
    text.spoil?.(footer);
    parts.push(marker(1, 3), footer, marker(0, 0));
  }
  return Buffer.concat(parts);
}

function headerOf({ capacityBytes, streamed }: VmdkText, directory: bigint): Buffer {
  const header = Buffer.alloc(sector);
  header.write('KDMV', 0, 'latin1');
  header.writeUInt32LE(streamed ? 3 : 1, 4);
  header.writeUInt32LE(streamed ? 0x30001 : 0x5, 8);
  header.writeBigUInt64LE(BigInt(capacityBytes / sector), 12);
  header.writeBigUInt64LE(BigInt(grainBytes / sector), 20);
  header.writeBigUInt64LE(1n, 28);
  header.writeBigUInt64LE(4n, 36);
  header.writeUInt32LE(perTable, 44);
  header.writeBigUInt64LE(directory, 56);
  header.write('\n \r\n', 73, 'latin1');
  header.writeUInt16LE(streamed ? 1 : 0, 77);
  return header;
}
