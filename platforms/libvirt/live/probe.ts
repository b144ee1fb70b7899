/** Whether a host's own certificate and ways reach another host's libvirtd, found out by going there. */
import { createConnection } from 'node:net';
import type { LiveProbe } from '../../../domain/host.ts';
import { ConnectFailed } from '../../../protocols/libvirt/index.ts';
import { openPeer } from './peer-connection.ts';
import type { Peer } from './peer-connection.ts';
import { readPeerCredentials } from './peer-credentials.ts';
import type { PeerCredentials } from './peer-credentials.ts';

/** Only silence takes so long: 0.2 to 0.4 s were seen, and once more than 5 s, on a machine with a load of 30. */
const libvirtdLimitMs = 15_000;
const portLimitMs = 5_000;
/** The first port that libvirt gives to a migration, unless qemu.conf there says otherwise. */
const firstMigrationPort = 49_152;

export interface ProbeOptions extends Peer {
  /** Where this host's files are seen from here. */
  fileRoot: string;
}

/**
 * Goes to the other libvirtd as this host's own would for a migration: with /etc/pki/libvirt/clientcert.pem, read-only,
 * and away again. A migration port that nothing listens on yet answers with a refusal; silence is a filter's. Takes
 * 15 s at most; never throws.
 */
export async function probeTarget({ fileRoot, ...peer }: ProbeOptions): Promise<LiveProbe> {
  const { address } = peer;
  const [libvirtd, portsFiltered] = await Promise.all([
    tryLibvirtd(peer, fileRoot),
    isFiltered(address, firstMigrationPort),
  ]);
  // Where nobody answers at all, the ports tell nothing.
  return {
    address,
    ...libvirtd,
    portsFiltered: libvirtd.libvirtd !== 'unreachable' && portsFiltered,
  };
}

async function tryLibvirtd(
  peer: Peer,
  fileRoot: string,
): Promise<Pick<LiveProbe, 'libvirtd' | 'detail'>> {
  let credentials: PeerCredentials;
  try {
    credentials = await readPeerCredentials(fileRoot);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
    return { libvirtd: isMissing ? 'refused' : 'untried', detail: textOf(error) };
  }
  try {
    const how = { readOnly: true, timeoutMs: libvirtdLimitMs };
    const connection = await openPeer(peer, credentials, how);
    await connection.close();
    return { libvirtd: 'ready', detail: '' };
  } catch (error) {
    // Certificates, log-ins and refusals of the daemon have classes of their own.
    return {
      libvirtd: error instanceof ConnectFailed ? 'unreachable' : 'refused',
      detail: textOf(error),
    };
  }
}

async function isFiltered(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createConnection({ host, port });
  const timer = setTimeout(() => resolve(true), portLimitMs);
  socket.once('connect', () => resolve(false));
  socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED'));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.on('error', () => undefined).destroy();
  }
}

const textOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).slice(0, 500);
