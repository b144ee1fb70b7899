/** A file of a datastore as its ESXi gives it out by SSH: a lost session is opened again, within limits. */
import { setTimeout as delay } from 'node:timers/promises';
import { permanent, VmFerryError } from '../../domain/errors.ts';
import { SftpError } from '../../protocols/ssh/index.ts';
import { diskFault } from '../remote-kvm/faults.ts';
import { assertSame } from './datastore-file.ts';
import type { DatastoreFile, ExplainLoss, FileStamp } from './datastore-file.ts';
import { showPath, volumePath } from './datastore-path.ts';
import type { DatastorePath } from './datastore-path.ts';
import type { EsxiReach } from './esxi-reach.ts';

export interface EsxiFileOptions {
  reach: EsxiReach;
  path: DatastorePath;
  explain: ExplainLoss;
}

const mostAttempts = 5;
const firstPauseMs = 200;

/** Throws `vsphere-path-invalid` when it is made. */
export class EsxiFile implements DatastoreFile {
  readonly #options: EsxiFileOptions;
  readonly #path: string;
  #stamp: FileStamp | undefined;

  constructor(options: EsxiFileOptions) {
    this.#options = options;
    this.#path = volumePath(options.path);
  }

  get name(): string {
    return showPath(this.#options.path);
  }

  async readAll(maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
    const { sizeBytes } = await this.look(signal);
    if (sizeBytes > maxBytes) {
      throw permanent({
        code: 'vsphere-disk-unreadable',
        message: `${this.name} has ${sizeBytes} bytes, and is to have ${maxBytes} at most`,
        remedy: 'See that this is the descriptor of a disk, with its bytes in a file beside it.',
        host: this.#options.reach.name,
      });
    }
    const into = Buffer.alloc(sizeBytes);
    await this.readInto(0, into, signal);
    return into;
  }

  async look(signal?: AbortSignal): Promise<FileStamp> {
    const { reach } = this.#options;
    const stamp = await this.#persist(signal, () => reach.stat(this.#path, signal));
    this.#stamp ??= stamp;
    return stamp;
  }

  async readInto(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (into.length === 0) return;
    const { reach } = this.#options;
    const range = { offset, into };
    const stamp = await this.#persist(signal, () => reach.read(this.#path, range, signal));
    if (this.#stamp !== undefined)
      assertSame(this.#stamp, stamp, { name: this.name, host: reach.name });
  }

  /** Begins again after a loss, a few times; whatever else fails is told at once. */
  async #persist<T>(signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    const { reach, explain } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        return await act();
      } catch (error) {
        signal?.throwIfAborted();
        const known = error instanceof SftpError ? await explain(error.message, error) : undefined;
        if (known !== undefined) throw known;
        const fault = diskFault({ what: this.name, host: reach.name }, error);
        const mayHeal = fault instanceof VmFerryError && fault.code === 'ssh-unreachable';
        if (!mayHeal || attempt >= mostAttempts) throw fault;
        await delay(firstPauseMs * 2 ** (attempt - 1), undefined, { signal });
      }
    }
  }
}
