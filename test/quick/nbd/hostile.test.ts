import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PendingCommand, type CommandSpec } from '../../../protocols/nbd/command.ts';
import { Limit } from '../../../protocols/nbd/constants.ts';
import type { Conversation } from '../../../protocols/nbd/demand.ts';
import { NbdError } from '../../../protocols/nbd/errors.ts';
import { negotiate, type Negotiated } from '../../../protocols/nbd/negotiation.ts';
import { receiveReplies } from '../../../protocols/nbd/replies.ts';
import { wire } from './fake-server.ts';

/** Feeds bytes to a conversation as a channel would; tells how it ended and how much it ever asked for at once. */
const feed = (conversation: Conversation<unknown>, bytes: Uint8Array) => {
  let at = 0;
  let largest = 0;
  try {
    for (;;) {
      const step = conversation.next();
      if (step.done === true) return { end: 'done', value: step.value, largest } as const;
      const demand = step.value;
      if (demand.kind !== 'read') continue;
      largest = Math.max(largest, demand.into.length);
      if (at + demand.into.length > bytes.length) return { end: 'hungry', largest } as const;
      demand.into.set(bytes.subarray(at, at + demand.into.length));
      at += demand.into.length;
    }
  } catch (error) {
    return { end: 'error', error, largest } as const;
  }
};

const request = { exportName: 'vda', tls: false, metaContexts: ['base:allocation'] };
const greeting = [
  wire.hello(),
  wire.optionReply(8, 1),
  wire.optionReply(10, 4, wire.metaContext(1, 'base:allocation')),
  wire.optionReply(10, 1),
  wire.optionReply(7, 3, wire.exportInfo(1 << 20, 1)),
  wire.optionReply(7, 3, wire.blockSizeInfo(512, 4096, 1 << 25)),
  wire.optionReply(7, 1),
];

const read: CommandSpec = {
  command: 0,
  flags: 0,
  offset: 4096,
  length: 64,
  into: Buffer.alloc(64),
};
const status: CommandSpec = { command: 7, flags: 0, offset: 0, length: 8192 };
const flush: CommandSpec = { command: 3, flags: 0, offset: 0, length: 0 };

const replies = (bytes: Uint8Array, structuredReplies = true) => {
  const pending = new Map(
    [read, status, flush].map((spec, cookie) => [cookie, new PendingCommand(spec)]),
  );
  const finished = new Map<number, PendingCommand>();
  const conversation = receiveReplies({
    structuredReplies,
    metaContexts: new Map([[1, 'base:allocation']]),
    find: (cookie) => pending.get(cookie),
    finish: (cookie) => {
      const command = pending.get(cookie);
      if (command) finished.set(cookie, command);
      pending.delete(cookie);
    },
  });
  return { ...feed(conversation, bytes), finished };
};

const honest = [
  wire.chunk(0n, 1, wire.data(4096, Buffer.alloc(32, 1)), false),
  wire.chunk(1n, 5, wire.status(1, [4096, 0], [8192, 3])),
  wire.chunk(0n, 2, wire.hole(4128, 32), false),
  wire.simple(2n),
  wire.chunk(0n, 0, Buffer.alloc(0)),
];

const mutated = (pieces: readonly Buffer[]) =>
  fc
    .record({
      flips: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
      cut: fc.option(fc.nat()),
      swap: fc.option(fc.tuple(fc.nat(), fc.nat())),
      noise: fc.uint8Array({ maxLength: 40 }),
    })
    .map(({ flips, cut, swap, noise }) => {
      const order = [...pieces];
      if (swap) {
        const [a, b] = [swap[0] % order.length, swap[1] % order.length];
        [order[a], order[b]] = [order[b]!, order[a]!];
      }
      let bytes = Buffer.concat([...order, noise]);
      for (const [at, value] of flips) bytes[at % bytes.length] = value;
      if (cut !== null) bytes = bytes.subarray(0, cut % (bytes.length + 1));
      return bytes;
    });

describe('a hostile server', () => {
  it('is understood when it is honest, which the mutations start from', () => {
    expect(feed(negotiate(request), Buffer.concat(greeting))).toMatchObject({
      end: 'done',
      value: { sizeBytes: 1 << 20, structuredReplies: true },
    });
    const { end, finished } = replies(Buffer.concat(honest));
    expect(end).toBe('hungry');
    expect([...finished.keys()]).toEqual([1, 2, 0]);
  });

  it('never gets past the handshake with anything but a clear error or a sane result', () => {
    fc.assert(
      fc.property(mutated(greeting), (bytes) => {
        const result = feed(negotiate(request), bytes);
        expect(result.largest).toBeLessThanOrEqual(Limit.optionReplyBytes);
        if (result.end === 'error') expect(result.error).toBeInstanceOf(NbdError);
        if (result.end === 'done') {
          const { sizeBytes, blockSize } = result.value as Negotiated;
          expect(Number.isSafeInteger(sizeBytes)).toBe(true);
          expect(blockSize.maximum).toBeLessThanOrEqual(1 << 25);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('never makes a read look complete that is not', () => {
    fc.assert(
      fc.property(mutated(honest), fc.boolean(), (bytes, structured) => {
        read.into?.fill(0xee);
        const result = replies(bytes, structured);
        expect(result.largest).toBeLessThanOrEqual(Limit.blockStatusBytes);
        if (result.end === 'error') expect(result.error).toBeInstanceOf(NbdError);
        const command = result.finished.get(0);
        if (command && command.failure === undefined) expect(command.coverage.complete).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  const bad: [string, Buffer, string][] = [
    [
      'data for a request that was not sent',
      wire.chunk(9n, 1, wire.data(0, Buffer.alloc(8))),
      'was not sent',
    ],
    [
      'data beyond the request',
      wire.chunk(0n, 1, wire.data(4150, Buffer.alloc(32))),
      'out of range',
    ],
    [
      'data before the request',
      wire.chunk(0n, 1, wire.data(4095, Buffer.alloc(8))),
      'out of range',
    ],
    [
      'an offset beyond all disks',
      wire.chunk(0n, 1, Buffer.concat([Buffer.alloc(8, 255), Buffer.alloc(8)])),
      'out of range',
    ],
    [
      'more data than was asked',
      wire.chunk(0n, 1, wire.data(4096, Buffer.alloc(65))),
      'data chunk of 65',
    ],
    ['empty data', wire.chunk(0n, 1, wire.data(4096, Buffer.alloc(0))), 'data chunk of 0'],
    [
      'a chunk that claims 4 GiB',
      Buffer.concat([wire.chunk(0n, 1, Buffer.alloc(0)).subarray(0, 16), wire.u32(0xffffffff)]),
      'data chunk',
    ],
    [
      'data twice',
      Buffer.concat([1, 2].map(() => wire.chunk(0n, 1, wire.data(4096, Buffer.alloc(32)), false))),
      'came twice',
    ],
    [
      'a hole over data',
      Buffer.concat([
        wire.chunk(0n, 1, wire.data(4096, Buffer.alloc(32)), false),
        wire.chunk(0n, 2, wire.hole(4120, 40)),
      ]),
      'came twice',
    ],
    ['a read with a gap', wire.chunk(0n, 1, wire.data(4096, Buffer.alloc(32))), 'has gaps'],
    [
      'a simple reply to a structured read',
      wire.simple(0n, 0, Buffer.alloc(64)),
      'simple reply to a read',
    ],
    ['an unknown chunk', wire.chunk(0n, 77, Buffer.alloc(4)), 'unknown chunk 77'],
    ['an error without an error', wire.chunk(0n, 0x8001, wire.error(0)), 'without an error'],
    [
      'an error text longer than its chunk',
      wire.chunk(0n, 0x8001, Buffer.concat([wire.u32(5), wire.u16(900)])),
      'longer',
    ],
    [
      'an enormous error',
      Buffer.concat([wire.chunk(0n, 0x8001, Buffer.alloc(0)).subarray(0, 16), wire.u32(1 << 30)]),
      'error chunk of',
    ],
    ['status for a read', wire.chunk(0n, 5, wire.status(1, [64, 0])), 'nobody asked'],
    [
      'status of an unknown context',
      wire.chunk(1n, 5, wire.status(3, [8192, 0])),
      'unknown context',
    ],
    ['an extent of no length', wire.chunk(1n, 5, wire.status(1, [0, 0])), 'empty extent'],
    ['extents behind the end', wire.chunk(1n, 5, wire.status(1, [8192, 0], [1, 0])), 'beyond'],
    ['no status at all', wire.chunk(1n, 0, Buffer.alloc(0)), 'without any'],
    ['a simple reply to a status', wire.simple(1n), 'simple reply to a block status'],
    ['payload in an empty chunk', wire.chunk(2n, 0, Buffer.alloc(1)), 'empty chunk'],
    [
      'data for a flush',
      wire.chunk(2n, 1, wire.data(0, Buffer.alloc(1))),
      'data in reply to flush',
    ],
    ['noise', Buffer.alloc(16, 0x5a), 'was not sent'],
  ];
  it.each(bad)('is told off for %s', (_what, bytes, text) => {
    const result = replies(bytes);
    expect(result).toMatchObject({ end: 'error', error: { kind: 'protocol' } });
    expect(String(result.end === 'error' && result.error)).toContain(text);
  });

  it('is told off for a reply without end', () => {
    const endless = Buffer.concat(
      Array.from({ length: 70_000 }, () => wire.chunk(2n, 0, Buffer.alloc(0), false)),
    );
    expect(String((replies(endless) as { error?: unknown }).error)).toContain('too many chunks');
  });

  it('treats unknown error chunks as errors, and keeps terminals safe from their text', () => {
    const { finished } = replies(wire.chunk(0n, 0x8077, wire.error(28, 'no\u001b[31m room')));
    expect(finished.get(0)?.failure).toMatchObject({ kind: 'server', errno: 'ENOSPC' });
    expect(finished.get(0)?.failure?.message).toContain('no?[31m room');
  });

  const badGreeting: [string, Buffer[], string][] = [
    [
      'endless information',
      [...greeting.slice(0, 4), ...Array.from({ length: 300 }, () => greeting[5]!)],
      'replies to one option',
    ],
    [
      'a huge option reply',
      [wire.hello(), Buffer.concat([wire.optionReply(8, 1).subarray(0, 16), wire.u32(1 << 31)])],
      'option reply of',
    ],
    [
      'a disk beyond 2^53',
      [...greeting.slice(0, 4), wire.optionReply(7, 3, wire.exportInfo(1n << 60n, 1))],
      'export of',
    ],
    [
      'block sizes of zero',
      [...greeting.slice(0, 4), wire.optionReply(7, 3, wire.blockSizeInfo(0, 0, 0))],
      'impossible block sizes',
    ],
    ['no size', [...greeting.slice(0, 4), wire.optionReply(7, 1)], 'without its size'],
    [
      'an unasked context',
      [...greeting.slice(0, 2), wire.optionReply(10, 4, wire.metaContext(1, 'evil'))],
      'not asked for',
    ],
    ['an answer to another option', [wire.hello(), wire.optionReply(7, 1)], 'was not asked'],
  ];
  it.each(badGreeting)('is told off for a greeting with %s', (_what, pieces, text) => {
    const result = feed(negotiate(request), Buffer.concat(pieces));
    expect(result).toMatchObject({ end: 'error', error: { kind: 'protocol' } });
    expect(String(result.end === 'error' && result.error)).toContain(text);
  });
});
