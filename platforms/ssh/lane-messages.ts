/** What a thread of lanes is told and answers; all of it can be cloned. */
import { VmFerryError } from '../../domain/errors.ts';
import type { Fault } from '../../domain/errors.ts';
import { NbdError } from '../../protocols/nbd/index.ts';
import type { NbdErrorKind } from '../../protocols/nbd/index.ts';
import { SftpError, SshError } from '../../protocols/ssh/index.ts';
import type { SftpErrorKind, SshErrorKind } from '../../protocols/ssh/index.ts';
import type { RemoteStamp } from './file-lane.ts';
import type { SshLogin } from './hops.ts';

/** An NBD server behind a unix socket of the host. */
export interface RemoteExport {
  socket: string;
  exportName: string;
  /** What people call the host. */
  host: string;
}

/** What a lane is asked; `id` names the order, `lane` a session, `disk` an export that is open in it. */
export type LaneOrder = { id: number; lane: number } & (
  | { do: 'open'; login: SshLogin }
  | { do: 'stat'; path: string }
  | { do: 'read-file'; path: string; offset: number; into: Uint8Array<SharedArrayBuffer> }
  | { do: 'open-export'; disk: number; from: RemoteExport }
  | { do: 'read-export'; disk: number; offset: number; into: Uint8Array<SharedArrayBuffer> }
  | { do: 'close-export'; disk: number }
  | { do: 'close' }
);

/** The errors that decide something on the other side, and what is left of others. */
export type LaneWords =
  | ({ of: 'ssh'; kind: SshErrorKind } & Pick<SshError, 'message' | 'expected' | 'seen' | 'reason'>)
  | { of: 'sftp'; kind: SftpErrorKind; message: string }
  | { of: 'nbd'; kind: NbdErrorKind; message: string; errno?: string }
  | { of: 'fault'; fault: Fault }
  | { of: 'other'; message: string };

/** What it answers. */
export interface LaneAnswer {
  id: number;
  error?: LaneWords;
  /** After `stat` and `read-file`. */
  stamp?: RemoteStamp;
  /** Of the export, after `open-export`. */
  sizeBytes?: number;
}

export function inWords(error: unknown): LaneWords {
  if (error instanceof VmFerryError) return { of: 'fault', fault: error.toFault() };
  if (error instanceof SftpError) return { of: 'sftp', kind: error.kind, message: error.message };
  if (error instanceof NbdError) {
    const { kind, message, errno } = error;
    return { of: 'nbd', kind, message, ...(errno !== undefined && { errno }) };
  }
  if (error instanceof SshError) {
    const { kind, message, expected, seen, reason } = error;
    return {
      ...{ of: 'ssh', kind, message },
      ...(expected !== undefined && { expected }),
      ...(seen !== undefined && { seen }),
      ...(reason !== undefined && { reason }),
    };
  }
  return { of: 'other', message: String(error) };
}

export function fromWords(words: LaneWords): Error {
  switch (words.of) {
    case 'fault':
      return new VmFerryError(words.fault.handling, words.fault);
    case 'sftp':
      return new SftpError(words.kind, words.message, undefined);
    case 'nbd':
      return new NbdError(words.kind, words.message, words);
    case 'ssh':
      return new SshError(words.kind, words.message, words);
    case 'other':
      return new Error(words.message);
  }
}
