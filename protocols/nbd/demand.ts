/**
 * What a conversation wants next from its channel. Conversations are generators that know no sockets:
 * they fill `read` buffers in full, write bytes, or ask for TLS, and so can be tested byte by byte.
 */
export type Demand =
  | { readonly kind: 'read'; readonly into: Uint8Array }
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  | { readonly kind: 'start-tls' };

/** A conversation that ends with a `Result`, or throws an NbdError. */
export type Conversation<Result> = Generator<Demand, Result, void>;

/** Reads exactly `length` bytes into a new buffer; callers bound `length` first. */
export function* take(length: number): Conversation<Buffer> {
  const into = Buffer.alloc(length);
  if (length > 0) yield { kind: 'read', into };
  return into;
}
