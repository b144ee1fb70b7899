/**
 * A lane: a session of SSH of its own in a thread, for many bytes. The library decrypts in JavaScript: on the event
 * loop all sessions together would have one core, and everything else would wait for them.
 */
import { withPassphrases } from '../../protocols/ssh/index.ts';
import type { NewOrder } from '../../protocols/threads/index.ts';
import type { FileRange, RemoteStamp } from './file-lane.ts';
import type { SshLogin } from './hops.ts';
import type { LaneAnswer, LaneOrder, RemoteExport } from './lane-messages.ts';
import { leaveSeat, takeSeat } from './lane-pool.ts';
import type { Seat } from './lane-pool.ts';

type Deed<O> = O extends unknown ? Omit<O, 'lane'> : never;

let lastDisk = 0;

/**
 * Rejections are `SftpError`, `SshError` and those of `openSocket`; after `lost` the next use begins anew, with another
 * thread if that one is gone. Nothing writes to a buffer any more once its read has settled.
 */
export class SshLane {
  readonly #login: SshLogin;
  #seat: Promise<Seat> | undefined;

  /** Nothing is opened yet. */
  constructor(login: SshLogin) {
    this.#login = login;
  }

  async stat(path: string, signal?: AbortSignal): Promise<RemoteStamp> {
    return stampIn(await this.#run({ do: 'stat', path }, signal));
  }

  /** Fills `into`; resolves to the file's stamp when this session opened it. */
  async read(
    path: string,
    { offset, into }: FileRange,
    signal?: AbortSignal,
  ): Promise<RemoteStamp> {
    return withShared(into, async (shared) =>
      stampIn(await this.#run({ do: 'read-file', path, offset, into: shared }, signal)),
    );
  }

  /** Connects to an NBD server of the host. Its reads reject with `NbdError`, too. */
  async openExport(from: RemoteExport, signal?: AbortSignal): Promise<LaneExport> {
    const disk = ++lastDisk;
    const { sizeBytes = 0 } = await this.#run({ do: 'open-export', disk, from }, signal);
    return {
      sizeBytes,
      read: (offset, into, abort) =>
        withShared(into, async (shared) => {
          await this.#run({ do: 'read-export', disk, offset, into: shared }, abort);
        }),
      // With a thread that is gone, or a lane that is closed, it is closed.
      close: () =>
        this.#run({ do: 'close-export', disk }).then(
          () => undefined,
          () => undefined,
        ),
    };
  }

  /** Ends the session; safe to call twice. A later use opens anew. */
  async close(): Promise<void> {
    const taken = this.#seat;
    this.#seat = undefined;
    const seat = await taken?.catch(() => undefined);
    if (seat === undefined) return;
    const { thread, lane } = seat;
    await thread.run({ do: 'close', lane }).catch(() => undefined);
    leaveSeat(seat);
  }

  async #run(deed: Deed<NewOrder<LaneOrder>>, signal?: AbortSignal): Promise<LaneAnswer> {
    const { thread, lane } = await this.#seated();
    return thread.run({ ...deed, lane }, signal);
  }

  async #seated(): Promise<Seat> {
    const known = this.#seat;
    if (known !== undefined && !(await known).thread.isLost) return known;
    // Another one may have done it meanwhile.
    if (this.#seat !== known && this.#seat !== undefined) return this.#seated();
    const taking = this.#take();
    this.#seat = taking;
    taking.catch(() => {
      if (this.#seat === taking) this.#seat = undefined;
    });
    return taking;
  }

  async #take(): Promise<Seat> {
    // A thread cannot ask for a passphrase.
    const login = await tellable(this.#login);
    const seat = takeSeat();
    await seat.thread.run({ do: 'open', lane: seat.lane, login });
    return seat;
  }
}

/** An export that is open in a lane. */
export interface LaneExport {
  readonly sizeBytes: number;
  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

async function tellable({ auth, via, ...rest }: SshLogin): Promise<SshLogin> {
  const ways = (await withPassphrases('length' in auth ? auth : [auth])) as SshLogin['auth'];
  return { ...rest, auth: ways, ...(via !== undefined && { via: await tellable(via) }) };
}

/** A thread fills shared memory; what is not shared is filled from it. */
async function withShared<T>(
  into: Uint8Array,
  fill: (shared: Uint8Array<SharedArrayBuffer>) => Promise<T>,
): Promise<T> {
  if (isShared(into)) return fill(into);
  const shared = new Uint8Array(new SharedArrayBuffer(into.length));
  const said = await fill(shared);
  into.set(shared);
  return said;
}

const isShared = (bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> =>
  bytes.buffer instanceof SharedArrayBuffer;

function stampIn({ stamp }: LaneAnswer): RemoteStamp {
  if (stamp === undefined) throw new TypeError('a lane has told no stamp');
  return stamp;
}
