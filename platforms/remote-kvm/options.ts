/** What a foreign KVM host is reached and read by. Secrets come resolved, and go nowhere but to SSH and libvirt. */
import type { SaslCredentials } from '../../protocols/libvirt/index.ts';
import type { SshLogin } from '../ssh/hops.ts';

/** How the disks of a guest that is not off are read. */
export const WhileRunning = {
  /** The guest runs on; its disks are read as they were at one moment, as after a power cut. */
  backup: 'backup',
  /** The guest is paused first, and stays so: `resume` is for who asked. */
  pause: 'pause',
} as const;
export type WhileRunning = (typeof WhileRunning)[keyof typeof WhileRunning];

/** The road of a disk whose guest is off. */
export const OffPath = {
  /** qemu-nbd on the host, else SFTP where the disk is raw. */
  auto: 'auto',
  nbd: 'nbd',
  sftp: 'sftp',
} as const;
export type OffPath = (typeof OffPath)[keyof typeof OffPath];

export interface RemoteKvmOptions {
  /** What people call the host. */
  name: string;
  ssh: SshLogin;
  /**
   * Marks what this run leaves on the host while it lasts, so that a later run of the same label finds it: the ID of
   * a move. Letters, digits and hyphens, 40 at most.
   */
  label: string;
  /** `qemu:///system` if absent. */
  uri?: string;
  /** libvirt's socket there; the usual places are tried if absent. */
  libvirtSocket?: string;
  /** For a libvirtd that asks for a log-in of its own. */
  sasl?: SaslCredentials;
  /** `backup` if absent. */
  whileRunning?: WhileRunning;
  /** `auto` if absent. */
  offPath?: OffPath;
  /** NBD connections a disk, 4 if absent. */
  connections?: number;
  /** Where a folder for sockets is made, /tmp if absent. Short: a socket's path has 107 bytes. */
  folder?: string;
  /**
   * Where the host keeps what a running guest overwrites during the copy. Beside each image if absent, and in
   * libvirt's own image folder for disks that are no files.
   */
  scratchFolder?: string;
}
