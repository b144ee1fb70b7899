import { crc32 } from 'node:zlib';

/*
 * A journal is a header and records, big-endian, append-only.
 *
 *   header   "VMFERRYJ"  u32 version  u32 length  JSON of that length  u32 crc
 *   record   u8 kind  u8[3] zero  u32 crc  u64 offset  u64 length
 *
 * The crc of the header covers all before it. The crc of a record covers the record without the crc itself and
 * starts from the header's, which holds a nonce: records of an older generation never count under a new header.
 */

/** What a journal is about. A copy resumes only if all of it is the same. */
export interface JournalHeader {
  moveId: string;
  diskName: string;
  sizeBytes: number;
  /** `SourceFingerprint.value`. */
  fingerprint: string;
  /** Bytes of one request. */
  chunkBytes: number;
}

/** The header as it stands in the file. */
export interface StoredHeader extends JournalHeader {
  /** Whether ranges that were never written read as zeroes. */
  targetStartsZeroed: boolean;
  nonce: string;
}

export const RecordKind = {
  /** Asked for from the source; appended without sync. */
  started: 1,
  /** Written and synced. */
  durable: 2,
  /** Zeroed and synced. */
  zeroed: 3,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

export interface JournalRecord {
  kind: RecordKind;
  offset: number;
  length: number;
}

const magic = Buffer.from('VMFERRYJ');
const journalVersion = 2;
const prefixBytes = 16;
/** A header is far smaller; a broken length must not allocate. */
const longestHeaderBytes = 64 * 1024;
/** A record, in bytes. */
export const recordBytes = 24;
/** How much of a file has to be read to be sure to have its header. */
export const headerReadBytes = prefixBytes + longestHeaderBytes + 4;

export const encodeHeader = (header: StoredHeader): Buffer => {
  const json = Buffer.from(JSON.stringify(header));
  if (json.length > longestHeaderBytes) throw new RangeError('journal header too long');
  const bytes = Buffer.alloc(prefixBytes + json.length + 4);
  magic.copy(bytes);
  bytes.writeUInt32BE(journalVersion, 8);
  bytes.writeUInt32BE(json.length, 12);
  json.copy(bytes, prefixBytes);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4);
  return bytes;
};

export type HeaderReading =
  { header: StoredHeader; bytes: number; seed: number } | { damage: string };

/** Reads the header from the first bytes of a file; never throws. */
export const decodeHeader = (file: Buffer): HeaderReading => {
  if (file.length < prefixBytes || !file.subarray(0, 8).equals(magic)) {
    return { damage: 'its header is damaged' };
  }
  const version = file.readUInt32BE(8);
  if (version !== journalVersion) return { damage: `it has the format version ${version}` };
  const end = prefixBytes + file.readUInt32BE(12);
  if (end > prefixBytes + longestHeaderBytes || file.length < end + 4) {
    return { damage: 'its header is damaged' };
  }
  const seed = file.readUInt32BE(end);
  if (crc32(file.subarray(0, end)) !== seed) return { damage: 'its header is damaged' };
  // The checksum vouches that these are the bytes that were written by this version.
  const header = JSON.parse(file.toString('utf8', prefixBytes, end)) as StoredHeader;
  return { header, bytes: end + 4, seed };
};

const recordCrc = (record: Buffer, seed: number): number =>
  crc32(record.subarray(8), crc32(record.subarray(0, 4), seed));

export const encodeRecord = (record: JournalRecord, seed: number): Buffer => {
  const bytes = Buffer.alloc(recordBytes);
  bytes.writeUInt8(record.kind, 0);
  bytes.writeBigUInt64BE(BigInt(record.offset), 8);
  bytes.writeBigUInt64BE(BigInt(record.length), 16);
  bytes.writeUInt32BE(recordCrc(bytes, seed), 4);
  return bytes;
};

/** The record at `at`; undefined if there is no whole, valid one. */
export const decodeRecord = (file: Buffer, at: number, seed: number): JournalRecord | undefined => {
  if (file.length - at < recordBytes) return undefined;
  const kind = Object.values(RecordKind).find((value) => value === file[at]);
  if (kind === undefined) return undefined;
  const raw = file.subarray(at, at + recordBytes);
  if (raw.readUInt32BE(4) !== recordCrc(raw, seed)) return undefined;
  const offset = Number(raw.readBigUInt64BE(8));
  const length = Number(raw.readBigUInt64BE(16));
  if (length <= 0 || !Number.isSafeInteger(offset + length)) return undefined;
  return { kind, offset, length };
};
