/** Streams against a daemon that is scripted: what a real one cannot be brought to do on demand. */
import { describe, expect, it } from 'vitest';
import {
  CallAborted,
  CallTimeout,
  ConnectionLost,
  downloadVolume,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
  uploadVolume,
} from '../../../protocols/libvirt/index.ts';
import type {
  Connection,
  StreamChunk,
  VolumeRef,
  VolumeStreamOptions,
} from '../../../protocols/libvirt/index.ts';
import { encodeFrame, MessageType, Program } from '../../../protocols/libvirt/framing.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { remoteError } from '../../../protocols/libvirt/types.ts';
import { XdrEncoder } from '../../../protocols/libvirt/xdr.ts';
import { FakeDaemon } from './fake-daemon.ts';

const vol: VolumeRef = { pool: 'p', name: 'v', key: '/p/v' };
const OK = 0;
const ERROR = 1;
const CONTINUE = 2;
const { stream, streamHole, reply } = MessageType;

const streamOf = (call: Frame, status: number, body: Uint8Array = Buffer.alloc(0)): Frame => ({
  ...call,
  type: stream,
  status,
  body,
});
const holeOf = (call: Frame, length: bigint, flags = 0): Frame => {
  const to = new XdrEncoder();
  to.i64(length);
  to.u32(flags);
  return { ...call, type: streamHole, status: CONTINUE, body: to.finish() };
};
const refusalOf = (call: Frame, message: string): Frame => {
  const to = new XdrEncoder();
  remoteError.encode(to, { code: 38, domain: 0, level: 2, int1: 0, int2: 0, message });
  return streamOf(call, ERROR, to.finish());
};
const accept = (call: Frame): Frame => ({
  ...call,
  type: reply,
  status: OK,
  body: Buffer.alloc(0),
});
const isStream = (status: number) => (frame: Frame) =>
  frame.type === stream && frame.status === status;
const isPing = (frame: Frame) => frame.program === Program.keepAlive && frame.procedure === 1;

/** A daemon that answers the call of a stream with these messages, and finishes when it is asked to. */
async function opened(
  messages: (call: Frame) => readonly Frame[],
  options: Parameters<FakeDaemon['open']>[0] = {},
) {
  const daemon = new FakeDaemon();
  const connection = await daemon.open(options);
  daemon.answer((frame, name) => {
    if (frame.type === stream && frame.status !== CONTINUE) daemon.send(streamOf(frame, OK));
    if (frame.type !== MessageType.call || name === undefined) return;
    // In one piece, as TCP may bring them: the stream must exist before its first byte is read.
    const [first, ...others] = messages(frame);
    const together = first === undefined ? [accept(frame)] : [accept(frame), first];
    daemon.sendBytes(Buffer.concat(together.map(encodeFrame)));
    for (const other of others) daemon.send(other);
  });
  return { daemon, connection };
}
async function all(
  connection: Connection,
  options: VolumeStreamOptions = {},
): Promise<StreamChunk[]> {
  const chunks: StreamChunk[] = [];
  for await (const chunk of downloadVolume(connection, vol, options)) chunks.push(chunk);
  return chunks;
}
const failureOf = async <T>(promise: Promise<unknown>, type: new (...args: never[]) => T) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  return error as T;
};

describe('a download', () => {
  it('brings data and holes in order, then agrees on the end', async () => {
    const { daemon, connection } = await opened((call) => [
      holeOf(call, 1n << 40n),
      streamOf(call, CONTINUE, Buffer.from('abc')),
      holeOf(call, 0n),
      holeOf(call, 5n),
      streamOf(call, CONTINUE),
    ]);
    expect(await all(connection)).toEqual([
      { kind: 'hole', lengthBytes: 2 ** 40 },
      { kind: 'data', bytes: Buffer.from('abc') },
      { kind: 'hole', lengthBytes: 5 },
    ]);
    expect(daemon.received.filter(isStream(OK))).toHaveLength(1);
    expect(daemon.received.filter(isStream(ERROR))).toHaveLength(0);
    await connection.close();
  });

  it('begins with what came before the reply to its call, as libvirt 9.0 does now and then', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    daemon.answer((call) => {
      if (call.type === stream) daemon.send(streamOf(call, OK));
      else
        for (const each of [holeOf(call, 9n), accept(call), streamOf(call, CONTINUE)])
          daemon.send(each);
    });
    expect(await all(connection)).toEqual([{ kind: 'hole', lengthBytes: 9 }]);
    daemon.answer((call) => {
      daemon.send(holeOf(call, 9n));
      daemon.refuse(call, { code: 50, message: 'no such volume' });
    });
    expect((await failureOf(all(connection), LibvirtError)).code).toBe(50);
    await connection.close();
  });

  it('hands out what came before the daemon gave up, then its error', async () => {
    const { daemon, connection } = await opened((call) => [
      streamOf(call, CONTINUE, Buffer.from('abc')),
      refusalOf(call, 'I/O error on the platter'),
    ]);
    const seen: string[] = [];
    const reading = async (): Promise<void> => {
      for await (const chunk of downloadVolume(connection, vol)) seen.push(chunk.kind);
    };
    expect((await failureOf(reading(), LibvirtError)).message).toMatch(/platter/);
    expect(seen).toEqual(['data']);
    // The stream is over at the daemon: there is nothing to abort.
    expect(daemon.received.filter(isStream(ERROR))).toHaveLength(0);
    await connection.close();
  });

  it.each<[string, (call: Frame) => Frame]>([
    ['a negative hole', (call) => holeOf(call, -1n)],
    ['a hole beyond exact numbers', (call) => holeOf(call, 1n << 60n)],
    ['a hole with flags', (call) => holeOf(call, 1n, 1)],
    ['a hole that is cut off', (call) => ({ ...holeOf(call, 1n), body: Buffer.alloc(7) })],
    ['an end that was not proposed', (call) => streamOf(call, OK)],
    ['an unknown status', (call) => streamOf(call, 9)],
  ])('fails by itself at %s; the daemon is told, the connection goes on', async (_name, odd) => {
    const { daemon, connection } = await opened((call) => [odd(call)]);
    await failureOf(all(connection), ProtocolError);
    expect(daemon.received.filter(isStream(ERROR))).toHaveLength(1);
    daemon.answer((call) => daemon.reply(call, 'ConnectGetHostname', { hostname: 'a' }));
    expect(await connection.call('ConnectGetHostname', {})).toEqual({ hostname: 'a' });
    await connection.close();
  });

  it('stops to read while nobody takes, and is still heard by the daemon', async () => {
    const chunk = Buffer.alloc(200_000, 1);
    const keepAlive = { intervalMs: 20, count: 2 };
    const { daemon, connection } = await opened(
      (call) => Array.from({ length: 60 }, () => streamOf(call, CONTINUE, chunk)),
      { keepAlive },
    );
    const pieces = downloadVolume(connection, vol);
    await pieces.next();
    // Far more pings than a silent daemon is granted, none of them answered.
    await daemon.until(8, isPing);
    expect(daemon.clientStream.isPaused()).toBe(true);
    // At most 1 MiB, a message and what one read of the socket brought was taken from the daemon.
    expect(daemon.unreadBytes).toBeGreaterThan(9_000_000);
    let bytes = chunk.length;
    const asked = daemon.received.find(({ procedure }) => procedure === 209)!;
    daemon.send(streamOf(asked, CONTINUE));
    for await (const piece of pieces) bytes += piece.kind === 'data' ? piece.bytes.length : 0;
    expect(bytes).toBe(60 * chunk.length);
    await connection.close();
  });

  it('that was given up before the daemon agreed is aborted when it does', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    const stop = new AbortController();
    const calls: Frame[] = [];
    daemon.answer((frame) => {
      if (frame.type === stream) daemon.send(streamOf(frame, OK));
      else calls.push(frame);
      stop.abort(new Error('enough'));
    });
    await failureOf(all(connection, { signal: stop.signal }), CallAborted);
    daemon.send(accept(calls[0]!));
    daemon.send(streamOf(calls[0]!, CONTINUE, Buffer.alloc(4)));
    await daemon.until(1, isStream(ERROR));
    await connection.close();
  });

  it('has a limit for silence, and one for the number of streams', async () => {
    const { connection } = await opened(() => []);
    const silent = all(connection, { idleTimeoutMs: 30 });
    expect((await failureOf(silent, CallTimeout)).outcomeUnknown).toBe(false);
    const open = Array.from({ length: 16 }, () => downloadVolume(connection, vol).next());
    const lost = Promise.allSettled(open);
    await failureOf(all(connection), TooManyCalls);
    await connection.close();
    const reasons = (await lost).map((each) => (each as { reason?: unknown }).reason);
    for (const reason of reasons) expect(reason).toBeInstanceOf(ConnectionLost);
  });

  it('drops messages of streams that it does not know', async () => {
    const { daemon, connection } = await opened((call) => [streamOf(call, CONTINUE)]);
    const stray = { program: Program.remote, procedure: 209, serial: 4711, type: stream };
    daemon.send({ ...stray, status: CONTINUE, body: Buffer.from('abcd') });
    daemon.send({ ...stray, type: streamHole, status: 7, body: Buffer.alloc(1) });
    expect(await all(connection)).toEqual([]);
    await connection.close();
  });
});

describe('an upload', () => {
  const endless = function* (): Generator<StreamChunk> {
    for (;;) yield { kind: 'data', bytes: Buffer.alloc(1000) };
  };

  it('sends pieces that every daemon takes, and says the end', async () => {
    const { daemon, connection } = await opened(() => []);
    const bytes = Buffer.alloc(600_000, 1);
    const totals = await uploadVolume(connection, vol, [
      { kind: 'data', bytes },
      { kind: 'hole', lengthBytes: 0 },
      { kind: 'hole', lengthBytes: 10 },
    ]);
    expect(totals).toEqual({ dataBytes: 600_000, holeBytes: 10 });
    const sent = daemon.received.filter(({ type, status }) => type === stream && status === 2);
    expect(sent.map(({ body }) => body.length)).toEqual([262_120, 262_120, 75_760]);
    expect(daemon.received.filter(({ type }) => type === streamHole)).toHaveLength(1);
    await connection.close();
  });

  it('stops as soon as the daemon gives up, with its error', async () => {
    const { daemon, connection } = await opened((call) => [refusalOf(call, 'no space')]);
    const error = await failureOf(uploadVolume(connection, vol, endless()), LibvirtError);
    expect(error.message).toBe('no space');
    expect(daemon.received.filter(isStream(ERROR))).toHaveLength(0);
    await connection.close();
  });

  it('that gets data fails, and so does one whose source has a hole for a plain stream', async () => {
    const { connection } = await opened((call) => [streamOf(call, CONTINUE, Buffer.alloc(4))]);
    await failureOf(uploadVolume(connection, vol, endless()), ProtocolError);
    const { connection: plain } = await opened(() => []);
    const holes: StreamChunk[] = [{ kind: 'hole', lengthBytes: 1 }];
    await failureOf(uploadVolume(plain, vol, holes, { sparse: false }), ProtocolError);
    await connection.close();
    await plain.close();
  });

  it('of which the daemon never confirms the end runs into its limit', async () => {
    const { daemon, connection } = await opened(() => []);
    const answer = (frame: Frame): void => {
      if (frame.type === MessageType.call) daemon.send(accept(frame));
      else if (frame.status === ERROR) daemon.send(streamOf(frame, OK));
    };
    daemon.answer(answer);
    const uploading = uploadVolume(connection, vol, [], { finishTimeoutMs: 30 });
    expect((await failureOf(uploading, CallTimeout)).outcomeUnknown).toBe(true);
    await connection.close();
  });
});
