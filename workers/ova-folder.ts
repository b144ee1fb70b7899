/** All OVAs below one folder as one platform: a machine's ID is `<file>#<ID in it>`, the file relative to the folder. */
import { opendir, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Concern } from '../domain/concerns.ts';
import { permanent, VmFerryError } from '../domain/errors.ts';
import { ForeignKind } from '../domain/foreign.ts';
import type {
  ForeignDiskHandle,
  ForeignSource,
  ForeignVm,
  ForeignVmSummary,
} from '../domain/foreign.ts';
import { VmState } from '../domain/vm.ts';
import { openOva } from '../platforms/ova/source.ts';
import type { OvaOptions, OvaSource } from '../platforms/ova/source.ts';

export interface OvaFolderOptions extends Omit<OvaOptions, 'path'> {
  /** Nothing outside of it is ever opened. */
  folder: string;
}

const maxDepth = 4;
const maxFiles = 5_000;
const isOvaName = (name: string): boolean => /\.(?:ova|ovf)$/i.test(name);

export class OvaFolder implements ForeignSource {
  readonly kind = ForeignKind.ova;
  readonly #options: OvaFolderOptions;
  readonly #opened = new Map<string, Promise<OvaSource>>();

  constructor(options: OvaFolderOptions) {
    this.#options = options;
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ForeignVmSummary> {
    for await (const file of filesBelow(this.#options.folder, signal)) {
      let ova: OvaSource;
      try {
        ova = await this.#openInside(file, signal);
      } catch (error) {
        if (!(error instanceof VmFerryError)) throw error;
        yield unreadable(file, error);
        continue;
      }
      // Not kept open: there may be thousands.
      try {
        for await (const vm of ova.list(signal)) yield { ...vm, id: idOf(file, vm.id) };
      } finally {
        await ova.close();
      }
    }
  }

  /** By ID, by the path of an OVA with one machine, or by a name or UUID that one machine of the folder has. */
  async inspect(vm: string, signal?: AbortSignal): Promise<ForeignVm> {
    const { file, id } = partsOf(vm);
    if (id !== '') return this.#inspectIn(file, id, signal);
    if (isOvaName(file)) return this.#inspectIn(file, await this.#soleIn(file, signal), signal);
    const found: string[] = [];
    for await (const one of this.list(signal))
      if (one.name === vm && one.state !== VmState.other) found.push(one.id);
    const [first, second] = found;
    if (first === undefined) throw notFound(this.#options.folder, vm);
    if (second !== undefined) throw ambiguous(this.#options.folder, vm, found);
    return this.inspect(first, signal);
  }

  async concerns(vm: ForeignVm, signal?: AbortSignal): Promise<Concern[]> {
    const { ova, inner } = await this.#of(vm, signal);
    return ova.concerns(inner, signal);
  }

  async state(id: string): Promise<VmState> {
    const { file, id: inner } = partsOf(id);
    return (await this.#open(file)).state(inner);
  }

  async requestShutdown(id: string): Promise<void> {
    await this.state(id);
  }

  async forceOff(id: string): Promise<void> {
    await this.state(id);
  }

  async openDisk(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const { ova, inner } = await this.#of(vm, signal);
    return ova.openDisk(inner, key, signal);
  }

  async verifyUnchanged(vm: ForeignVm, signal?: AbortSignal): Promise<void> {
    const { ova, inner } = await this.#of(vm, signal);
    await ova.verifyUnchanged(inner, signal);
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.values());
    for (const one of opened) if (one.status === 'fulfilled') await one.value.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #inspectIn(file: string, id: string, signal?: AbortSignal): Promise<ForeignVm> {
    const vm = await (await this.#open(file, signal)).inspect(id, signal);
    return { ...vm, id: idOf(file, vm.id) };
  }

  async #soleIn(file: string, signal?: AbortSignal): Promise<string> {
    const ova = await this.#open(file, signal);
    const ids: string[] = [];
    for await (const { id } of ova.list(signal)) ids.push(id);
    const [first, second] = ids;
    if (first === undefined) throw notFound(this.#options.folder, file);
    if (second === undefined) return first;
    throw ambiguous(
      this.#options.folder,
      file,
      ids.map((id) => idOf(file, id)),
    );
  }

  /** The VM as its own OVA knows it. */
  async #of(vm: ForeignVm, signal?: AbortSignal): Promise<{ ova: OvaSource; inner: ForeignVm }> {
    const { file, id } = partsOf(vm.id);
    return { ova: await this.#open(file, signal), inner: { ...vm, id } };
  }

  #open(file: string, signal?: AbortSignal): Promise<OvaSource> {
    const known = this.#opened.get(file);
    if (known !== undefined) return known;
    const opening = this.#openInside(file, signal);
    this.#opened.set(file, opening);
    opening.catch(() => this.#opened.delete(file));
    return opening;
  }

  async #openInside(file: string, signal?: AbortSignal): Promise<OvaSource> {
    const { folder } = this.#options;
    const root = await realpath(folder).catch(() => folder);
    // Links are followed first: what counts is where the file is.
    const path = await realpath(join(root, file)).catch(() => undefined);
    const within = path === undefined ? '..' : relative(root, path);
    if (path === undefined || within.split(sep)[0] === '..' || within === '')
      throw notFound(folder, file);
    return openOva({ ...this.#options, path }, signal);
  }
}

const idOf = (file: string, id: string): string => `${file}#${id}`;

/** A file's name may hold a `#`; the last one counts. */
function partsOf(id: string): { file: string; id: string } {
  const at = id.lastIndexOf('#');
  return at === -1 ? { file: id, id: '' } : { file: id.slice(0, at), id: id.slice(at + 1) };
}

/** In no order; links to folders are not followed. */
async function* filesBelow(folder: string, signal?: AbortSignal): AsyncGenerator<string> {
  let seen = 0;
  const folders = [{ path: '', depth: 0 }];
  for (let at = folders.pop(); at !== undefined; at = folders.pop()) {
    const entries = await opendir(join(folder, at.path)).catch((cause: unknown) => {
      throw folderUnreadable(folder, cause);
    });
    for await (const entry of entries) {
      signal?.throwIfAborted();
      const path = join(at.path, entry.name);
      if (entry.isDirectory() && at.depth < maxDepth) folders.push({ path, depth: at.depth + 1 });
      if (!entry.isDirectory() && isOvaName(entry.name) && (seen += 1) <= maxFiles) yield path;
    }
  }
}

/** One that cannot be read hides no other; who asks for it by name is told more. */
const unreadable = (file: string, error: VmFerryError): ForeignVmSummary => ({
  ...{ id: file, name: file, state: VmState.other, memoryBytes: 0, cpus: 0, diskBytes: 0 },
  path: `cannot be read: ${error.message}`,
});

const notFound = (folder: string, vm: string) =>
  permanent({
    code: 'vm-not-found',
    message: `${folder} has no OVA or machine ${JSON.stringify(vm.slice(0, 300))}`,
    remedy: 'List what it has: `vmferry vms --provider`.',
  });

const ambiguous = (folder: string, vm: string, ids: readonly string[]) =>
  permanent({
    code: 'vm-ambiguous',
    message: `${folder} has more than one machine ${JSON.stringify(vm.slice(0, 300))}`,
    remedy: `Name it by its ID: ${ids.slice(0, 10).join(', ')}.`,
  });

const folderUnreadable = (folder: string, cause: unknown) =>
  permanent({
    code: 'provider-folder-unreadable',
    message: `the folder of OVAs ${folder} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: 'See that it is there and that the worker may read it.',
    cause,
  });
