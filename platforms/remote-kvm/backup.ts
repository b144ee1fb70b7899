/** A frozen view of a running guest's disks: libvirt's pull-mode backup, served by the guest's own QEMU. */
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { needsOperator, permanent, VmFerryError } from '../../domain/errors.ts';
import type { DiskSource } from '../../domain/platform.ts';
import { lackOf } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { isRefusal } from '../libvirt/faults.ts';
import { escapeXml } from '../libvirt/xml.ts';
import type { DiskSourcePlace } from './definition.ts';
import type { DiskPlace } from './faults.ts';
import { openNbdDisk } from './nbd-disk.ts';
import type { RemoteHost } from './reach.ts';
import type { RemoteFolder } from './remote-folder.ts';

/** libvirt's folders for its system daemon: of a running guest's sockets, which its QEMU may make, and of images. */
const guestFolder = '/var/lib/libvirt/qemu';
const imageFolder = '/var/lib/libvirt/images';
/** Characters of a name in the folder of a running guest (virDomainDefGetShortName). */
const shortNameLength = 20;
const beginTimeoutMs = 60_000;

export interface BackupOptions {
  dom: DomainRef;
  /** By key. */
  disks: ReadonlyMap<string, DiskSourcePlace>;
  label: string;
  uri: string;
  scratchFolder: string | undefined;
  folder: RemoteFolder;
}

/** `vmferry-<label>-`, which the socket of a backup begins with. */
export const backupPrefix = (label: string): string => `vmferry-${label}-`;

export class Backup {
  readonly #host: RemoteHost;
  readonly #socket: string;
  readonly dom: DomainRef;
  /** Another for each backup: what two of them show has nothing to do with each other. */
  readonly fingerprint: string;

  private constructor(host: RemoteHost, dom: DomainRef, socket: string) {
    this.#host = host;
    this.dom = dom;
    this.#socket = socket;
    this.fingerprint = `backup:${socket.slice(socket.lastIndexOf('/') + 1)}`;
  }

  /**
   * Begins it, for all disks at the same moment. Throws `pull-backup-unsupported`, and the errors of
   * `platforms/libvirt`, such as `vm-state-changed` where another job runs.
   */
  static async begin(host: RemoteHost, options: BackupOptions): Promise<Backup> {
    const { dom, label, uri, folder } = options;
    const token = `${backupPrefix(label)}${randomBytes(6).toString('hex')}`;
    const isSession = uri.endsWith('/session');
    const short = `domain-${dom.id}-${Array.from(dom.name).slice(0, shortNameLength).join('')}`;
    const socket = `${isSession ? folder.path : `${guestFolder}/${short}`}/${token}.sock`;
    const xml = backupXml({ ...options, token, socket });
    // Before the job: if we die in between, whoever ends the folder looks for it and finds none.
    await noteBackup(host, { folder, token, uri, dom, socket });
    await host.libvirt(async (connection) => {
      try {
        const limit = { timeoutMs: beginTimeoutMs };
        await connection.call('DomainBackupBegin', { dom, backupXml: xml }, limit);
      } catch (error) {
        if (lackOf(error) === undefined) throw error;
        throw unsupported(host.name, dom.name, error);
      }
    });
    return new Backup(host, dom, socket);
  }

  /** Opens a disk of it. Throws `export-not-permitted`, and as `openNbdDisk`. */
  async open(
    key: string,
    {
      place,
      connections,
      signal,
    }: { place: DiskPlace; connections: number; signal?: AbortSignal | undefined },
  ): Promise<DiskSource> {
    const [host, socket] = [this.#host, this.#socket];
    const open = async () => {
      try {
        return await host.socket(socket, signal);
      } catch (error) {
        if (error instanceof VmFerryError && error.code.startsWith('remote-socket-')) {
          throw notPermitted(place, error);
        }
        throw error;
      }
    };
    return openNbdDisk({
      place,
      open,
      exportName: key,
      connections,
      over: { host, socket },
      signal,
    });
  }

  /** Ends it, and with it what the host kept for it. No error if it ended by itself. */
  async end(): Promise<void> {
    await this.#host.libvirt(async (connection) => endBackup(connection, this.dom, this.#socket));
  }
}

/** Ends the domain's backup if its socket's path holds that text; true if it did. */
export async function endBackup(
  connection: Connection,
  dom: DomainRef,
  marker: string,
): Promise<boolean> {
  try {
    const { xml } = await connection.call('DomainBackupGetXMLDesc', { dom });
    // Another's job is none of our business.
    if (!xml.includes(escapeXml(marker))) return false;
    await connection.call('DomainAbortJob', { dom });
    return true;
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN_BACKUP') || isRefusal(error, 'NO_DOMAIN')) return false;
    if (isRefusal(error, 'OPERATION_INVALID') || lackOf(error) !== undefined) return false;
    throw error;
  }
}

/** A line for the shell that ends the folder: which backup is to go with it. */
async function noteBackup(
  host: RemoteHost,
  note: { folder: RemoteFolder; token: string; uri: string; dom: DomainRef; socket: string },
): Promise<void> {
  const { folder, token, uri, dom, socket } = note;
  const script = 'printf "%s\\n" "$2" "$3" "$4" >"$1"';
  const file = `${folder.path}/${token}.backup`;
  await host.run(['sh', '-c', script, 'sh', file, uri, dom.uuid, socket]);
}

function backupXml(options: BackupOptions & { token: string; socket: string }): string {
  const { disks, token, socket, scratchFolder } = options;
  const parts = [...disks].map(([key, { kind, path }]) => {
    const beside = kind === 'file' && path.startsWith('/') ? dirname(path) : imageFolder;
    const scratch = `${scratchFolder ?? beside}/${token}-${key}.scratch`;
    return `<disk name='${escapeXml(key)}' backup='yes' type='file' exportname='${escapeXml(key)}'><scratch file='${escapeXml(scratch)}'/></disk>`;
  });
  return `<domainbackup mode='pull'><server transport='unix' socket='${escapeXml(socket)}'/><disks>${parts.join('')}</disks></domainbackup>`;
}

const unsupported = (host: string, name: string, cause: unknown): VmFerryError =>
  permanent({
    code: 'pull-backup-unsupported',
    message: `libvirt or QEMU on ${host} cannot show the disks of ${name} while it runs: ${cause instanceof Error ? cause.message : ''}`,
    remedy:
      'Shut the VM down and start the copy again: disks of a VM that is off need nothing of libvirt (pull backups need libvirt 6.0 and QEMU 4.2).',
    host,
    cause,
  });

const notPermitted = ({ what, host }: DiskPlace, cause: VmFerryError): VmFerryError =>
  needsOperator({
    code: 'export-not-permitted',
    message: `the user of this provider may not reach what the QEMU on ${host} serves of ${what}: ${cause.message}`,
    remedy: 'Log in as root, or shut the VM down first, if this user may read its disks.',
    host,
    cause,
  });
