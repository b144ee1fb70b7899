/** What SSH's and NBD's errors mean for a copy from a foreign host, host and remedy named. */
import {
  cancelled,
  needsOperator,
  permanent,
  transient,
  unsafe,
  VmFerryError,
} from '../../domain/errors.ts';
import { NbdError, NbdErrorKind } from '../../protocols/nbd/index.ts';
import { SftpError, SftpErrorKind, SshError, SshErrorKind } from '../../protocols/ssh/index.ts';
import { faultOfLibvirt } from '../libvirt/faults.ts';

const tryAgain = 'It is tried again by itself; if it keeps failing, look at the network and sshd.';

/** As a person sees it; what is known of neither SSH nor libvirt passes unchanged. */
export function faultOf(error: unknown, host: string): unknown {
  if (error instanceof VmFerryError) return error;
  const cause = sshCauseOf(error);
  if (cause !== undefined) return sshFault(cause, host);
  return faultOfLibvirt(error, host);
}

/** libvirt's and NBD's clients wrap what became of the stream below them: the first cause is what helps. */
function sshCauseOf(error: unknown): SshError | undefined {
  let at = error;
  for (let depth = 0; depth < 8 && at instanceof Error; depth += 1) {
    if (at instanceof SshError) return at;
    at = at.cause;
  }
  return undefined;
}

function sshFault(error: SshError, host: string): VmFerryError {
  const about = { message: `${host}: ${error.message}`, host, cause: error };
  switch (error.kind) {
    case SshErrorKind.hostKeyMismatch:
      return needsOperator({
        code: 'ssh-host-key-changed',
        remedy:
          'If the host was set up anew, pin its new key (ssh-keygen -lf on that host); if not, somebody stands in between.',
        ...about,
      });
    case SshErrorKind.authentication:
      return needsOperator({
        code: 'ssh-login-refused',
        remedy: 'Correct user, password or key of this provider, then `vmferry retry`.',
        ...about,
      });
    case SshErrorKind.invalid:
      return permanent({
        code: 'ssh-request-invalid',
        remedy: 'Correct what the message names in the configuration of this provider.',
        ...about,
      });
    case SshErrorKind.refused:
      return needsOperator({
        code: 'ssh-channel-refused',
        remedy: 'Allow it in sshd_config on that host, or use another user.',
        ...about,
      });
    case SshErrorKind.aborted:
      return cancelled({
        code: 'cancelled',
        remedy: 'Nothing to do: what was copied stays recorded.',
        ...about,
      });
    case SshErrorKind.unreachable:
    case SshErrorKind.timeout:
    case SshErrorKind.lost:
    case SshErrorKind.busy:
      return transient({ code: 'ssh-unreachable', remedy: tryAgain, ...about });
  }
}

/** About a disk of that host. */
export interface DiskPlace {
  /** `disk vda (/var/lib/libvirt/images/web.qcow2)`. */
  what: string;
  host: string;
}

/** An error in reading a disk as a person sees it; others pass unchanged. */
export function diskFault({ what, host }: DiskPlace, error: unknown): unknown {
  if (error instanceof NbdError) return nbdFault({ what, host }, error);
  if (error instanceof SftpError) {
    const about = { message: `cannot read ${what} by SFTP: ${error.message}`, host, cause: error };
    if (error.kind === SftpErrorKind.denied) return denied(about);
    const remedy = 'Look at that file on the host; the storage may be at fault.';
    return error.kind === SftpErrorKind.missing
      ? permanent({ code: 'disk-missing', remedy, ...about })
      : unsafe({ code: 'disk-io-error', remedy, ...about });
  }
  return faultOf(error, host);
}

/** The user may not read the disk. */
export const denied = (about: { message: string; host: string; cause?: unknown }): VmFerryError =>
  needsOperator({
    code: 'disk-not-permitted',
    remedy:
      'Log in as a user who may read the disks (root, or one in the group that owns them), or copy while the guest runs.',
    ...about,
  });

function nbdFault({ what, host }: DiskPlace, error: NbdError): unknown {
  const about = { message: `${what}: ${error.message}`, host, cause: error };
  switch (error.kind) {
    case NbdErrorKind.unreachable:
    case NbdErrorKind.closed:
    case NbdErrorKind.timeout:
    case NbdErrorKind.refused:
      return transient({ code: 'source-unreachable', remedy: tryAgain, ...about });
    case NbdErrorKind.aborted:
      return cancelled({
        code: 'cancelled',
        remedy: 'Nothing to do: what was copied stays recorded.',
        ...about,
      });
    case NbdErrorKind.server:
      return unsafe({
        code: 'disk-io-error',
        remedy: 'Look at the kernel log of that host; check the storage before trying again.',
        ...about,
      });
    case NbdErrorKind.protocol:
    case NbdErrorKind.tls:
    case NbdErrorKind.invalid:
      return permanent({
        code: 'source-export-unfit',
        remedy: 'Report it with this message and the version of QEMU on that host.',
        ...about,
      });
  }
}
