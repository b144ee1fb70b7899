/** What tells two states of a disk file on the host apart. */
import type { DiskPlace } from './faults.ts';
import { diskFault } from './faults.ts';
import type { RemoteHost } from './reach.ts';

/**
 * Device, inode, size, and the times of the last change of bytes and of attributes in ns, by the host's own `stat`.
 * Where there is none, what SFTP tells: size and time in whole seconds, so that a write in the same second without
 * growth goes unseen. A block device's times say nothing of its bytes. Throws as `openSftpDisk`.
 */
export async function identityOf(
  host: RemoteHost,
  { path, place }: { path: string; place: DiskPlace },
): Promise<string> {
  const args = ['stat', '-L', '-c', '%d:%i:%t:%T:%s:%.9Y:%.9Z', '--', path];
  const { exitCode, stdout } = await host.run(args);
  const line = stdout.trim();
  if (exitCode === 0 && /^\d+:\d+:[\da-f]+:[\da-f]+:\d+:\d+\.\d{9}:\d+\.\d{9}$/.test(line)) {
    return `stat:${line}`;
  }
  try {
    const { sizeBytes, modifiedS } = await (await host.files()).stat(path);
    return `sftp:${sizeBytes}:${modifiedS}`;
  } catch (error) {
    throw diskFault(place, error);
  }
}
