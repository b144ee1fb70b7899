/** A channel of a session as a stream that keeps Node's promises about ends, errors and callbacks. */
import { Duplex } from 'node:stream';
import type { DuplexOptions } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { SshError, SshErrorKind } from './errors.ts';

type Done = (error?: Error | null) => void;

/** Bytes that wait for the reader before the channel is told to pause; the server's window is 2 MiB. */
const READ_AHEAD_BYTES = 256 * 1024;

/**
 * The library's own stream leaves callbacks of writes open for ever once its channel is closed, does
 * not end when destroyed and hides errors; on this one every write settles and `close` comes.
 */
export class ChannelStream extends Duplex {
  readonly #channel: ClientChannel;
  readonly #what: string;
  #writing: Done | undefined;

  /** `what` names the far end in messages. */
  constructor(channel: ClientChannel, what: string, options: DuplexOptions = {}) {
    super({ allowHalfOpen: false, readableHighWaterMark: READ_AHEAD_BYTES, ...options });
    this.#channel = channel;
    this.#what = what;
    // Before there is a listener, or the data would flow at once.
    channel.pause();
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause();
    });
    channel.on('end', () => this.push(null));
    channel.on('error', (error: Error) => this.destroy(this.#closed(error)));
    channel.on('close', () => this.#onClose());
  }

  override _read(): void {
    this.#channel.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#writing = done;
    // Called once the last byte fits into the window of the server: this is the back-pressure.
    this.#channel.write(chunk, (error) => this.#settle(error));
  }

  override _final(done: Done): void {
    this.#channel.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#settle(error ?? this.#closed());
    this.#channel.destroy();
    // What still comes is dropped, so that the channel can end.
    this.#channel.resume();
    done(error);
  }

  /** The server closed the channel: a write that waits for its window waits in vain. */
  #onClose(): void {
    if (this.#writing === undefined) this.end();
    else this.destroy(this.#closed());
  }

  #settle(error?: Error | null): void {
    const done = this.#writing;
    this.#writing = undefined;
    done?.(error);
  }

  #closed(cause?: Error): SshError {
    return new SshError(SshErrorKind.lost, `the channel to ${this.#what} is closed`, { cause });
  }
}
