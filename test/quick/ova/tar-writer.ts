/** Tars for tests, with whatever a sound writer would not put into one. */

export interface TarMember {
  name: string;
  body?: Uint8Array;
  /** `0` if absent. */
  type?: string;
  /** What the header says, if not the body's length. */
  statedBytes?: number;
  /** The header's bytes are spoilt. */
  badSum?: true;
  /** The size in GNU's binary form. */
  binarySize?: true;
}

const pad = (length: number): Buffer => Buffer.alloc((512 - (length % 512)) % 512);

export function tarHeader(member: TarMember): Buffer {
  const { name, body = Buffer.alloc(0), type = '0', statedBytes = body.length } = member;
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  if (member.binarySize) {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(statedBytes), 128);
  } else {
    block.write(`${statedBytes.toString(8).padStart(11, '0')}\0`, 124);
  }
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write('ustar\u000000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0) + (member.badSum ? 1 : 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** A tar of the members, with its two blocks of zeroes. */
export const tarOf = (members: readonly TarMember[]): Buffer =>
  Buffer.concat([
    ...members.flatMap((member) => {
      const body = Buffer.from(member.body ?? []);
      return [tarHeader(member), body, pad(body.length)];
    }),
    Buffer.alloc(1024),
  ]);

/** The body of an extended header: `LENGTH KEY=VALUE\n` for each. */
export function paxBody(records: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length += 1;
    return `${length}${rest}`;
  });
  return Buffer.from(lines.join(''));
}
