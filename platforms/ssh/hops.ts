/** The sessions to a host, through hosts in between: a chain in which each goes through the one before. */
import { SshSession } from '../../protocols/ssh/index.ts';
import type { SshAuth, SshOptions } from '../../protocols/ssh/index.ts';

/** Ways to log in that can be told to a thread. */
export type TellableAuth = Exclude<SshAuth, { keyboardInteractive: unknown }>;

/** A login by SSH, perhaps through another host. */
export interface SshLogin {
  host: string;
  /** 22 if absent. */
  port?: number;
  username: string;
  /** One way, or several where the server wants more than one. */
  auth: TellableAuth | readonly TellableAuth[];
  /** Pinned, as `ssh-keygen -lf` prints it; several while the host changes its key. */
  hostKeySha256: string | readonly string[];
  /** Own address that it is called from; with a host in between that is this one's affair. */
  localAddress?: string;
  /** A host in between, which connects to `host` as it sees it. */
  via?: SshLogin;
}

const maxHops = 4;
/** Four connections a disk, many disks, and libvirt's. */
const maxChannels = 1024;

/**
 * From the outermost host in between to the host itself: one at least; `bulk` if they are to carry many bytes. Rejects
 * with `SshError`; none stays open then.
 */
export async function openHops(login: SshLogin, bulk: boolean): Promise<SshSession[]> {
  const hops: SshLogin[] = [];
  for (let at: SshLogin | undefined = login; at !== undefined && hops.length < maxHops;) {
    hops.unshift(at);
    at = at.via;
  }
  const sessions: SshSession[] = [];
  try {
    for (const { via: _, hostKeySha256, ...hop } of hops) {
      const before = sessions.at(-1);
      const options: SshOptions = {
        ...hop,
        hostKey: { sha256: hostKeySha256 },
        maxChannels,
        bulk,
        ...(before === undefined ? {} : { via: before }),
      };
      sessions.push(await SshSession.open(options));
    }
    return sessions;
  } catch (error) {
    await closeHops(sessions);
    throw error;
  }
}

/** The inner ones first: their goodbye goes through the outer ones. */
export async function closeHops(sessions: readonly SshSession[]): Promise<void> {
  for (const session of sessions.toReversed()) await session.close();
}
