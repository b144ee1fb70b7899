/** What can be wrong with an OVA, as a person sees it. Names from inside are quoted and cut: others wrote them. */
import { needsOperator, permanent, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';

/** A name from inside an OVA as it may stand in a message. */
export const quoted = (name: string): string => JSON.stringify(name.slice(0, 120));

/** It is no OVA, or one that was made to do harm; `why` is a clause that names the part. */
export const malformed = (path: string, why: string): VmFerryError =>
  permanent({
    code: 'ova-malformed',
    message: `${path} cannot be used: ${why}`,
    remedy: 'Export the VM again; if it came from somebody else, ask them for a sound one.',
  });

/** Nothing wrong with it, but it is not read here; `remedy` names the way around. */
export const unsupported = (path: string, why: string, remedy: string): VmFerryError =>
  permanent({ code: 'ova-unsupported', message: `${path} cannot be read: ${why}`, remedy });

/** Its bytes are not those that were written: a digest or a checksum says so. */
export const corrupt = (path: string, why: string, cause?: unknown): VmFerryError =>
  permanent({
    code: 'ova-corrupt',
    message: `${path} is damaged: ${why}`,
    remedy: 'Copy or download it again, or export the VM again; then start anew.',
    ...(cause !== undefined && { cause }),
  });

/** The OVF names a file that is not there. */
export const fileMissing = (path: string, name: string): VmFerryError =>
  permanent({
    code: 'ova-file-missing',
    message: `${path} has no file ${quoted(name)}, which its OVF names`,
    remedy: 'Bring the file back, under the name that the OVF gives it, or export the VM again.',
  });

/** It was written to, or cut, while it was read. */
export const changed = (path: string): VmFerryError =>
  unsafe({
    code: 'source-changed',
    message: `${path} changed while it was read`,
    remedy: 'See that nobody writes to it any more; then start the move again.',
  });

/** Nothing bears that name, nor could. */
const absent = new Set<unknown>(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

/** A system call on the file failed. Throws nothing; other errors pass unchanged. */
export function fileFault(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  if (absent.has(error.code)) {
    return permanent({
      code: 'ova-not-found',
      message: `there is no ${path}`,
      remedy: 'Correct the path, or mount the storage that it is on.',
      cause: error,
    });
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return needsOperator({
      code: 'ova-unreadable',
      message: `${path} may not be read: ${error.message}`,
      remedy: 'Let the worker read it (owner, mode, mount options), then `vmferry retry`.',
      cause: error,
    });
  }
  if (error.code === 'EIO' || error.code === 'ESTALE') {
    return unsafe({
      code: 'disk-io-error',
      message: `${path} failed: ${error.message}`,
      remedy: 'Look at the kernel log of that host and at the storage before trying again.',
      cause: error,
    });
  }
  return error;
}
