import type { DiskIdentity, LedgerEntry } from '../domain/ownership.ts';
import { OwnerState } from '../domain/ownership.ts';
import { formatAdmission, parseAdmission } from './admission.ts';
import type { Admission } from './admission.ts';
import { cksum } from './cksum.ts';

/*
 * One file a VM, plain ASCII, read by this file and by `hook/50-vmferry` (sh and awk):
 *
 *   vmferry-ledger 1
 *   uuid 6f1a...
 *   name web server
 *   epoch 3
 *   state released
 *   migration migrate/default/6f1a...
 *   note moved to beta
 *   admit 0123456789abcdef0123456789abcdef 4
 *   disk 64769:1234:1700000000 /var/lib/libvirt/images/web.qcow2 -
 *   end 2744573137 231
 *
 * `end` is what `sed '$d' FILE | cksum` prints. A disk line is identity, path, and the path with symbolic links
 * resolved where that differs. Bytes that are not printable ASCII, `%`, and spaces at the edge of a text or anywhere
 * in a disk line are written as %XX; an empty value as `-`. The line `admit TOKEN RUNS`, only in state `incoming`, lets
 * one live migration in while the run counter stands at RUNS; `admit - RUNS` says that it was taken back.
 */

const formatLine = 'vmferry-ledger 1';
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Bounds that the writer keeps to, so that the hook's work is bounded too. */
export const ledgerLimits = { disks: 256, pathBytes: 4096, textBytes: 1024 } as const;

/** What is kept of a disk on file: the entry's part and the resolved path (empty if the same). */
export interface DiskLine extends DiskIdentity {
  resolvedPath: string;
}

/** All that a file says: the entry, and what the hook may let in while a move comes here. */
export interface LedgerRecord extends LedgerEntry {
  admission?: Admission;
}

/** Thrown by `parseLedgerFile`; the caller adds the file's name. */
export class LedgerFormatError extends Error {
  override readonly name = 'LedgerFormatError';
}

export const isVmUuid = (text: string): boolean => uuidPattern.test(text);

/** `value` as one word of printable ASCII; `-` for an empty one. */
function encodeWord(value: string): string {
  if (value === '') return '-';
  if (value === '-') return '%2D';
  let word = '';
  for (const byte of Buffer.from(value, 'utf8')) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x25;
    word += plain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return word;
}

/** `value` as a line's rest: like a word, but inner spaces stay so that a person can read it. */
const encodeText = (value: string): string =>
  encodeWord(value)
    .replaceAll('%20', ' ')
    .replace(/^ +| +$/g, (edge) => '%20'.repeat(edge.length));

/** Inverse of `encodeWord` and `encodeText`; throws `LedgerFormatError`. */
function decodeValue(encoded: string): string {
  if (encoded === '-') return '';
  if (!/^(?:[ -$&-~]|%[0-9A-F]{2})+$/.test(encoded)) {
    throw new LedgerFormatError('a value holds characters that are never written');
  }
  const bytes = encoded.replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Cuts `text` to what fits a line; a state must never fail to be written because of a long reason. */
export function shorten(text: string): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= ledgerLimits.textBytes) return bytes.toString('utf8');
  return `${bytes
    .subarray(0, ledgerLimits.textBytes - 3)
    .toString('utf8')
    .replace(/\uFFFD$/, '')}…`;
}

/** The bytes of the file for `entry`, checksum line included. Only an incoming VM keeps its admission. */
export function formatLedgerFile(entry: LedgerRecord, disks: readonly DiskLine[]): Buffer {
  const lines = [
    formatLine,
    `uuid ${entry.uuid}`,
    `name ${encodeText(entry.name)}`,
    `epoch ${entry.epoch}`,
    `state ${entry.state}`,
    `migration ${encodeText(entry.migrationId)}`,
    `note ${encodeText(entry.note)}`,
    ...(entry.admission !== undefined && entry.state === 'incoming'
      ? [`admit ${formatAdmission(entry.admission)}`]
      : []),
    ...disks.map(
      (disk) =>
        `disk ${encodeWord(disk.identity)} ${encodeWord(disk.path)} ${encodeWord(disk.resolvedPath)}`,
    ),
  ];
  const body = Buffer.from(`${lines.join('\n')}\n`, 'ascii');
  return Buffer.concat([body, Buffer.from(`end ${cksum(body)} ${body.length}\n`, 'ascii')]);
}

/** Reads the file of `uuid` strictly: anything a writer did not write as a whole throws `LedgerFormatError`. */
export function parseLedgerFile(uuid: string, data: Uint8Array): LedgerRecord {
  const text = Buffer.from(data).toString('latin1');
  const endAt = text.lastIndexOf('\nend ') + 1;
  if (endAt === 0 || !text.startsWith(`${formatLine}\n`)) {
    throw new LedgerFormatError('its first or last line is missing, it may be cut off');
  }
  const body = data.subarray(0, endAt);
  if (text.slice(endAt) !== `end ${cksum(body)} ${body.length}\n`) {
    throw new LedgerFormatError('its checksum does not match its content');
  }
  const lines = text.slice(0, endAt - 1).split('\n');
  const entry = parseLines(lines.slice(1));
  if (entry.uuid !== uuid) throw new LedgerFormatError(`it is about VM ${entry.uuid}`);
  return entry;
}

function parseLines(lines: readonly string[]): LedgerRecord {
  const values = new Map<string, string>();
  const disks: DiskIdentity[] = [];
  for (const line of lines) {
    const space = line.indexOf(' ');
    const key = line.slice(0, space);
    const value = line.slice(space + 1);
    if (key === 'disk') disks.push(parseDisk(value));
    else if (values.has(key)) throw new LedgerFormatError(`it has two lines ${key}`);
    else values.set(key, value);
  }
  const take = (key: string): string => {
    const value = values.get(key);
    if (value === undefined) throw new LedgerFormatError(`its line ${key} is missing`);
    return value;
  };
  const state = parseState(take('state'));
  const admit = values.get('admit');
  return {
    uuid: take('uuid'),
    name: decodeValue(take('name')),
    epoch: parseEpoch(take('epoch')),
    state,
    migrationId: decodeValue(take('migration')),
    note: decodeValue(take('note')),
    disks,
    ...(admit === undefined ? {} : { admission: readAdmission(state, admit) }),
  };
}

function readAdmission(state: OwnerState, value: string): Admission {
  const admission = parseAdmission(value);
  if (admission === undefined || state !== 'incoming') {
    throw new LedgerFormatError(`its line admit makes no sense in state ${state}`);
  }
  return admission;
}

function parseDisk(value: string): DiskIdentity {
  const [identity, path, resolved, ...more] = value.split(' ');
  if (identity === undefined || path === undefined || resolved === undefined || more.length > 0) {
    throw new LedgerFormatError('a disk line does not have three parts');
  }
  return { path: decodeValue(path), identity: decodeValue(identity) };
}

function parseEpoch(value: string): number {
  const epoch = Number(value);
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(epoch) || epoch < 1) {
    throw new LedgerFormatError(`its epoch is ${value}`);
  }
  return epoch;
}

function parseState(value: string): OwnerState {
  const state = Object.values(OwnerState).find((known) => known === value);
  if (state === undefined) throw new LedgerFormatError(`its state is ${value}`);
  return state;
}
