/** A daemon that sends anything at all: every promise settles, with an error that is ours. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AuthenticationRequired,
  CallAborted,
  CallTimeout,
  ConnectFailed,
  ConnectionLost,
  downloadVolume,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
  uploadVolume,
} from '../../../protocols/libvirt/index.ts';
import type { Connection, StreamChunk, VolumeRef } from '../../../protocols/libvirt/index.ts';
import {
  encodeFrame,
  FrameReader,
  MessageType,
  Program,
} from '../../../protocols/libvirt/framing.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { procedures } from '../../../protocols/libvirt/procedures.ts';
import { FakeDaemon } from './fake-daemon.ts';

const ours = [
  AuthenticationRequired,
  CallAborted,
  CallTimeout,
  ConnectFailed,
  ConnectionLost,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
];
const isOurs = (error: unknown): boolean => ours.some((each) => error instanceof each);
const vol: VolumeRef = { pool: 'p', name: 'v', key: '/p/v' };
const dom = { name: 'web-1', uuid: '11111111-2222-4333-8444-55555555aaaa', id: 3 };

const numbers = [
  ...Object.values(procedures).map(({ number }) => number),
  ...[0, 318, 326, 339, 359, 363, 9999, -1],
];
const word = fc.oneof(
  fc.nat({ max: 9 }),
  fc.constantFrom(0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 0x0400_0000),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const body = fc.oneof(
  fc.array(word, { maxLength: 24 }).map((words) => {
    const bytes = Buffer.alloc(words.length * 4);
    words.forEach((each, index) => bytes.writeUInt32BE(each, index * 4));
    return bytes;
  }),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
);
/** Serials of calls under way are small, so that many messages meet one. */
const frame: fc.Arbitrary<Frame> = fc.record({
  program: fc.oneof(
    { weight: 8, arbitrary: fc.constant<number>(Program.remote) },
    { weight: 1, arbitrary: fc.constantFrom<number>(Program.keepAlive, 0x2000_8087, 1) },
  ),
  procedure: fc.constantFrom(...numbers, 208, 209, 208, 209),
  type: fc.oneof(fc.constantFrom(1, 2, 3, 6), fc.integer({ min: -1, max: 9 })),
  serial: fc.oneof(fc.integer({ min: 4, max: 16 }), word),
  status: fc.oneof(fc.constantFrom(0, 1, 2), fc.integer({ min: -1, max: 9 })),
  body,
});
/** Where the bytes are cut, as shares of their length. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 });

function* pieces(bytes: Buffer, shares: readonly number[]): Generator<Buffer> {
  const edges = shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b);
  let from = 0;
  for (const to of [...edges, bytes.length]) {
    yield bytes.subarray(from, to);
    from = to;
  }
}

/** Most messages are for a call that is under way, and many of these have its number. */
function aimed(each: Frame, calls: readonly Frame[]): Frame {
  const call = calls[each.serial % calls.length];
  if (each.serial > 16 || call === undefined) return each;
  const { procedure } = each.body.length % 3 === 0 ? each : call;
  return { ...each, serial: call.serial, procedure };
}

/** Everything that can be under way on a connection at once. */
function everything(connection: Connection): Promise<unknown>[] {
  const reading = async (): Promise<void> => {
    for await (const { kind } of downloadVolume(connection, vol)) expect(kind).toMatch(/data|hole/);
  };
  const chunks: StreamChunk[] = [{ kind: 'data', bytes: Buffer.alloc(10) }];
  return [
    connection.call('DomainGetJobStats', { dom }),
    connection.call('ConnectListAllDomains', { needResults: 1 }),
    connection.call('NodeGetInfo', {}),
    connection.call('StoragePoolListAllVolumes', {
      pool: { name: 'p', uuid: dom.uuid },
      needResults: 1,
    }),
    reading(),
    uploadVolume(connection, vol, chunks),
    connection.onLifecycle(() => undefined),
    connection.onEvent('DomainEventCallbackJobCompleted', () => undefined),
  ];
}

describe('a daemon that sends anything', () => {
  it('in mid-connection ends nothing but what it answers, or the connection', async () => {
    let failures = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 30 }), cuts, async (frames, shares) => {
        const daemon = new FakeDaemon();
        const connection = await daemon.open({ maxInFlight: 20 });
        const all = Promise.allSettled(everything(connection));
        daemon.answer((call, name) => {
          if (name === 'StorageVolUpload' || name === 'StorageVolDownload') {
            daemon.reply(call, name, {});
          }
        });
        await daemon.until(8, ({ serial, type }) => serial > 4 && type === MessageType.call);
        const calls = daemon.received.filter(({ type }) => type === MessageType.call).slice(-8);
        const meant = frames.map((each) => aimed(each, calls));
        for (const piece of pieces(Buffer.concat(meant.map(encodeFrame)), shares)) {
          daemon.sendBytes(piece);
        }
        daemon.hangUp();
        for (const outcome of await all) {
          if (outcome.status === 'fulfilled') continue;
          failures += 1;
          expect(outcome.reason).toSatisfy(isOurs);
        }
        await connection.closed;
        await connection.close();
      }),
      { numRuns: 120 },
    );
    expect(failures).toBeGreaterThan(500);
  });

  it('as answers while the connection opens, fails the opening or not, and never hangs it', async () => {
    let opened = 0;
    const texts = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'];
    const answer = fc.record({ status: fc.constantFrom(0, 0, 0, 1, 2, 7), body });
    const types = fc.constantFrom([0], [1], [2], [1, 2], [7], []);
    await fc.assert(
      fc.asyncProperty(types, fc.array(answer, { maxLength: 9 }), async (authTypes, answers) => {
        const daemon = new FakeDaemon();
        daemon.authTypes = authTypes;
        let asked = 0;
        daemon.answer((call, name) => {
          const mechanisms = texts[asked % 3]!;
          if (name === 'AuthSaslInit' && asked === 0) daemon.reply(call, name, { mechanisms });
          else if (asked < answers.length) {
            daemon.send({ ...call, type: MessageType.reply, ...answers[asked]! });
          } else daemon.hangUp();
          asked += 1;
        });
        const sasl = {
          username: 'u',
          password: () => 'p',
          insecurePlainOverAnyStream: true,
        };
        try {
          await (await daemon.open({ sasl })).close();
          opened += 1;
        } catch (error) {
          expect(error).toSatisfy(isOurs);
        }
        expect(daemon.clientStream.destroyed).toBe(true);
      }),
      { numRuns: 120 },
    );
    expect(opened).toBeGreaterThan(0);
  });

  it('that is valid but for one byte is read the same in whatever pieces it comes', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 6 }),
        cuts,
        fc.nat(),
        (frames, shares, at) => {
          const bytes = Buffer.concat(frames.map(encodeFrame));
          bytes.writeUInt8(bytes.readUInt8(at % bytes.length) ^ 0x41, at % bytes.length);
          const read = (parts: Iterable<Buffer>): unknown[] => {
            const reader = new FrameReader();
            const seen: unknown[] = [];
            try {
              for (const part of parts)
                for (const each of reader.push(part))
                  seen.push({ ...each, body: each.body.toString() });
            } catch (error) {
              expect(error).toBeInstanceOf(ProtocolError);
              seen.push('refused');
            }
            return seen;
          };
          expect(read(pieces(bytes, shares))).toEqual(read([bytes]));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('memory', () => {
  it('for a message grows with what came of it, not with its length nor with its pieces', () => {
    const reader = new FrameReader();
    const header = Buffer.alloc(4);
    header.writeUInt32BE(32 * 1024 * 1024);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    collect();
    const before = process.memoryUsage();
    expect([...reader.push(header)]).toEqual([]);
    const byte = Buffer.of(7);
    for (let count = 0; count < 200_000; count++)
      for (const each of reader.push(byte)) expect(each).toBe(0);
    collect();
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    expect([...reader.push(Buffer.alloc(0))]).toEqual([]);
    expect(arrayBuffers - before.arrayBuffers).toBeLessThan(4 * 1024 * 1024);
    // 200,000 pieces that were kept as such were seen to take 20 MB.
    expect(heapUsed - before.heapUsed).toBeLessThan(4 * 1024 * 1024);
  });

  it('for events that come before their registration is answered has an end', async () => {
    const daemon = new FakeDaemon();
    const connection = await daemon.open();
    const event: Frame = {
      program: Program.remote,
      procedure: 318,
      type: MessageType.event,
      serial: 0,
      status: 0,
      body: Buffer.from('00000007' + '00000000' + '00'.repeat(16) + '00'.repeat(12), 'hex'),
    };
    daemon.answer(() => {
      for (let count = 0; count < 1100; count++) daemon.send(event);
    });
    const lost = connection.onLifecycle(() => undefined);
    await expect(lost).rejects.toMatchObject({ kind: 'protocol' });
  });
});
