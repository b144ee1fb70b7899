import { Command, REQUEST_MAGIC } from './constants.ts';
import { Coverage } from './coverage.ts';
import type { NbdError } from './errors.ts';

/** A run of bytes with the flags of one meta context; what the flags mean depends on the context. */
export interface StatusExtent {
  length: number;
  flags: number;
}

/** One command as it goes over the wire. Offsets and lengths are bytes. */
export interface CommandSpec {
  readonly command: Command;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  /** What a write carries. */
  readonly payload?: Uint8Array;
  /** Where a read's bytes go; exactly `length` long. */
  readonly into?: Uint8Array;
}

/** A command that was sent, with what has come of its reply so far. */
export class PendingCommand {
  readonly spec: CommandSpec;
  readonly coverage: Coverage;
  /** By context number, in the order of the reply. */
  readonly statuses = new Map<number, StatusExtent[]>();
  /** The first error of the reply; the connection lives on. */
  failure: NbdError | undefined;
  chunks = 0;

  constructor(spec: CommandSpec) {
    this.spec = spec;
    this.coverage = new Coverage(spec.into?.length ?? 0);
  }
}

/** The 28 bytes that open every request. */
export const requestHeader = (spec: CommandSpec, cookie: number): Buffer => {
  const header = Buffer.allocUnsafe(28);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(spec.flags, 4);
  header.writeUInt16BE(spec.command, 6);
  header.writeBigUInt64BE(BigInt(cookie), 8);
  header.writeBigUInt64BE(BigInt(spec.offset), 16);
  header.writeUInt32BE(spec.length, 24);
  return header;
};

const commandNames = new Map<Command, string>(
  Object.entries(Command).map(([name, code]) => [code, name]),
);

/** How a command is called in messages: `read of 4096 bytes at 8192`. */
export const describeCommand = ({ command, offset, length }: CommandSpec): string => {
  const name = commandNames.get(command) ?? `command ${command}`;
  return command === Command.flush ? name : `${name} of ${length} bytes at ${offset}`;
};
