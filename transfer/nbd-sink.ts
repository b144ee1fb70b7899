import type { DiskSink } from '../domain/platform.ts';
import { openPool, type NbdClient, type OpenPoolOptions } from '../protocols/nbd/index.ts';
import { nbdFault, type FaultPlace } from './faults.ts';

export interface NbdSinkOptions extends Omit<OpenPoolOptions, 'metaContexts'> {
  /** How the disk is called in errors: its path behind the server. */
  what: string;
  host?: string;
  /** True only for an image that was made just now, for this copy. */
  startsZeroed: boolean;
  /** The image was given all its room on purpose: zeroes are written without giving any of it back. */
  keepsRoom?: boolean;
}

/** Zeroes of one request: servers take 4 GiB, but must answer in time where they have to write them. */
const zeroesBytes = 256 * 1024 * 1024;

/**
 * Opens a writable NBD export, usually a local `qemu-nbd` on a unix socket before a qcow2 image.
 * Rejects with VmFerryError, as `openNbdSource` does, for the side `target`.
 */
export const openNbdSink = async (options: NbdSinkOptions): Promise<DiskSink> => {
  const { what, host, startsZeroed, keepsRoom = false, ...pool } = options;
  const place: FaultPlace = { side: 'target', what, ...(host !== undefined && { host }) };
  try {
    const client = await openPool({ ...pool, metaContexts: [] });
    return new NbdSink(client, place, { startsZeroed, keepsRoom });
  } catch (error) {
    throw nbdFault(place, error);
  }
};

class NbdSink implements DiskSink {
  readonly sizeBytes: number;
  readonly startsZeroed: boolean;
  readonly #client: NbdClient;
  readonly #place: FaultPlace;
  readonly #keepsRoom: boolean;

  constructor(
    client: NbdClient,
    place: FaultPlace,
    { startsZeroed, keepsRoom }: { startsZeroed: boolean; keepsRoom: boolean },
  ) {
    this.#client = client;
    this.#place = place;
    this.#keepsRoom = keepsRoom;
    this.startsZeroed = startsZeroed;
    this.sizeBytes = client.info.sizeBytes;
  }

  async write(offset: number, data: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { maximum } = this.#client.info.blockSize;
    await this.#guarded(async () => {
      const writes: Promise<void>[] = [];
      for (let at = 0; at < data.length; at += maximum) {
        const part = data.subarray(at, at + maximum);
        writes.push(this.#client.write(offset + at, part, { signal }));
      }
      // All have to end before the buffer is the caller's again.
      for (const write of await Promise.allSettled(writes)) {
        if (write.status === 'rejected') throw write.reason;
      }
    });
  }

  async writeZeroes(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < length; at += zeroesBytes) {
      const run = Math.min(zeroesBytes, length - at);
      await this.#guarded(() => this.#zero(offset + at, run, signal));
    }
  }

  async flush(): Promise<void> {
    // A server without flush writes through, says the specification.
    if (this.#client.info.canFlush) await this.#guarded(() => this.#client.flush());
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #zero(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    if (this.#client.info.canWriteZeroes) {
      await this.#client.writeZeroes(offset, length, { signal, noHole: this.#keepsRoom });
      return;
    }
    const zeroes = new Uint8Array(
      Math.min(length, 1024 * 1024, this.#client.info.blockSize.maximum),
    );
    for (let at = 0; at < length; at += zeroes.length) {
      const part = zeroes.subarray(0, Math.min(zeroes.length, length - at));
      await this.#client.write(offset + at, part, { signal });
    }
  }

  async #guarded(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw nbdFault(this.#place, error);
    }
  }
}
