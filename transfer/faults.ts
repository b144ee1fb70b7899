import { dirname } from 'node:path';
import { statfs } from 'node:fs/promises';
import {
  cancelled,
  needsOperator,
  permanent,
  transient,
  unsafe,
  type FaultOptions,
  type VmFerryError,
} from '../domain/errors.ts';
import { NbdError, NbdErrorKind } from '../protocols/nbd/index.ts';

/** What a fault is about: which end, and how to call it. */
export interface FaultPlace {
  side: 'source' | 'target';
  /** `disk vda (nbd://kvm1:10809/vda)`, `/var/lib/libvirt/images/web.raw`. */
  what: string;
  host?: string;
}

const at = (place: FaultPlace, rest: Omit<FaultOptions, 'host'>): FaultOptions =>
  place.host === undefined ? rest : { ...rest, host: place.host };

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** Somebody asked for the end; `reason` is what the signal carried. */
export const cancelledFault = (what: string, reason: unknown): VmFerryError =>
  cancelled({
    code: 'cancelled',
    message: `${what} was cancelled`,
    remedy: 'Nothing to do: what was copied stays recorded, and starting again resumes from there.',
    cause: reason,
  });

/** The target has no room; names bytes needed and available where they are known. */
const diskFullFault = (
  place: FaultPlace,
  room: { neededBytes?: number; availableBytes?: number; quota?: boolean },
  cause: unknown,
): VmFerryError => {
  const { neededBytes, availableBytes, quota } = room;
  const needed = neededBytes === undefined ? '' : `, ${gib(neededBytes)} more are needed`;
  const available = availableBytes === undefined ? '' : `, ${gib(availableBytes)} are available`;
  const full = quota === true ? 'the quota is used up' : 'no space is left';
  return needsOperator(
    at(place, {
      code: 'target-disk-full',
      message: `cannot write ${place.what}: ${full}${needed}${available}`,
      remedy: 'Free or add space there, then resume the move: it goes on where it stopped.',
      cause,
    }),
  );
};

const ioFault = (place: FaultPlace, cause: Error): VmFerryError =>
  unsafe(
    at(place, {
      code: 'disk-io-error',
      message: `${place.side} ${place.what} failed: ${cause.message}`,
      remedy:
        'Look at the kernel log of that host; check or replace the storage before trying again.',
      cause,
    }),
  );

const serverFault = (place: FaultPlace, error: NbdError): VmFerryError => {
  if (error.errno === 'ENOSPC') return diskFullFault(place, {}, error);
  if (error.errno !== 'ESHUTDOWN' && error.errno !== 'ENOMEM') return ioFault(place, error);
  return unreachableFault(place, error);
};

const unreachableFault = (place: FaultPlace, cause: Error): VmFerryError =>
  transient(
    at(place, {
      code: `${place.side}-unreachable`,
      message: `lost ${place.side} ${place.what}: ${cause.message}`,
      remedy:
        'It is tried again by itself; if it keeps failing, look at the network and the export there.',
      cause,
    }),
  );

/** An error of the NBD client as a person sees it; other errors pass unchanged. */
export const nbdFault = (place: FaultPlace, error: unknown): unknown => {
  if (!(error instanceof NbdError)) return error;
  const { side, what } = place;
  const fault = { message: `${side} ${what}: ${error.message}`, cause: error };
  switch (error.kind) {
    case NbdErrorKind.unreachable:
    case NbdErrorKind.closed:
    case NbdErrorKind.timeout:
      return unreachableFault(place, error);
    case NbdErrorKind.aborted:
      return cancelledFault(`use of ${side} ${what}`, error);
    case NbdErrorKind.tls: {
      const remedy =
        'Check that both hosts hold certificates of the same fleet CA, valid now, under their names.';
      return needsOperator(at(place, { code: `${side}-tls-refused`, remedy, ...fault }));
    }
    case NbdErrorKind.refused: {
      // An export that went away may come back under the same name once the host makes it again.
      const remedy =
        'It is tried again by itself; if it keeps failing, the export has to be made again.';
      return transient(at(place, { code: `${side}-export-refused`, remedy, ...fault }));
    }
    case NbdErrorKind.protocol: {
      const remedy = 'Find out what listens there: its answers cannot be trusted.';
      return unsafe(at(place, { code: `${side}-protocol-broken`, remedy, ...fault }));
    }
    case NbdErrorKind.server:
      return serverFault(place, error);
    case NbdErrorKind.invalid: {
      const remedy = 'The export does not fit what was asked of it; report this with the message.';
      return permanent(at(place, { code: `${side}-export-unfit`, remedy, ...fault }));
    }
  }
};

const availableAt = async (path: string): Promise<number | undefined> => {
  try {
    const { bavail, bsize } = await statfs(dirname(path));
    return bavail * bsize;
  } catch {
    // The number only adorns the message: without it the fault itself is still told.
    return undefined;
  }
};

/** An error of a system call on a local file or device as a person sees it. */
export const fileFault = async (
  place: FaultPlace,
  path: string,
  error: unknown,
  neededBytes?: number,
): Promise<unknown> => {
  if (!(error instanceof Error) || !('code' in error)) return error;
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') {
    const availableBytes = await availableAt(path);
    const room = {
      quota: error.code === 'EDQUOT',
      ...(neededBytes !== undefined && { neededBytes }),
    };
    const known = availableBytes === undefined ? room : { ...room, availableBytes };
    return diskFullFault(place, known, error);
  }
  if (error.code === 'EIO') return ioFault(place, error);
  if (error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EROFS') {
    return needsOperator(
      at(place, {
        code: `${place.side}-not-writable`,
        message: `cannot open ${place.what}: ${error.message}`,
        remedy: 'Let the worker write there (owner, mode, mount options), then resume the move.',
        cause: error,
      }),
    );
  }
  return error;
};
