/** Files of the server by SFTP, as far as reading a disk needs it: attributes, and ranges of bytes. */
import type { SFTPWrapper, Stats } from 'ssh2';
import { errorText, SshError, SshErrorKind } from './errors.ts';

/** Why the server did not do it; the text is for people. */
export const SftpErrorKind = {
  /** No such file or folder. */
  missing: 'missing',
  /** This user may not. */
  denied: 'denied',
  /** Anything else. */
  failed: 'failed',
} as const;
export type SftpErrorKind = (typeof SftpErrorKind)[keyof typeof SftpErrorKind];

/** The server refused one request; the session lives on. */
export class SftpError extends Error {
  override readonly name = 'SftpError';
  readonly kind: SftpErrorKind;

  constructor(kind: SftpErrorKind, message: string, cause: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** What SFTP tells of a file: no inode, and times in whole seconds. */
export interface SftpStat {
  readonly sizeBytes: number;
  readonly modifiedS: number;
  readonly isFile: boolean;
}

/** Status codes of draft-ietf-secsh-filexfer-02, section 7. */
const kinds: Readonly<Partial<Record<number, SftpErrorKind>>> = {
  2: SftpErrorKind.missing,
  3: SftpErrorKind.denied,
};

const REQUEST_TIMEOUT_MS = 60_000;
/**
 * A ninth of 2 MiB: OpenSSH gives 255 KiB at once. Of other servers, which give 32 KiB, the library asks for the rest of
 * a part in turn.
 */
const READ_BYTES = Math.ceil((2 * 1024 * 1024) / 9);

/** An SFTP channel of a session. Rejections are `SftpError`, or `SshError` (lost, timeout). */
export class SftpFiles {
  readonly #sftp: SFTPWrapper;
  readonly #what: string;
  #error: Error | undefined;

  /** `what` names the far end in messages. */
  constructor(sftp: SFTPWrapper, what: string) {
    this.#sftp = sftp;
    this.#what = what;
    sftp.on('error', (error: Error) => this.destroy(error));
  }

  async stat(path: string): Promise<SftpStat> {
    const stats = await this.#request<Stats>(path, (done) => this.#sftp.stat(path, done));
    return { sizeBytes: stats.size, modifiedS: stats.mtime, isFile: stats.isFile() };
  }

  /** Opens a file to be read. */
  async open(path: string): Promise<SftpFile> {
    const handle = await this.#request<Buffer>(path, (done) => this.#sftp.open(path, 'r', done));
    return {
      read: (offset, into) => this.#read(path, handle, { offset, into }),
      close: async () => {
        if (this.#error !== undefined) return;
        await this.#request(path, (done) => this.#sftp.close(handle, done));
      },
    };
  }

  /** Calls the listener once the channel is closed, whatever closed it. */
  once(event: 'close', listener: () => void): void {
    this.#sftp.once(event, listener);
  }

  /** Ends it; requests that are under way reject, with `error` as the reason if there is one. */
  destroy(error?: Error): void {
    this.#error ??= error ?? new SshError(SshErrorKind.lost, `${this.#what} is closed`);
    this.#sftp.end();
  }

  async #read(
    path: string,
    handle: Buffer,
    { offset, into }: { offset: number; into: Uint8Array },
  ): Promise<void> {
    const buffer = Buffer.from(into.buffer, into.byteOffset, into.length);
    const parts: Promise<void>[] = [];
    for (let at = 0; at < into.length; at += READ_BYTES) {
      const length = Math.min(READ_BYTES, into.length - at);
      parts.push(this.#readPart(path, handle, { buffer, at, length, offset }));
    }
    // All have to end before the buffer is the caller's again.
    for (const part of await Promise.allSettled(parts)) {
      if (part.status === 'rejected') throw part.reason;
    }
  }

  /** A server may give less than was asked for; nothing at all is the end of the file. */
  async #readPart(
    path: string,
    handle: Buffer,
    part: { buffer: Buffer; at: number; length: number; offset: number },
  ): Promise<void> {
    const { buffer, at, length, offset } = part;
    for (let done = 0; done < length;) {
      const count = await this.#request<number>(path, (settle) =>
        this.#sftp.read(handle, buffer, at + done, length - done, offset + at + done, settle),
      );
      if (count <= 0) {
        const text = `${path} of ${this.#what} ends before ${offset + at + length}`;
        throw new SftpError(SftpErrorKind.failed, text, undefined);
      }
      done += count;
    }
  }

  async #request<T>(
    path: string,
    ask: (done: (error?: Error | null, value?: T) => void) => void,
  ): Promise<T> {
    if (this.#error !== undefined) throw this.#error;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(() => {
      const text = `${path} of ${this.#what} was not answered for in time`;
      this.destroy(new SshError(SshErrorKind.timeout, text));
    }, REQUEST_TIMEOUT_MS);
    try {
      ask((error, value) => {
        if (error === undefined || error === null) resolve(value as T);
        else reject(this.#explain(path, error));
      });
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #explain(path: string, error: Error): Error {
    if (this.#error !== undefined) return this.#error;
    const code = (error as { code?: unknown }).code;
    if (typeof code !== 'number') {
      const text = `${path} of ${this.#what}: ${errorText(error)}`;
      return new SshError(SshErrorKind.lost, text, { cause: error });
    }
    const kind = kinds[code] ?? SftpErrorKind.failed;
    return new SftpError(kind, `${path} of ${this.#what}: ${errorText(error)}`, error);
  }
}

/** An open file. `read` may be called concurrently and fills `into`, or rejects when nothing writes to it any more. */
export interface SftpFile {
  read(offset: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}
