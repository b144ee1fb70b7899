/** A command that runs on the server: its input and output as a stream, what it complained of, how it ended. */
import type { ClientChannel } from 'ssh2';
import { ChannelStream } from './channel-stream.ts';

/** How a command ended. Both are undefined where the session was lost before the server could tell. */
export interface CommandEnd {
  readonly exitCode: number | undefined;
  /** The signal that ended it, without `SIG`. */
  readonly signal: string | undefined;
  /** The first 64 KiB of what it wrote to standard error. */
  readonly stderr: string;
}

const MAX_STDERR_BYTES = 64 * 1024;

/**
 * Reading gives its standard output, writing feeds its standard input. Destroyed before its end, or lost with the
 * session, its input ends, and it is sent SIGTERM, which OpenSSH passes on since 7.9 unless the user is root: what has to
 * end with its channel has to watch its input.
 */
export class RemoteCommand extends ChannelStream {
  /** Resolves, never rejects, once the command has ended and its output was read, or the session has ended. */
  readonly ended: Promise<CommandEnd>;
  readonly #stop: () => void;

  /** `what` names the far end in messages. */
  constructor(channel: ClientChannel, what: string) {
    // The end of the output is not the end of the command, which has a word to say after it.
    super(channel, what, { allowHalfOpen: true, autoDestroy: false });
    const ended = Promise.withResolvers<CommandEnd>();
    this.ended = ended.promise;
    let exit: Pick<CommandEnd, 'exitCode' | 'signal'> | undefined;
    const complaint: Buffer[] = [];
    let bytes = 0;
    channel.stderr.on('data', (chunk: Buffer) => {
      const kept = chunk.subarray(0, MAX_STDERR_BYTES - bytes);
      bytes += kept.length;
      // What goes beyond is read all the same, or the command would wait for its reader.
      if (kept.length > 0) complaint.push(kept);
    });
    channel.on('exit', (code: number | null, signal?: string) => {
      exit = { exitCode: code ?? undefined, signal: signal?.replace(/^SIG/, '') };
    });
    const finish = (): void => {
      const stderr = Buffer.concat(complaint).toString();
      ended.resolve({ exitCode: undefined, signal: undefined, ...exit, stderr });
    };
    channel.on('close', () => {
      finish();
      if (this.readableEnded) this.destroy();
      else this.once('end', () => this.destroy());
    });
    // A lost session closes no channel properly.
    this.once('close', finish);
    this.#stop = () => {
      if (exit === undefined) channel.signal('TERM');
    };
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stop();
    super._destroy(error, done);
  }
}
