/** The other host's libvirtd, reached as this host's own would reach it for a migration: by TLS, with its certificate. */
import { DomainState, LibvirtError, PausedReason } from '../../../protocols/libvirt/index.ts';
import type { Connection } from '../../../protocols/libvirt/index.ts';
import { openPeer } from './peer-connection.ts';
import type { Peer } from './peer-connection.ts';
import { readPeerCredentials } from './peer-credentials.ts';
import { readView } from './view.ts';
import type { LiveView } from './view.ts';

/** A guest stands still meanwhile, and there are other ways to what is asked here. */
const peerLimitMs = 5_000;

export interface PeerOptions extends Peer {
  uuid: string;
  /** Where this host's files are seen from here. */
  fileRoot: string;
}

/** Where the VM stands there. Takes some 5 s at most; throws what went wrong. */
export const viewAtPeer = (options: PeerOptions): Promise<LiveView> =>
  withPeer(options, { readOnly: true }, (connection) => readView(connection, options.uuid));

/**
 * Has a guest go on there that has arrived whole and paused; false where there is none. Takes some 5 s at most; throws
 * what went wrong: it may go on all the same.
 */
export const letGoAtPeer = (options: PeerOptions): Promise<boolean> =>
  withPeer(options, { readOnly: false }, async (connection) => {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid: options.uuid });
    const look = () => connection.call('DomainGetState', { dom });
    const { state, reason } = await look();
    // Until all of it is there, libvirt gives the migration as the reason.
    if (state !== DomainState.paused) return state === DomainState.running;
    if (reason !== PausedReason.user) return false;
    try {
      await connection.call('DomainResume', { dom }, { timeoutMs: peerLimitMs });
    } catch (error) {
      // Its own worker was there first.
      const isRunning = (await look()).state === DomainState.running;
      if (!(error instanceof LibvirtError) || !isRunning) throw error;
    }
    return true;
  });

async function withPeer<T>(
  { fileRoot, ...peer }: PeerOptions,
  { readOnly }: { readOnly: boolean },
  act: (connection: Connection) => Promise<T>,
): Promise<T> {
  const credentials = await readPeerCredentials(fileRoot);
  const connection = await openPeer(peer, credentials, { readOnly, timeoutMs: peerLimitMs });
  try {
    return await act(connection);
  } finally {
    await connection.close();
  }
}
