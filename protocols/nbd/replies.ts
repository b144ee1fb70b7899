import { describeCommand, type PendingCommand, type StatusExtent } from './command.ts';
import {
  CHUNK_ERROR_BIT,
  CHUNK_FLAG_DONE,
  ChunkType,
  Command,
  Limit,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from './constants.ts';
import { take, type Conversation } from './demand.ts';
import { NbdError, NbdErrorKind, errnoName, protocolError } from './errors.ts';
import { printable } from './negotiation.ts';

/** What the reader of replies needs to know of its connection. */
export interface ReplyContext {
  readonly structuredReplies: boolean;
  readonly metaContexts: ReadonlyMap<number, string>;
  /** The sent command of this cookie, if there is one. */
  find(cookie: number): PendingCommand | undefined;
  /** Called once a reply is complete; `pending.failure` tells how it went. */
  finish(cookie: number): void;
}

interface Chunk {
  type: number;
  length: number;
}

const serverError = (pending: PendingCommand, value: number, text = ''): NbdError => {
  if (value === 0) throw protocolError('an error chunk without an error');
  const errno = errnoName(value);
  const message = `NBD server answered ${errno} to ${describeCommand(pending.spec)}${text}`;
  return new NbdError(NbdErrorKind.server, message, { errno });
};

function* readErrorChunk(chunk: Chunk, pending: PendingCommand): Conversation<void> {
  if (chunk.length < 6 || chunk.length > Limit.errorChunkBytes) {
    throw protocolError(`error chunk of ${chunk.length} bytes`);
  }
  const body = yield* take(chunk.length);
  const textLength = body.readUInt16BE(4);
  if (6 + textLength > body.length) throw protocolError('error text longer than its chunk');
  const text = textLength > 0 ? `: ${printable(body.subarray(6, 6 + textLength))}` : '';
  pending.failure ??= serverError(pending, body.readUInt32BE(0), text);
}

const readTarget = (pending: PendingCommand): Uint8Array => {
  const { into } = pending.spec;
  if (into === undefined) throw protocolError(`data in reply to ${describeCommand(pending.spec)}`);
  return into;
};

const relativeOffset = (pending: PendingCommand, head: Buffer): number => {
  // The sum stays exact: an offset beyond 2^53 turns into a number that is out of any range.
  return Number(head.readBigUInt64BE(0)) - pending.spec.offset;
};

function* readData(chunk: Chunk, pending: PendingCommand): Conversation<void> {
  const into = readTarget(pending);
  const length = chunk.length - 8;
  if (length <= 0 || length > into.length) throw protocolError(`data chunk of ${length} bytes`);
  const start = relativeOffset(pending, yield* take(8));
  pending.coverage.add(start, length);
  yield { kind: 'read', into: into.subarray(start, start + length) };
}

function* readHole(chunk: Chunk, pending: PendingCommand): Conversation<void> {
  const into = readTarget(pending);
  if (chunk.length !== 12) throw protocolError(`hole chunk of ${chunk.length} bytes`);
  const body = yield* take(12);
  const start = relativeOffset(pending, body);
  const length = body.readUInt32BE(8);
  pending.coverage.add(start, length);
  into.fill(0, start, start + length);
}

function* readStatus(
  chunk: Chunk,
  pending: PendingCommand,
  contexts: ReadonlyMap<number, string>,
): Conversation<void> {
  const { spec, statuses } = pending;
  if (spec.command !== Command.blockStatus) throw protocolError('block status nobody asked for');
  if (chunk.length < 12 || chunk.length > Limit.blockStatusBytes || chunk.length % 8 !== 4) {
    throw protocolError(`block status chunk of ${chunk.length} bytes`);
  }
  const body = yield* take(chunk.length);
  const id = body.readUInt32BE(0);
  if (!contexts.has(id)) throw protocolError('block status of an unknown context');
  if (statuses.has(id)) throw protocolError('block status of one context came twice');
  const extents: StatusExtent[] = [];
  let total = 0;
  for (let at = 4; at < body.length; at += 8) {
    if (total >= spec.length) throw protocolError('block status goes beyond the request');
    const extent = { length: body.readUInt32BE(at), flags: body.readUInt32BE(at + 4) };
    if (extent.length === 0) throw protocolError('empty extent in a block status');
    total += extent.length;
    extents.push(extent);
  }
  statuses.set(id, extents);
}

function* readChunk(
  chunk: Chunk,
  pending: PendingCommand,
  context: ReplyContext,
): Conversation<void> {
  switch (chunk.type) {
    case ChunkType.none:
      if (chunk.length !== 0) throw protocolError('payload in an empty chunk');
      return;
    case ChunkType.offsetData:
      return yield* readData(chunk, pending);
    case ChunkType.offsetHole:
      return yield* readHole(chunk, pending);
    case ChunkType.blockStatus:
      return yield* readStatus(chunk, pending, context.metaContexts);
    default:
      // Unknown errors still are errors and begin alike; any other unknown chunk cannot be skipped safely.
      if ((chunk.type & CHUNK_ERROR_BIT) === 0) throw protocolError(`unknown chunk ${chunk.type}`);
      return yield* readErrorChunk(chunk, pending);
  }
}

const requireComplete = ({ spec, coverage, failure, statuses }: PendingCommand): void => {
  if (failure !== undefined) return;
  if (!coverage.complete) throw protocolError(`reply to ${describeCommand(spec)} has gaps`);
  if (spec.command === Command.blockStatus && statuses.size === 0) {
    throw protocolError('reply to a block status without any');
  }
};

function* readSimple(
  pending: PendingCommand,
  error: number,
  structured: boolean,
): Conversation<void> {
  const { into, command } = pending.spec;
  if (error !== 0) {
    pending.failure = serverError(pending, error);
    return;
  }
  if (pending.chunks > 0) throw protocolError('simple reply in the midst of a structured one');
  if (into === undefined) {
    if (command === Command.blockStatus) throw protocolError('simple reply to a block status');
    return;
  }
  if (structured) throw protocolError('simple reply to a read after structured ones were agreed');
  if (into.length === 0) return;
  pending.coverage.add(0, into.length);
  yield { kind: 'read', into };
}

/**
 * Reads replies without end; throws a protocol NbdError when the server cannot be trusted any more.
 * A read's bytes go straight into the caller's buffer.
 */
export function* receiveReplies(context: ReplyContext): Conversation<never> {
  const header = Buffer.alloc(16);
  const lengthBytes = Buffer.alloc(4);
  for (;;) {
    yield { kind: 'read', into: header };
    const magic = header.readUInt32BE(0);
    const cookie = Number(header.readBigUInt64BE(8));
    const pending = context.find(cookie);
    if (pending === undefined) throw protocolError('reply to a request that was not sent');
    let done = true;
    if (magic === SIMPLE_REPLY_MAGIC) {
      yield* readSimple(pending, header.readUInt32BE(4), context.structuredReplies);
    } else if (magic === STRUCTURED_REPLY_MAGIC && context.structuredReplies) {
      yield { kind: 'read', into: lengthBytes };
      if (++pending.chunks > Limit.chunksPerReply) throw protocolError('reply of too many chunks');
      done = (header.readUInt16BE(4) & CHUNK_FLAG_DONE) !== 0;
      const chunk = { type: header.readUInt16BE(6), length: lengthBytes.readUInt32BE(0) };
      yield* readChunk(chunk, pending, context);
    } else {
      throw protocolError('bad reply magic');
    }
    if (!done) continue;
    requireComplete(pending);
    context.finish(cookie);
  }
}
