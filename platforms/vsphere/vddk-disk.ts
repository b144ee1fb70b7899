/** A disk by VDDK: its server is started with the first read, for many a look asks for nothing but the fingerprint. */
import type { DiskSource, Extent } from '../../domain/platform.ts';
import { permanent, VmFerryError } from '../../domain/errors.ts';
import { openNbdDisk } from '../remote-kvm/nbd-disk.ts';
import type { NbdDisk } from '../remote-kvm/nbd-disk.ts';
import { startVddkServer, vddkFault } from './vddk-server.ts';
import type { VddkOptions, VddkServer, VddkWish } from './vddk-server.ts';

/** An ESXi gives each of them memory of its own, and has little: its limit is met as NFC errors. */
const connections = 2;

export class VddkDisk implements DiskSource {
  readonly sizeBytes: number;
  readonly parallelism = connections * 2;
  readonly #options: VddkOptions;
  readonly #wish: () => Promise<VddkWish>;
  #opening: Promise<{ server: VddkServer; disk: NbdDisk }> | undefined;

  /** `wish` is asked for with the first read. */
  constructor(options: VddkOptions, sizeBytes: number, wish: () => Promise<VddkWish>) {
    this.#options = options;
    this.sizeBytes = sizeBytes;
    this.#wish = wish;
  }

  async *extents(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    yield* (await this.#open(signal)).disk.extents(offset, length, signal);
  }

  /** Rejects with VmFerryError: `vddk-missing`, `vddk-failed`, `vsphere-login-refused`, `vsphere-disk-locked`. */
  async read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { disk, server } = await this.#open(signal);
    try {
      await disk.read(offset, into, signal);
    } catch (error) {
      throw await this.#explained(error, server, signal);
    }
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined);
    this.#opening = undefined;
    await opened?.disk.close();
    await opened?.server.close();
  }

  #open(signal?: AbortSignal): Promise<{ server: VddkServer; disk: NbdDisk }> {
    if (this.#opening !== undefined) return this.#opening;
    const opening = this.#start(signal);
    this.#opening = opening;
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    return opening;
  }

  async #start(signal?: AbortSignal): Promise<{ server: VddkServer; disk: NbdDisk }> {
    const wish = await this.#wish();
    const server = await startVddkServer(this.#options, wish, signal);
    try {
      const place = { what: wish.file, host: wish.server };
      const open = () => server.open();
      const disk = await openNbdDisk({ place, open, exportName: '', connections, signal });
      if (disk.sizeBytes === this.sizeBytes) return { server, disk };
      await disk.close();
      throw permanent({
        code: 'vsphere-disk-unreadable',
        message: `${wish.file} has ${this.sizeBytes} bytes, and ${disk.sizeBytes} by VDDK`,
        remedy: 'Look at the disk in the settings of the VM.',
        host: wish.server,
      });
    } catch (error) {
      const told = await this.#explained(error, server, signal);
      await server.close();
      throw told;
    }
  }

  /** NBD says that something failed; what it was stands in the words of VDDK. */
  async #explained(
    error: unknown,
    server: VddkServer,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    if (signal?.aborted === true) return error;
    if (error instanceof VmFerryError && error.code === 'vsphere-disk-unreadable') return error;
    const complaint = await server.complaint();
    if (complaint === '') return error;
    const { server: host } = await this.#wish();
    return vddkFault(complaint, { host, libdir: this.#options.libdir, cause: error });
  }
}
