import type { NbdAddress, NbdStream } from './channel.ts';
import type { OpenPoolOptions } from './client.ts';
import type { NbdErrorKind } from './errors.ts';
import type { BlockSize } from './negotiation.ts';

/** What a reader thread needs to know of an export; all of it can be cloned. */
export type ReaderOptions = Omit<
  OpenPoolOptions,
  'signal' | 'connections' | 'metaContexts' | 'address'
> & { address: Exclude<NbdAddress, NbdStream> };

/** What a reader thread is told. `link` names a connection of the thread, `id` an order. */
export type ReaderOrder =
  | { do: 'open'; id: number; link: number; options: ReaderOptions }
  | {
      do: 'read';
      id: number;
      link: number;
      offset: number;
      into: Uint8Array<SharedArrayBuffer>;
      hashed: boolean;
    }
  | { do: 'hash'; id: number; bytes: Uint8Array<SharedArrayBuffer> }
  | { do: 'close'; id: number; link: number };

/** An NbdError on its way between threads. */
export interface WordOfError {
  kind: NbdErrorKind;
  message: string;
  errno?: string;
}

/** By what two connections are known to show the same export. */
export interface ExportLook {
  sizeBytes: number;
  blockSize: BlockSize;
  canMultiConn: boolean;
}

/** What a reader thread answers to each order. */
export interface ReaderAnswer {
  id: number;
  error?: WordOfError;
  /** After `open`. */
  look?: ExportLook;
  /** After `hash` and a hashed `read`: SHA-256. */
  digest?: Uint8Array;
}
