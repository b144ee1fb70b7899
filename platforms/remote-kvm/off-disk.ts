/** The disk of a guest that is off: by qemu-nbd on the host, in our private folder, or by SFTP. */
import { needsOperator, permanent, VmFerryError } from '../../domain/errors.ts';
import type { DiskSource } from '../../domain/platform.ts';
import { faultOf } from '../libvirt/qemu-nbd.ts';
import type { DiskSourcePlace } from './definition.ts';
import { denied } from './faults.ts';
import type { DiskPlace } from './faults.ts';
import { openNbdDisk } from './nbd-disk.ts';
import { OffPath } from './options.ts';
import type { RemoteHost } from './reach.ts';
import type { RemoteFolder } from './remote-folder.ts';
import { openSftpDisk } from './sftp-disk.ts';

/** Formats that are read only and whole by QEMU's drivers of these names. */
const formats = new Set(['raw', 'qcow2', 'qcow', 'qed', 'vmdk', 'vdi', 'vhdx', 'vpc']);
const serveTimeoutMs = 60_000;
/** What it says goes to a file: over SSH a daemon that keeps our pipe would keep the channel. */
const serveScript = `
log=$1.log; shift
"$@" </dev/null >/dev/null 2>"$log"; code=$?
head -c 4096 "$log" >&2; rm -f -- "$log"; exit $code`;

export interface OffDiskOptions {
  disk: DiskSourcePlace;
  place: DiskPlace;
  /** Unique in the folder. */
  name: string;
  road: OffPath;
  connections: number;
  folder: () => Promise<RemoteFolder>;
  signal?: AbortSignal | undefined;
}

/**
 * Opens it. Throws `disk-kind-unsupported`, `disk-format-unsupported`, `disk-not-permitted`, `disk-in-use`,
 * `disk-missing`, `remote-qemu-nbd-missing`, `export-failed`.
 */
export async function openOffDisk(host: RemoteHost, options: OffDiskOptions): Promise<DiskSource> {
  const { disk, place, road } = options;
  if (disk.kind === 'network' || !disk.path.startsWith('/')) throw unsupportedKind(place);
  if (!formats.has(disk.format)) throw unsupportedFormat(place, disk.format);
  if (road === OffPath.sftp) return bySftp(host, { disk, place });
  try {
    return await byQemuNbd(host, options);
  } catch (error) {
    const isOurs = error instanceof VmFerryError && mayBeMended.has(error.code);
    if (road !== OffPath.auto || !isOurs || disk.format !== 'raw' || disk.kind !== 'file')
      throw error;
    return bySftp(host, { disk, place });
  }
}

const mayBeMended = new Set(['remote-qemu-nbd-missing', 'disk-not-permitted']);

async function bySftp(
  host: RemoteHost,
  { disk, place }: { disk: DiskSourcePlace; place: DiskPlace },
): Promise<DiskSource> {
  if (disk.format !== 'raw') throw needsQemuNbd(place, disk.format);
  return openSftpDisk(host, { path: disk.path, place });
}

async function byQemuNbd(host: RemoteHost, options: OffDiskOptions): Promise<DiskSource> {
  const { disk, place, name, connections, signal } = options;
  const folder = await options.folder();
  const base = `${folder.path}/${name}`;
  // It ends with the last of its clients, and with the folder; `--fork` returns once it serves.
  const server = [
    ...['qemu-nbd', '--fork', '--read-only', '--shared=16', `--pid-file=${base}.pid`],
    ...[`--socket=${base}.nbd`, `--format=${disk.format}`, disk.path],
  ];
  const { exitCode, stderr } = await host.run(['sh', '-c', serveScript, 'sh', base, ...server], {
    timeoutMs: serveTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  if (exitCode !== 0) throw complaintFault(place, { exitCode, stderr, path: disk.path });
  const socket = `${base}.nbd`;
  const open = () => host.socket(socket, signal);
  return openNbdDisk({ place, open, exportName: '', connections, over: { host, socket }, signal });
}

function complaintFault(
  place: DiskPlace,
  said: { exitCode: number | undefined; stderr: string; path: string },
): VmFerryError {
  const complaint = said.stderr.trim().replaceAll(/\s+/g, ' ');
  if (said.exitCode === 127) {
    return needsOperator({
      code: 'remote-qemu-nbd-missing',
      message: `${place.host} has no qemu-nbd, which reads ${place.what}`,
      remedy:
        'Install it there (Debian: qemu-utils; Fedora, RHEL: qemu-img), or copy while the guest runs.',
      host: place.host,
    });
  }
  if (/Permission denied/.test(complaint)) {
    return denied({ message: `${place.what} cannot be opened: ${complaint}`, host: place.host });
  }
  return faultOf(complaint, { host: place.host, path: said.path });
}

const unsupportedKind = ({ what, host }: DiskPlace): VmFerryError =>
  permanent({
    code: 'disk-kind-unsupported',
    message: `${what} is no file or device of ${host}`,
    remedy: 'Copy it while the guest runs: its own QEMU reads it then.',
    host,
  });

const unsupportedFormat = ({ what, host }: DiskPlace, format: string): VmFerryError =>
  permanent({
    code: 'disk-format-unsupported',
    message: `${what} has the format ${format.slice(0, 40)}`,
    remedy: 'Convert it on that host with qemu-img to qcow2 or raw.',
    host,
  });

const needsQemuNbd = ({ what, host }: DiskPlace, format: string): VmFerryError =>
  needsOperator({
    code: 'sftp-reads-raw-only',
    message: `${what} has the format ${format}, and SFTP reads raw disks only`,
    remedy: 'Install qemu-nbd on that host (Debian: qemu-utils), or copy while the guest runs.',
    host,
  });
