/** The file of a disk in its package: whole or in chunks, found under the name that the OVF gives it. */
import { createHash } from 'node:crypto';
import { JoinedBytes } from './bytes.ts';
import type { Bytes, FileRegion } from './bytes.ts';
import { corrupt, fileMissing, malformed } from './faults.ts';
import type { OvfFile } from './ovf-envelope.ts';
import type { OvaPackage } from './package.ts';

/** A file as it lies in the package, still compressed if it is. */
export interface DiskFile {
  bytes: Bytes;
  /** What `bytes` is made of, by the names that the manifest uses. */
  parts: { name: string; region: FileRegion }[];
}

const maxChunks = 10_000;

/** Throws `ova-file-missing`, `ova-corrupt` if it is shorter than stated, `ova-malformed`, `ova-unreadable`. */
export async function findDiskFile(ova: OvaPackage, file: OvfFile): Promise<DiskFile> {
  const parts = file.chunkBytes > 0 ? await chunksOf(ova, file) : [await wholeOf(ova, file.href)];
  const bytes = new JoinedBytes(parts.map(({ region }) => region));
  if (bytes.sizeBytes < file.sizeBytes) {
    const why = `it has ${bytes.sizeBytes} bytes, its OVF says ${file.sizeBytes}`;
    throw corrupt(ova.place(file.href), why);
  }
  return { bytes, parts };
}

async function wholeOf(ova: OvaPackage, href: string): Promise<DiskFile['parts'][number]> {
  const found = await findNamed(ova, href);
  if (found === undefined) throw fileMissing(ova.path, href);
  return found;
}

async function chunksOf(ova: OvaPackage, file: OvfFile): Promise<DiskFile['parts']> {
  const { href, chunkBytes, sizeBytes } = file;
  const parts: DiskFile['parts'] = [];
  for (let total = 0; ;) {
    const name = `${href}.${String(parts.length).padStart(9, '0')}`;
    const part = await findNamed(ova, name);
    if (part === undefined) {
      // Without a stated size the last one is the one after which there is none.
      if (parts.length === 0 || total < sizeBytes) throw fileMissing(ova.path, name);
      return parts;
    }
    if (parts.length >= maxChunks) throw malformed(ova.path, `a disk has over ${maxChunks} chunks`);
    parts.push(part);
    total += part.region.sizeBytes;
    if (part.region.sizeBytes === chunkBytes && (sizeBytes === 0 || total < sizeBytes)) continue;
    if (sizeBytes === 0 || total >= sizeBytes) return parts;
    const why = `it has ${part.region.sizeBytes} bytes, its OVF says ${chunkBytes}`;
    throw corrupt(ova.place(name), why);
  }
}

/** A reference is a URI: some exporters escape the spaces in it, most do not. */
async function findNamed(
  ova: OvaPackage,
  href: string,
): Promise<DiskFile['parts'][number] | undefined> {
  for (const name of new Set([href, unescaped(href)])) {
    const region = await ova.find(name);
    if (region !== undefined) return { name: name.replace(/^(?:\.\/)+/, ''), region };
  }
  return undefined;
}

function unescaped(href: string): string {
  try {
    return decodeURIComponent(href);
  } catch {
    return href;
  }
}

/** Changes with every write to one of the files, and with every other file in their place. */
export function fingerprintOf({ parts }: Pick<DiskFile, 'parts'>): string {
  const hash = createHash('sha256');
  for (const { name, region } of parts) {
    const { file, offset, sizeBytes } = region;
    hash.update(`${name}\0${file.identity}:${offset}:${sizeBytes}\n`);
  }
  return `ova:${hash.digest('hex')}`;
}
