/** What libvirt's refusal of a live move means. */
import { LivePlace, targetNotKept } from '../../../domain/live-outcome.ts';
import {
  cancelled,
  needsOperator,
  outcomeUnknown,
  permanent,
  transient,
} from '../../../domain/errors.ts';
import type { FaultOptions, VmFerryError } from '../../../domain/errors.ts';
import { LibvirtError } from '../../../protocols/libvirt/index.ts';
import type { ErrorName } from '../../../protocols/libvirt/index.ts';
import { faultOfLibvirt } from '../faults.ts';

interface Meaning {
  make: (options: FaultOptions) => VmFerryError;
  code: string;
  remedy: string;
}

const byName: Partial<Record<ErrorName, Meaning>> = {
  OPERATION_ABORTED: {
    make: cancelled,
    code: 'live-cancelled',
    remedy: 'The VM goes on at the source; nothing to do.',
  },
  MIGRATE_UNSAFE: {
    make: permanent,
    code: 'live-storage-not-shared',
    remedy: 'Copy the disks along, or have it proved that both hosts write the same storage.',
  },
  MIGRATE_PERSIST_FAILED: {
    make: needsOperator,
    code: targetNotKept,
    remedy:
      'The VM runs at the target but would be forgotten when it stops: define it there (virsh dumpxml, virsh define).',
  },
  ARGUMENT_UNSUPPORTED: {
    make: permanent,
    code: 'live-unsupported',
    remedy: 'Leave out what libvirt names, or update libvirt and QEMU on both hosts.',
  },
  OPERATION_UNSUPPORTED: {
    make: permanent,
    code: 'live-unsupported',
    remedy: 'Leave out what libvirt names, or update libvirt and QEMU on both hosts.',
  },
};

/** Where the number says only that something failed, the words tell what. libvirt 9.0. */
const byWords: readonly (Meaning & { words: RegExp })[] = [
  {
    words: /certificate|TLS (?:handshake|session|credential|x509)|x509/i,
    make: needsOperator,
    code: 'live-certificates',
    remedy:
      'See that both hosts trust one CA, and that the names used are in the certificates of libvirt and of QEMU.',
  },
  {
    words: /unable to connect to server|Failed to connect to remote libvirt|No route to host/i,
    make: transient,
    code: 'live-target-unreachable',
    remedy:
      'It is tried again. See that the target listens for TLS (virsh -c qemu+tls://HOST/system).',
  },
  {
    words:
      /Lost connection|Connection reset|Broken pipe|keepalive|Connection timed out|closed the monitor|client socket is closed|End of file while reading|Cannot (?:recv|read|write|send) data/i,
    make: transient,
    code: 'live-interrupted',
    remedy: 'The VM goes on at the source; it is tried again.',
  },
];

/**
 * The domain error for what `begin` came to. `place` is where the VM stands at the source afterwards, which tells more
 * than libvirt's words; undefined if it could not be read.
 */
export function faultOfMigration(
  error: unknown,
  about: { uuid: string; host: string; place: LivePlace | undefined },
): unknown {
  if (!(error instanceof LibvirtError)) return faultOfLibvirt(error, about.host);
  const { uuid, host, place } = about;
  const message = `the live move of ${uuid} from ${host} ended: ${error.message}`;
  if (place === LivePlace.postCopyFailed) {
    return needsOperator({
      code: 'live-post-copy-failed',
      message,
      remedy:
        'Keep both hosts running: each holds a part of the VM. Mend the link between them, then have the move resumed.',
      host,
      cause: error,
    });
  }
  // libvirt 9.0 was seen to give a resumed post-copy up by news of the time before, while QEMU went on with it.
  if (place === LivePlace.postCopy || place === LivePlace.movedAway) {
    return outcomeUnknown({
      code: 'live-outcome-unknown',
      message,
      remedy: 'The state of both hosts is read before anything else is done; nothing to do.',
      host,
      cause: error,
    });
  }
  const named = error.codeName === 'UNKNOWN' ? undefined : byName[error.codeName];
  const meaning = named ?? byWords.find(({ words }) => words.test(error.message));
  if (meaning === undefined) return faultOfLibvirt(error, host);
  const { make, code, remedy } = meaning;
  return make({ code, remedy, message, host, cause: error });
}
