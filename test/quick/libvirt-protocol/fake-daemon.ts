/** A scripted daemon at the other end of a stream pair: it answers what a test tells it to. */
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { Connection } from '../../../protocols/libvirt/index.ts';
import type { OpenOptions, ProcedureName, ResultOf } from '../../../protocols/libvirt/index.ts';
import {
  encodeFrame,
  FrameReader,
  MessageType,
  Program,
} from '../../../protocols/libvirt/framing.ts';
import type { Frame } from '../../../protocols/libvirt/framing.ts';
import { procedures, wireCallOf } from '../../../protocols/libvirt/procedures.ts';
import { remoteError } from '../../../protocols/libvirt/types.ts';
import type { RemoteError } from '../../../protocols/libvirt/types.ts';
import { XdrEncoder } from '../../../protocols/libvirt/xdr.ts';

const nameOf = (number: number): ProcedureName | undefined =>
  (Object.keys(procedures) as ProcedureName[]).find((name) => procedures[name].number === number);

/** Given a call, sends what the test wants, or nothing. */
export type Script = (call: Frame, name: ProcedureName | undefined) => void;

export class FakeDaemon {
  /** What the client is given. */
  readonly clientStream: Duplex;
  readonly #stream: Duplex;
  readonly received: Frame[] = [];
  #script: Script = () => undefined;
  #waiting: (() => void)[] = [];
  authTypes: readonly number[] = [0];
  keepAlive = 1;

  constructor() {
    [this.clientStream, this.#stream] = duplexPair();
    const reader = new FrameReader();
    this.#stream.on('error', () => undefined);
    this.#stream.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) this.#onFrame(frame);
    });
  }

  /** Opens a connection to this daemon; the options replace defaults that suit most tests. */
  open(options: Partial<Omit<OpenOptions, 'stream'>> = {}): Promise<Connection> {
    return Connection.open({
      stream: this.clientStream,
      uri: 'test:///default',
      timeoutMs: 5000,
      keepAlive: false,
      ...options,
    });
  }

  get script(): Script {
    return this.#script;
  }

  /** What to do with calls that are not of the opening. */
  answer(script: Script): void {
    this.#script = script;
  }

  reply<N extends ProcedureName>(call: Frame, name: N, result: ResultOf<N>): void {
    const to = new XdrEncoder();
    wireCallOf(name).result.encode(to, result);
    this.send({ ...call, type: MessageType.reply, status: 0, body: to.finish() });
  }

  refuse(call: Frame, error: Partial<RemoteError>): void {
    const to = new XdrEncoder();
    remoteError.encode(to, { code: 1, domain: 0, level: 2, int1: 0, int2: 0, ...error });
    this.send({ ...call, type: MessageType.reply, status: 1, body: to.finish() });
  }

  send(frame: Frame): void {
    this.sendBytes(encodeFrame(frame));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  /** What the client has not yet taken. */
  get unreadBytes(): number {
    return this.#stream.writableLength;
  }

  hangUp(): void {
    this.#stream.end();
  }

  /** Resolves once so many messages fulfil the condition. */
  async until(count: number, condition: (frame: Frame) => boolean): Promise<void> {
    while (this.received.filter(condition).length < count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #onFrame(frame: Frame): void {
    this.received.push(frame);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
    if (frame.program !== Program.remote) return;
    const name = nameOf(frame.procedure);
    if (!this.#answerOpening(frame, name)) this.#script(frame, name);
  }

  /** The calls of opening and closing; false for every other. */
  #answerOpening(frame: Frame, name: ProcedureName | undefined): boolean {
    if (name === 'AuthList') this.reply(frame, name, { types: this.authTypes });
    else if (name === 'ConnectOpen' || name === 'ConnectClose') this.reply(frame, name, {});
    else if (name === 'ConnectGetLibVersion') this.reply(frame, name, { version: 9_000_000 });
    else if (name === 'ConnectGetVersion') this.reply(frame, name, { version: 7_002_022 });
    else if (name === 'ConnectSupportsFeature') {
      this.reply(frame, name, { supported: this.keepAlive });
    } else return false;
    return true;
  }
}
