import {
  DEFAULT_BLOCK_SIZE,
  HandshakeFlag,
  INIT_MAGIC,
  InfoType,
  Limit,
  OPTION_ERROR_BIT,
  OPTION_ERROR_TLS_REQUIRED,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  OptionCode,
  OptionReply,
  TransmissionFlag,
  optionErrors,
} from './constants.ts';
import { take, type Conversation } from './demand.ts';
import { NbdError, NbdErrorKind, protocolError } from './errors.ts';

/** What the client asks for while it negotiates. */
export interface NegotiationRequest {
  exportName: string;
  /** Ask for TLS before anything else, and go on only within it. */
  tls: boolean;
  /** Meta contexts to ask for; what the server does not know is left out of the answer. */
  metaContexts: readonly string[];
}

/** Sizes in bytes; `minimum` aligns every request, `maximum` bounds a payload. */
export interface BlockSize {
  minimum: number;
  preferred: number;
  maximum: number;
}

/** What both sides agreed on. */
export interface Negotiated {
  sizeBytes: number;
  /** Transmission flags as they came over the wire. */
  flags: number;
  blockSize: BlockSize;
  structuredReplies: boolean;
  /** Context names by the numbers that the server uses in replies. */
  metaContexts: ReadonlyMap<number, string>;
}

interface Reply {
  type: number;
  payload: Buffer;
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const wireString = (text: string): Buffer => {
  const bytes = Buffer.from(text);
  if (bytes.length > Limit.nameBytes) {
    throw new NbdError(NbdErrorKind.invalid, `NBD name is longer than ${Limit.nameBytes} bytes`);
  }
  return Buffer.concat([u32(bytes.length), bytes]);
};

/** Text of a server as it may be shown: printable and short. */
export const printable = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 400))
    .toString('utf8')
    // The text comes from the other side and may end up in a terminal.
    .replaceAll(/\p{C}/gu, '?');

function* readReply(option: number): Conversation<Reply> {
  const header = yield* take(20);
  if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC)
    throw protocolError('bad option reply magic');
  if (header.readUInt32BE(8) !== option)
    throw protocolError('reply to an option that was not asked');
  const type = header.readUInt32BE(12);
  const length = header.readUInt32BE(16);
  if (length > Limit.optionReplyBytes) throw protocolError(`option reply of ${length} bytes`);
  return { type, payload: yield* take(length) };
}

const isRefusal = (reply: Reply): boolean => (reply.type & OPTION_ERROR_BIT) !== 0;

const refusal = (what: string, reply: Reply): NbdError => {
  const reason = optionErrors.get(reply.type) ?? `error 0x${reply.type.toString(16)}`;
  const text = reply.payload.length > 0 ? ` (${printable(reply.payload)})` : '';
  const kind = reply.type === OPTION_ERROR_TLS_REQUIRED ? NbdErrorKind.tls : NbdErrorKind.refused;
  return new NbdError(kind, `NBD server refused ${what}: ${reason}${text}`);
};

function* sendOption(option: number, payload: Uint8Array): Conversation<void> {
  const header = Buffer.alloc(16);
  header.writeBigUInt64BE(OPTION_MAGIC, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(payload.length, 12);
  yield { kind: 'write', bytes: Buffer.concat([header, payload]) };
}

/** Sends an option and reads replies until the acknowledgement or a refusal, which it returns last. */
function* askOption(
  option: number,
  payload: Uint8Array,
  onReply: (reply: Reply) => void,
): Conversation<Reply> {
  yield* sendOption(option, payload);
  for (let count = 0; count < Limit.optionReplies; count++) {
    const reply = yield* readReply(option);
    if (reply.type === OptionReply.ack || isRefusal(reply)) return reply;
    onReply(reply);
  }
  throw protocolError(`more than ${Limit.optionReplies} replies to one option`);
}

const unexpected = (): never => {
  throw protocolError('unexpected reply to an option');
};

function* greet(): Conversation<void> {
  const hello = yield* take(18);
  if (hello.readBigUInt64BE(0) !== INIT_MAGIC) throw protocolError('this is no NBD server');
  if (hello.readBigUInt64BE(8) !== OPTION_MAGIC) {
    throw new NbdError(NbdErrorKind.refused, 'NBD server speaks only the oldstyle handshake');
  }
  const flags = hello.readUInt16BE(16);
  if ((flags & HandshakeFlag.fixedNewstyle) === 0) {
    throw new NbdError(
      NbdErrorKind.refused,
      'NBD server does not speak the fixed newstyle handshake',
    );
  }
  yield {
    kind: 'write',
    bytes: u32(flags & (HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)),
  };
}

function* startTls(): Conversation<void> {
  const reply = yield* askOption(OptionCode.startTls, Buffer.alloc(0), unexpected);
  if (reply.type !== OptionReply.ack) {
    const { message } = refusal('TLS', reply);
    throw new NbdError(NbdErrorKind.tls, message);
  }
  if (reply.payload.length > 0) throw protocolError('payload in the answer to STARTTLS');
  yield { kind: 'start-tls' };
}

function* negotiateStructuredReplies(): Conversation<boolean> {
  const reply = yield* askOption(OptionCode.structuredReply, Buffer.alloc(0), unexpected);
  if (reply.type === OPTION_ERROR_TLS_REQUIRED) throw refusal('to talk', reply);
  return reply.type === OptionReply.ack;
}

function* negotiateMetaContexts(request: NegotiationRequest): Conversation<Map<number, string>> {
  const { metaContexts, exportName } = request;
  const accepted = new Map<number, string>();
  const payload = Buffer.concat([
    wireString(exportName),
    u32(metaContexts.length),
    ...metaContexts.map(wireString),
  ]);
  const last = yield* askOption(OptionCode.setMetaContext, payload, ({ type, payload: body }) => {
    if (type !== OptionReply.metaContext || body.length < 4) return unexpected();
    const name = body.toString('utf8', 4);
    if (!metaContexts.includes(name)) throw protocolError('a meta context that was not asked for');
    accepted.set(body.readUInt32BE(0), name);
  });
  // A server without meta contexts is of use: everything counts as data then. An unknown export shows in GO.
  return last.type === OptionReply.ack ? accepted : new Map<number, string>();
}

const readBlockSize = (body: Buffer): BlockSize => {
  if (body.length !== 14) throw protocolError('block size information of a wrong length');
  const [minimum, preferred] = [body.readUInt32BE(2), body.readUInt32BE(6)];
  const maximum = Math.min(body.readUInt32BE(10), DEFAULT_BLOCK_SIZE.maximum);
  const powerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  if (!powerOfTwo(minimum) || minimum > 65536 || maximum < minimum || preferred < minimum) {
    throw protocolError(`impossible block sizes ${minimum}, ${preferred}, ${maximum}`);
  }
  return { minimum, preferred, maximum };
};

const readExport = (body: Buffer): { sizeBytes: number; flags: number } => {
  if (body.length !== 12) throw protocolError('export information of a wrong length');
  const size = body.readBigUInt64BE(2);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw protocolError(`export of ${size} bytes`);
  const flags = body.readUInt16BE(10);
  if ((flags & TransmissionFlag.hasFlags) === 0) throw protocolError('export without flags');
  return { sizeBytes: Number(size), flags };
};

function* go(
  exportName: string,
): Conversation<{ sizeBytes: number; flags: number; blockSize: BlockSize }> {
  let found: { sizeBytes: number; flags: number } | undefined;
  let blockSize: BlockSize = DEFAULT_BLOCK_SIZE;
  const wanted = Buffer.alloc(4);
  wanted.writeUInt16BE(1, 0);
  wanted.writeUInt16BE(InfoType.blockSize, 2);
  const payload = Buffer.concat([wireString(exportName), wanted]);
  const last = yield* askOption(OptionCode.go, payload, ({ type, payload: body }) => {
    if (type !== OptionReply.info || body.length < 2) return unexpected();
    const info = body.readUInt16BE(0);
    if (info === InfoType.export) found = readExport(body);
    else if (info === InfoType.blockSize) blockSize = readBlockSize(body);
  });
  if (last.type !== OptionReply.ack) throw refusal(`export '${exportName}'`, last);
  if (found === undefined) throw protocolError('export accepted without its size');
  return { ...found, blockSize };
}

/**
 * The client's side of the fixed newstyle handshake, up to the transmission phase.
 * Throws NbdError: `refused` (unknown export, policy), `tls` (TLS missing or required), `protocol`.
 */
export function* negotiate(request: NegotiationRequest): Conversation<Negotiated> {
  if (request.metaContexts.length > Limit.metaContexts) {
    throw new NbdError(NbdErrorKind.invalid, `more than ${Limit.metaContexts} meta contexts`);
  }
  yield* greet();
  if (request.tls) yield* startTls();
  const structuredReplies = yield* negotiateStructuredReplies();
  const metaContexts =
    structuredReplies && request.metaContexts.length > 0
      ? yield* negotiateMetaContexts(request)
      : new Map<number, string>();
  return { ...(yield* go(request.exportName)), structuredReplies, metaContexts };
}
