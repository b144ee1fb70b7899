/**
 * Where the files of a tar lie, found by reading its headers only: ustar, with GNU's and POSIX's long names and sizes
 * (POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format"). Who made the tar is not trusted.
 */
import { readPart } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { malformed, quoted } from './faults.ts';

/** A file of a tar. */
export interface TarEntry {
  /** Relative, without `.` or `..`. */
  name: string;
  /** Of its first byte, in the tar. */
  offset: number;
  sizeBytes: number;
}

const blockBytes = 512;
/** A disk in chunks of 1 GiB of the largest size has fewer. */
const maxEntries = 10_000;
/** With those that only carry a name or a size of another. */
const maxHeaders = 3 * maxEntries;
const maxExtensionBytes = 64 * 1024;
const maxNameBytes = 1024;

/** A clean relative name; undefined if it leads out, or is none. */
export function relativeName(name: string): string | undefined {
  const clean = name.replace(/^(?:\.\/)+/, '');
  if (clean === '' || Buffer.byteLength(clean) > maxNameBytes) return undefined;
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  if (/[\u0000-\u001F\u007F\\]/.test(clean)) return undefined;
  const parts = clean.split('/');
  return parts.some((part) => part === '' || part === '.' || part === '..') ? undefined : clean;
}

/** Its files by name. Throws `ova-malformed`, naming the entry; `source-changed`. */
export async function indexTar(
  tar: Bytes,
  path: string,
  signal?: AbortSignal,
): Promise<Map<string, TarEntry>> {
  const walk = new Walk(path);
  let at = 0;
  for (let count = 0; at + blockBytes <= tar.sizeBytes; count += 1) {
    if (count >= maxHeaders) throw malformed(path, `it has more than ${maxHeaders} headers`);
    const block = await readPart(tar, { offset: at, length: blockBytes }, signal);
    // The end is two blocks of zeroes; many writers leave out one or both.
    if (block.every((byte) => byte === 0)) break;
    const header = walk.header(block, at);
    const body = at + blockBytes;
    const end = body + header.sizeBytes;
    if (end > tar.sizeBytes) {
      const missing = `${header.sizeBytes} bytes are announced, ${tar.sizeBytes - body} are left`;
      throw malformed(path, `its entry ${quoted(header.name)} is cut or lies: ${missing}`);
    }
    if (isExtension(header)) {
      if (header.sizeBytes > maxExtensionBytes) {
        throw malformed(path, `its entry ${quoted(header.name)} has a name of unlikely length`);
      }
      const length = header.sizeBytes;
      walk.extend(header, await readPart(tar, { offset: body, length }, signal));
    } else {
      walk.add(header, body);
    }
    at = body + Math.ceil(header.sizeBytes / blockBytes) * blockBytes;
  }
  if (at === 0) throw malformed(path, 'it is no tar archive');
  return walk.entries;
}

interface Header {
  name: string;
  sizeBytes: number;
  type: string;
}

/** L, K: GNU's long names of files and links. x, g: POSIX's records for the next entry, and for all. */
const isExtension = ({ type }: Header): boolean => 'LKxg'.includes(type);

const refusedTypes: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a device',
  '4': 'a device',
  '6': 'a pipe',
  S: 'a sparse file',
  M: 'a part of another volume',
};

class Walk {
  readonly entries = new Map<string, TarEntry>();
  readonly #path: string;
  #next: { name?: string; sizeBytes?: number } = {};
  #shared: { name?: string; sizeBytes?: number } = {};

  constructor(path: string) {
    this.#path = path;
  }

  header(block: Buffer, at: number): Header {
    if (!hasGoodSum(block)) {
      const why = at === 0 ? 'it is no tar archive' : `the header at ${at} is damaged`;
      throw malformed(this.#path, why);
    }
    const type = String.fromCharCode(block[156] ?? 0);
    const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(block, 345, 155) : '';
    const own = text(block, 0, 100);
    const header = { name: prefix === '' ? own : `${prefix}/${own}`, type };
    const sizeBytes = this.#number(block.subarray(124, 136), header.name);
    // What was said of the next entry does not count for another extension.
    if (isExtension({ ...header, sizeBytes })) return { ...header, sizeBytes };
    const said = { ...this.#shared, ...this.#next };
    return { type, name: said.name ?? header.name, sizeBytes: said.sizeBytes ?? sizeBytes };
  }

  extend({ type }: Header, body: Buffer): void {
    if (type === 'L') this.#next.name = text(body, 0, body.length);
    else if (type === 'x') Object.assign(this.#next, this.#records(body));
    else if (type === 'g') Object.assign(this.#shared, this.#records(body));
  }

  add({ name, sizeBytes, type }: Header, offset: number): void {
    this.#next = {};
    const refused = refusedTypes[type];
    if (refused !== undefined) {
      throw malformed(this.#path, `its entry ${quoted(name)} is ${refused}`);
    }
    if (type === '5') return;
    if (type !== '0' && type !== '\0' && type !== '7') {
      throw malformed(
        this.#path,
        `its entry ${quoted(name)} is of the unknown kind ${quoted(type)}`,
      );
    }
    const clean = relativeName(name);
    if (clean === undefined) {
      throw malformed(
        this.#path,
        `its entry ${quoted(name)} leads out of it, or has no usable name`,
      );
    }
    if (this.entries.has(clean)) {
      throw malformed(this.#path, `its entry ${quoted(clean)} is there twice`);
    }
    if (this.entries.size >= maxEntries) {
      throw malformed(this.#path, `it has more than ${maxEntries} entries`);
    }
    this.entries.set(clean, { name: clean, offset, sizeBytes });
  }

  /** Records of `LENGTH KEY=VALUE\n`; only names and sizes count here. */
  #records(body: Buffer): { name?: string; sizeBytes?: number } {
    const found: { name?: string; sizeBytes?: number } = {};
    for (let at = 0; at < body.length;) {
      const space = body.indexOf(' ', at);
      const length = space === -1 ? 0 : Number(body.toString('latin1', at, space));
      if (!Number.isSafeInteger(length) || length < 5 || at + length > body.length) {
        throw malformed(this.#path, 'it has a damaged extended header');
      }
      const record = body.toString('utf8', space + 1, at + length - 1);
      const [key, value] = splitOnce(record, '=');
      if (key.startsWith('GNU.sparse.')) throw malformed(this.#path, 'it holds a sparse file');
      if (key === 'path') found.name = value;
      if (key === 'size') found.sizeBytes = this.#decimal(value);
      at += length;
    }
    return found;
  }

  #decimal(value: string): number {
    const number = /^\d{1,16}$/.test(value) ? Number(value) : NaN;
    if (!Number.isSafeInteger(number)) throw malformed(this.#path, 'it has a size that is none');
    return number;
  }

  /** Octal digits, or GNU's binary form for more than 8 GiB: the first bit is set. */
  #number(field: Buffer, name: string): number {
    const first = field[0] ?? 0;
    let number: number;
    if ((first & 0x80) !== 0) {
      const isSmall = first === 0x80 && field.subarray(1, 4).every((byte) => byte === 0);
      number = isSmall ? Number(field.readBigUInt64BE(4)) : NaN;
    } else {
      // The field ends with NUL or a space.
      const [digits = ''] = field.toString('latin1').replaceAll('\0', ' ').trimStart().split(' ');
      number = /^[0-7]*$/.test(digits) ? Number.parseInt(digits === '' ? '0' : digits, 8) : NaN;
    }
    if (Number.isSafeInteger(number)) return number;
    throw malformed(this.#path, `its entry ${quoted(name)} has a size that is none`);
  }
}

/** The sum of all bytes, its own field taken for spaces. */
export function hasGoodSum(block: Buffer): boolean {
  const said = Number.parseInt(block.toString('latin1', 148, 156).trim(), 8);
  let sum = 0;
  for (let at = 0; at < blockBytes; at += 1) {
    sum += at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
  }
  return said === sum;
}

function text(block: Buffer, from: number, length: number): string {
  const field = block.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? field.length : end);
}

const splitOnce = (line: string, by: string): [string, string] => {
  const at = line.indexOf(by);
  return at === -1 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
};
