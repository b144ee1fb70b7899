/** The datastores of one ESXi by SSH: several lanes, so that it and we work on several cores. Nothing is written there. */
import type { FileRange, RemoteStamp } from '../ssh/file-lane.ts';
import type { SshLogin } from '../ssh/hops.ts';
import { SshLane } from '../ssh/lane.ts';
import type { FileStamp } from './datastore-file.ts';

/** Rejections are those of `SshLane`. */
export class EsxiReach {
  /** As the vCenter calls the host. */
  readonly name: string;
  readonly #lanes: SshLane[];
  #next = 0;

  constructor(name: string, ssh: SshLogin, sessions: number) {
    this.name = name;
    this.#lanes = Array.from({ length: sessions }, () => new SshLane(ssh));
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStamp> {
    return stampOf(await this.#lane().stat(path, signal));
  }

  /** Fills `into`; resolves to the file's stamp when that session opened it. */
  async read(path: string, range: FileRange, signal?: AbortSignal): Promise<FileStamp> {
    return stampOf(await this.#lane().read(path, range, signal));
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  #lane(): SshLane {
    const lane = this.#lanes[this.#next % this.#lanes.length];
    this.#next += 1;
    if (lane === undefined) throw new RangeError('an ESXi is reached by one session at least');
    return lane;
  }
}

const stampOf = (stamp: RemoteStamp): FileStamp => ({ ...stamp, etag: '' });
