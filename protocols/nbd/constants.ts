/*
 * Numbers of the NBD protocol, from its specification (NetworkBlockDevice/nbd, doc/proto.md).
 * All integers on the wire are big-endian.
 */

export const INIT_MAGIC = 0x4e42444d41474943n; // "NBDMAGIC"
export const OPTION_MAGIC = 0x49484156454f5054n; // "IHAVEOPT"
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OptionCode = {
  abort: 2,
  startTls: 5,
  go: 7,
  structuredReply: 8,
  setMetaContext: 10,
} as const;

export const OptionReply = { ack: 1, info: 3, metaContext: 4 } as const;

/** Bit 31 marks an option's refusal. */
export const OPTION_ERROR_BIT = 0x80000000;

export const optionErrors = new Map<number, string>([
  [0x80000001, 'not supported'],
  [0x80000002, 'forbidden by policy'],
  [0x80000003, 'invalid request'],
  [0x80000004, 'not supported on this platform'],
  [0x80000005, 'TLS is required'],
  [0x80000006, 'unknown export'],
  [0x80000007, 'server is shutting down'],
  [0x80000008, 'block size constraints are required'],
  [0x80000009, 'request too big'],
]);
export const OPTION_ERROR_TLS_REQUIRED = 0x80000005;

export const InfoType = { export: 0, blockSize: 3 } as const;

export const TransmissionFlag = {
  hasFlags: 1,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  canMultiConn: 1 << 8,
  sendFastZero: 1 << 11,
} as const;

export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
  blockStatus: 7,
} as const;
export type Command = (typeof Command)[keyof typeof Command];

export const CommandFlag = { fua: 1, noHole: 2, reqOne: 8, fastZero: 16 } as const;

export const ChunkType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;
export const CHUNK_FLAG_DONE = 1;
/** Bit 15 marks chunk types that carry an error, known or not. */
export const CHUNK_ERROR_BIT = 0x8000;

/** Flags of the `base:allocation` context. */
export const AllocationFlag = { hole: 1, zero: 2 } as const;

/** What a client may assume without a block-size answer (specification, "Block size constraints"). */
export const DEFAULT_BLOCK_SIZE = { minimum: 1, preferred: 4096, maximum: 32 * 1024 * 1024 };

/*
 * Limits against a hostile or broken server. None of them is reached by an honest one.
 */
export const Limit = {
  /** Replies to one option. */
  optionReplies: 256,
  /** Bytes of one option reply. */
  optionReplyBytes: 16 * 1024,
  /** Meta contexts a client may ask for. */
  metaContexts: 32,
  /** Bytes of a name on the wire, after the specification. */
  nameBytes: 4096,
  /** Bytes of one block status chunk: a million extents, the most that nbdkit sends. */
  blockStatusBytes: 4 + 8 * 1024 * 1024,
  /** Bytes of one error chunk: number, text, offset. */
  errorChunkBytes: 6 + 4096 + 8,
  /** Separate pieces of one read whose order leaves gaps. */
  readPieces: 4096,
  /** Chunks of one reply. */
  chunksPerReply: 65536,
  /** Commands that wait for a place on one connection. */
  queuedCommands: 4096,
} as const;
