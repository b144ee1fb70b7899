/** A host's libvirt: one connection that is opened when it is needed, kept, and opened anew after a loss. */
import { Connection } from '../../protocols/libvirt/index.ts';
import { faultOfLibvirt } from './faults.ts';

export interface LibvirtHostOptions {
  /** The host's name, for messages. */
  name: string;
  /** libvirt's read-write socket, e.g. `/run/libvirt/libvirt-sock`. */
  socketPath: string;
  /** `qemu:///system` if absent. */
  uri?: string;
  /** Limit of the opening and of each call, ms; 30 s if absent. */
  timeoutMs?: number;
  /** Where the host's files are seen from here; `/` if absent. Another only where a test looks into a host. */
  fileRoot?: string;
}

/** Use it from anywhere at any time: calls share the connection, and libvirtd may be restarted meanwhile. */
export class LibvirtHost {
  readonly name: string;
  /** See `LibvirtHostOptions`. */
  readonly fileRoot: string;
  readonly #options: LibvirtHostOptions;
  #opening: Promise<Connection> | undefined;

  constructor(options: LibvirtHostOptions) {
    this.name = options.name;
    this.fileRoot = options.fileRoot ?? '/';
    this.#options = options;
  }

  /**
   * Runs `act` with an open connection. Whatever it throws comes out as a domain error: `libvirt-unreachable`,
   * `libvirt-outcome-unknown`, `libvirt-access-denied`, `vm-not-found`, `start-refused-by-guard` and the others
   * of `faults.ts`. Nothing is tried twice here: the caller knows whether that is safe.
   */
  async use<T>(act: (connection: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      signal?.throwIfAborted();
      return await act(await this.#connection());
    } catch (error) {
      throw faultOfLibvirt(error, this.name);
    }
  }

  /** Says goodbye to the daemon; a later `use` opens anew. */
  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    const connection = await opening?.catch(() => undefined);
    await connection?.close();
  }

  #connection(): Promise<Connection> {
    if (this.#opening !== undefined) return this.#opening;
    const { socketPath, uri = 'qemu:///system', timeoutMs = 30_000 } = this.#options;
    // Not bound to one caller's signal: others may wait for the same opening.
    const opening = Connection.open({ unixPath: socketPath, uri, timeoutMs });
    this.#opening = opening;
    const forget = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    void opening.then((connection) => connection.closed.then(forget), forget);
    return opening;
  }
}
