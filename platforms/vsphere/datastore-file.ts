/** A file of a datastore that is read, by whatever way, and what tells two states of it apart. */
import { unsafe } from '../../domain/errors.ts';

export interface FileStamp {
  sizeBytes: number;
  /** As the server tells it; seconds at best. */
  modified: string;
  /** Empty where there is no such thing. */
  etag: string;
}

/** Whatever a method throws is a domain error. */
export interface DatastoreFile {
  /** For messages: `[ds1] web/web-flat.vmdk`. */
  readonly name: string;
  /** The whole of a small file. */
  readAll(maxBytes: number, signal?: AbortSignal): Promise<Buffer>;
  /** Learns its size and stamp; from then on every range has to be of the same state. */
  look(signal?: AbortSignal): Promise<FileStamp>;
  /** Fills `into` with the bytes at `offset`. Rejects, among others, with `source-changed`, `source-unreachable`. */
  readInto(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>;
}

/**
 * Tells why a file may be withheld: that its VM runs, or is gone; `said` is the server's word. Undefined if it knows of
 * nothing.
 */
export type ExplainLoss = (said: string, cause: unknown) => Promise<Error | undefined>;

/** Throws VmFerryError `source-changed`. */
export function assertSame(
  before: FileStamp,
  now: FileStamp,
  { name, host }: { name: string; host: string },
): void {
  const { sizeBytes, modified, etag } = now;
  if (before.sizeBytes === sizeBytes && before.modified === modified && before.etag === etag)
    return;
  throw unsafe({
    code: 'source-changed',
    message: `${name} changed while it was read: ${showStamp(before)} before, now ${showStamp(now)}`,
    remedy: 'See that the VM stays off, then start the copy again: what was copied is not used.',
    host,
  });
}

const showStamp = ({ sizeBytes, modified }: FileStamp): string =>
  `${sizeBytes} bytes${modified === '' ? '' : ` of ${modified}`}`;
