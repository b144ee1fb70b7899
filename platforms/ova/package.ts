/** The files that an OVA is made of: entries of one tar, or an OVF with its files beside it. */
import { opendir, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VmFerryError } from '../../domain/errors.ts';
import { FileRegion, OpenFile } from './bytes.ts';
import { fileFault, malformed, quoted, unsupported } from './faults.ts';
import { indexTar, relativeName } from './tar-index.ts';
import { refuseCompressed, tarStartBytes } from './tar-start.ts';

/** Names are relative to the OVF. Nothing is unpacked: every file is a region of an open one. */
export interface OvaPackage {
  /** As it was given. */
  readonly path: string;
  readonly ovfName: string;
  /** Names at its top, for what belongs to the OVF by its name alone. */
  readonly names: readonly string[];
  /** undefined if there is none. Throws `ova-malformed` if the name leads out. */
  find(name: string): Promise<FileRegion | undefined>;
  /** What a file is called, for people. */
  place(name: string): string;
  close(): Promise<void>;
}

/** More files than a disk of the largest size has chunks. */
const maxFiles = 10_000;

/**
 * Opens a tar, an OVF, or a folder with one OVF. Throws `ova-not-found`, `ova-unreadable`, `ova-malformed`,
 * `ova-unsupported` for a stream: disks are read by position, and again when a move resumes.
 */
export async function openPackage(path: string, signal?: AbortSignal): Promise<OvaPackage> {
  if (path === '-' || /^[a-z][a-z0-9+.-]*:\/\//i.test(path)) throw streamRefused(path);
  const look = await stat(path).catch((error: unknown) => {
    throw fileFault(path, error);
  });
  if (look.isFIFO() || look.isSocket() || look.isCharacterDevice()) throw streamRefused(path);
  if (look.isDirectory()) return openFolder(path, { folder: path });
  if (path.toLowerCase().endsWith('.ovf')) {
    return openFolder(path, { folder: dirname(path), ovfName: basename(path) });
  }
  return openTar(path, signal);
}

const streamRefused = (path: string) =>
  unsupported(
    path === '-' ? 'standard input' : path,
    'disks are read by position, and again when a move resumes, which a stream does not offer',
    'Put it into the folder of a provider: `vmferry save-ova`; or mount the storage that holds it.',
  );

async function openTar(path: string, signal?: AbortSignal): Promise<OvaPackage> {
  const file = await OpenFile.open(path);
  try {
    const start = new Uint8Array(Math.min(tarStartBytes, file.sizeBytes));
    await file.read(0, start);
    refuseCompressed(start, path);
    const entries = await indexTar(file, path, signal);
    const names = [...entries.keys()];
    const ovfPath = soleOvf(path, names);
    const folder = ovfPath.includes('/') ? `${dirname(ovfPath)}/` : '';
    return {
      path,
      ovfName: ovfPath.slice(folder.length),
      names: names
        .filter((name) => name.startsWith(folder))
        .map((name) => name.slice(folder.length)),
      find: (name) => {
        const entry = entries.get(`${folder}${insideName(path, name)}`);
        const region = entry && new FileRegion(file, entry.offset, entry.sizeBytes);
        return Promise.resolve(region);
      },
      place: (name) => `${path}:${folder}${name}`,
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The OVF that lies least deep; there may be only one there. */
function soleOvf(path: string, names: readonly string[]): string {
  const depth = (name: string): number => name.split('/').length;
  // `._x.ovf` is what macOS's tar writes beside `x.ovf`.
  const all = names.filter((name) => /(?:^|\/)(?!\._)[^/]*\.ovf$/i.test(name));
  const least = Math.min(...all.map(depth));
  const [first, second] = all.filter((name) => depth(name) === least);
  if (first === undefined) throw malformed(path, 'there is no .ovf in it');
  if (second !== undefined) {
    throw malformed(path, `it has more than one OVF: ${quoted(first)} and ${quoted(second)}`);
  }
  return first;
}

/** A name as the OVF may give it: of a file of the package, nowhere else. */
function insideName(path: string, name: string): string {
  const clean = relativeName(name);
  if (clean === undefined)
    throw malformed(path, `its OVF names the file ${quoted(name)}, outside of it`);
  return clean;
}

async function openFolder(
  path: string,
  where: { folder: string; ovfName?: string },
): Promise<OvaPackage> {
  const folder = await realpath(where.folder).catch((error: unknown) => {
    throw fileFault(path, error);
  });
  const names = await namesIn(folder, path);
  const ovfName = where.ovfName ?? soleOvf(path, names);
  const opened = new Map<string, Promise<OpenFile | undefined>>();
  return {
    path,
    ovfName,
    names,
    find: async (name) => {
      const clean = insideName(path, name);
      if (!opened.has(clean) && opened.size >= maxFiles) {
        throw malformed(path, `its OVF names more than ${maxFiles} files`);
      }
      const opening = opened.get(clean) ?? openInside(folder, clean, path);
      opened.set(clean, opening);
      const file = await opening;
      return file && new FileRegion(file);
    },
    place: (name) => join(folder, name),
    close: async () => {
      // Those that could not be opened have been told of where they were asked for.
      const all = await Promise.allSettled(opened.values());
      opened.clear();
      for (const one of all) if (one.status === 'fulfilled') await one.value?.close();
    },
  };
}

async function namesIn(folder: string, path: string): Promise<string[]> {
  const names: string[] = [];
  const entries = await opendir(folder).catch((error: unknown) => {
    throw fileFault(path, error);
  });
  for await (const { name } of entries) {
    if (names.length >= maxFiles) throw malformed(path, `it holds more than ${maxFiles} files`);
    names.push(name);
  }
  return names;
}

/** Asked of the open file, not of its name: a link laid in between would be followed unseen. */
async function openInside(
  folder: string,
  name: string,
  path: string,
): Promise<OpenFile | undefined> {
  const full = join(folder, name);
  const file = await OpenFile.open(full).catch((error: unknown) => {
    if (error instanceof VmFerryError && error.code === 'ova-not-found') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  const real = await readlink(`/proc/self/fd/${file.descriptor}`);
  if (real.startsWith(folder === '/' ? folder : `${folder}/`)) return file;
  await file.close();
  throw malformed(path, `its file ${quoted(name)} is a link that leads out of the folder`);
}
