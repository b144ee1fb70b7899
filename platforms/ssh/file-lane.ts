/**
 * Files of a host over one session of SSH: by SFTP, or dd where it has none. Nothing is written there, and what runs
 * there ends with its session.
 */
import {
  commandLine,
  SftpError,
  SftpErrorKind,
  SshError,
  SshErrorKind,
} from '../../protocols/ssh/index.ts';
import type { SftpFile, SftpFiles, SftpStat } from '../../protocols/ssh/index.ts';
import type { SshHost } from './ssh-host.ts';

/** What tells two states of a file apart. */
export interface RemoteStamp {
  sizeBytes: number;
  /** In whole seconds, as text. */
  modified: string;
}

/** Where a read begins, and what it fills. */
export interface FileRange {
  offset: number;
  into: Uint8Array;
}

/** Of dd: what it skips and reads is counted in them. */
const blockBytes = 64 * 1024;
const ddLimitMs = 60_000;

/** A file opened once in each session, as it was at that moment. */
interface Opened {
  files: SftpFiles;
  file: Promise<{ file: SftpFile; stamp: RemoteStamp }>;
}

/** Rejections are `SftpError` and `SshError`. */
export class FileLane {
  readonly #host: SshHost;
  readonly #opened = new Map<string, Opened>();
  #hasSftp = true;

  constructor(host: SshHost) {
    this.#host = host;
  }

  async stat(path: string, signal?: AbortSignal): Promise<RemoteStamp> {
    const files = await this.#files();
    if (files !== undefined) return stampOf(await files.stat(path));
    const told = await this.#output(['stat', '-c', '%s %Y', path], { most: 256, signal });
    const [, size, modified] = /^(\d{1,16}) (\d{1,16})$/.exec(told.toString('latin1').trim()) ?? [];
    if (size !== undefined && modified !== undefined) return { sizeBytes: Number(size), modified };
    throw new SftpError(SftpErrorKind.failed, `stat does not tell the size of ${path}`, undefined);
  }

  /** Fills `into`; resolves to the file's stamp when this session opened it. */
  async read(path: string, range: FileRange, signal?: AbortSignal): Promise<RemoteStamp> {
    const files = await this.#files();
    if (files === undefined) return this.#readByDd(path, range, signal);
    const { file, stamp } = await this.#open(path, files);
    await file.read(range.offset, range.into);
    return stamp;
  }

  /** Undefined where the host has no SFTP, which is told by its refusal of the subsystem. */
  async #files(): Promise<SftpFiles | undefined> {
    if (!this.#hasSftp) return undefined;
    try {
      return await this.#host.files();
    } catch (error) {
      const isRefused = error instanceof SshError && error.kind === SshErrorKind.refused;
      if (!isRefused) throw error;
      this.#hasSftp = false;
      return undefined;
    }
  }

  /** A session that was lost took its handles with it: they belong to the channel that opened them. */
  async #open(path: string, files: SftpFiles): Promise<{ file: SftpFile; stamp: RemoteStamp }> {
    const known = this.#opened.get(path);
    if (known?.files === files) return known.file;
    const opening = { files, file: openIn(files, path) };
    this.#opened.set(path, opening);
    opening.file.catch(() => {
      if (this.#opened.get(path) === opening) this.#opened.delete(path);
    });
    return opening.file;
  }

  async #readByDd(
    path: string,
    { offset, into }: FileRange,
    signal?: AbortSignal,
  ): Promise<RemoteStamp> {
    const first = Math.floor(offset / blockBytes);
    const count = Math.ceil((offset + into.length) / blockBytes) - first;
    const where = [`bs=${blockBytes}`, `skip=${first}`, `count=${count}`];
    const most = count * blockBytes;
    const bytes = await this.#output(['dd', `if=${path}`, ...where], { most, signal });
    const from = offset - first * blockBytes;
    if (bytes.length < from + into.length) {
      const words = `${path} ends before ${offset + into.length}`;
      throw new SftpError(SftpErrorKind.failed, words, undefined);
    }
    into.set(bytes.subarray(from, from + into.length));
    return this.stat(path, signal);
  }

  async #output(
    args: readonly string[],
    { most, signal }: { most: number; signal?: AbortSignal | undefined },
  ): Promise<Buffer> {
    const session = await this.#host.session();
    const command = await session.openCommand(commandLine(args));
    const limit = AbortSignal.timeout(ddLimitMs);
    const either = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    const giveUp = (): void => void command.destroy();
    either.addEventListener('abort', giveUp, { once: true });
    try {
      command.end();
      const parts: Buffer[] = [];
      let bytes = 0;
      for await (const part of command as AsyncIterable<Buffer>) {
        bytes += part.length;
        if (bytes > most) break;
        parts.push(part);
      }
      const { exitCode, stderr } = await command.ended;
      if (exitCode === 0) return Buffer.concat(parts);
      throw complaint(stderr, exitCode);
    } finally {
      either.removeEventListener('abort', giveUp);
      command.on('error', () => undefined).destroy();
    }
  }
}

async function openIn(
  files: SftpFiles,
  path: string,
): Promise<{ file: SftpFile; stamp: RemoteStamp }> {
  const file = await files.open(path);
  return { file, stamp: stampOf(await files.stat(path)) };
}

const stampOf = ({ sizeBytes, modifiedS }: SftpStat): RemoteStamp => ({
  sizeBytes,
  modified: String(modifiedS),
});

/** As SFTP would have put it. */
function complaint(stderr: string, exitCode: number | undefined): SftpError {
  const words = stderr.trim().replaceAll(/\s+/g, ' ').slice(0, 500) || `it ended with ${exitCode}`;
  const kind = /No such file/.test(words)
    ? SftpErrorKind.missing
    : /Permission denied|not permitted/.test(words)
      ? SftpErrorKind.denied
      : SftpErrorKind.failed;
  return new SftpError(kind, words, undefined);
}
