import { Connection } from '../../../protocols/libvirt/index.ts';
import type { PeerCredentials } from './peer-credentials.ts';

export interface Peer {
  /** A name or address of the other host, which has to be in its certificate. */
  address: string;
  /** Of the other libvirtd; 16514 if absent. */
  port?: number;
}

/** Rejects with what the libvirt client throws: each kind of failure has a class of its own. */
export const openPeer = (
  { address: host, port }: Peer,
  credentials: PeerCredentials,
  limits: { readOnly: boolean; timeoutMs: number },
): Promise<Connection> =>
  Connection.open({
    tls: { host, ...credentials, ...(port === undefined ? {} : { port }) },
    uri: 'qemu:///system',
    ...limits,
  });
