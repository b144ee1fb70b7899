import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameReader, HEADER_BYTES } from '../../../protocols/libvirt/framing.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { MAX_MESSAGE_BYTES, ProtocolError } from '../../../protocols/libvirt/xdr.ts';

const frame = (serial: number, body: Uint8Array): Frame => ({
  program: 0x2000_8086,
  procedure: 23,
  type: 1,
  serial,
  status: 0,
  body,
});
const readAll = (reader: FrameReader, chunks: Iterable<Uint8Array>): Frame[] =>
  [...chunks].flatMap((chunk) => [...reader.push(chunk)]);
const bodies = (frames: readonly Frame[]): string[] =>
  frames.map(({ body }) => Buffer.from(body).toString('hex'));

describe('messages on a byte stream', () => {
  const sent = [
    frame(1, Buffer.from('0a0b0c0d', 'hex')),
    frame(2, Buffer.alloc(0)),
    frame(3, Buffer.alloc(8, 7)),
  ];
  const wire = Buffer.concat(sent.map(encodeFrame));

  it('are read whole wherever the stream is cut in two', () => {
    for (let cut = 0; cut <= wire.length; cut++) {
      const read = readAll(new FrameReader(), [wire.subarray(0, cut), wire.subarray(cut)]);
      expect(read.map(({ serial }) => serial)).toEqual([1, 2, 3]);
      expect(bodies(read)).toEqual(bodies(sent));
    }
  });

  it('are read whole from single bytes and from any chunks', () => {
    const single = readAll(
      new FrameReader(),
      Array.from(wire, (byte) => Buffer.of(byte)),
    );
    expect(bodies(single)).toEqual(bodies(sent));
    fc.assert(
      fc.property(fc.array(fc.nat(wire.length), { maxLength: 10 }), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), wire.length];
        const chunks = edges.slice(1).map((end, index) => wire.subarray(edges[index], end));
        expect(bodies(readAll(new FrameReader(), chunks))).toEqual(bodies(sent));
      }),
      { numRuns: 100 },
    );
  });

  it('have the header that libvirt documents', () => {
    expect(encodeFrame(frame(9, Buffer.alloc(4))).toString('hex')).toBe(
      '00000020' +
        '20008086' +
        '00000001' +
        '00000017' +
        '00000001' +
        '00000009' +
        '00000000' +
        '00000000',
    );
  });

  it('stay small while a large one is on its way in small pieces', () => {
    const large = encodeFrame(frame(5, Buffer.alloc(4 * 1024 * 1024, 1)));
    const pieces = Array.from({ length: Math.ceil(large.length / 4096) }, (_, index) =>
      large.subarray(index * 4096, (index + 1) * 4096),
    );
    const [read] = readAll(new FrameReader(), pieces);
    expect(read?.body.length).toBe(4 * 1024 * 1024);
  });
});

describe('what is no message', () => {
  const lengthOf = (bytes: number): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes);
    return length;
  };

  it.each([0, 4, HEADER_BYTES - 1, MAX_MESSAGE_BYTES + 1, 0xffff_ffff])(
    'a length of %i is refused as soon as it is there',
    (bytes) => {
      expect(() => readAll(new FrameReader(), [lengthOf(bytes)])).toThrow(ProtocolError);
    },
  );

  it('another version is refused', () => {
    const wire = encodeFrame(frame(1, Buffer.alloc(0)));
    wire.writeUInt32BE(2, 8);
    expect(() => readAll(new FrameReader(), [wire])).toThrow(/version 2/);
  });

  it('a message over 32 MiB is not sent', () => {
    const body = Buffer.alloc(MAX_MESSAGE_BYTES - HEADER_BYTES + 1);
    expect(() => encodeFrame(frame(1, body))).toThrow(ProtocolError);
  });

  it('any bytes at all give messages or a ProtocolError', () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 6 }), (chunks) => {
        try {
          readAll(new FrameReader(), chunks);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          refused += 1;
        }
      }),
      { numRuns: 300 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});
