/**
 * The datastores of one ESXi by SSH: several sessions, so that its sshd works on several cores, and SFTP, or dd where it
 * has none. Nothing is written there, and what runs there ends with its session.
 */
import { VmFerryError } from '../../domain/errors.ts';
import { commandLine, SftpError, SftpErrorKind } from '../../protocols/ssh/index.ts';
import type { SftpFile, SftpFiles } from '../../protocols/ssh/index.ts';
import { RemoteHost } from '../remote-kvm/reach.ts';
import type { SshLogin } from '../remote-kvm/options.ts';
import type { FileStamp } from './datastore-file.ts';

/** Of dd: what it skips and reads is counted in them. */
const blockBytes = 64 * 1024;
const ddLimitMs = 60_000;

/** A file opened once in each session, as it was at that moment. */
interface Opened {
  files: SftpFiles;
  file: Promise<{ file: SftpFile; stamp: FileStamp }>;
}

/** Rejections are those of `RemoteHost`, `SftpError` and `SshError`. */
export class EsxiReach {
  /** As the vCenter calls the host. */
  readonly name: string;
  readonly #lanes: Lane[];
  #next = 0;

  constructor(name: string, ssh: SshLogin, sessions: number) {
    this.name = name;
    this.#lanes = Array.from({ length: sessions }, () => new Lane(name, ssh));
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStamp> {
    return this.#lane().stat(path, signal);
  }

  /** Fills `into`; resolves to the file's stamp when that session opened it. */
  async read(path: string, range: Range, signal?: AbortSignal): Promise<FileStamp> {
    return this.#lane().read(path, range, signal);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  #lane(): Lane {
    const lane = this.#lanes[this.#next % this.#lanes.length];
    this.#next += 1;
    if (lane === undefined) throw new RangeError('an ESXi is reached by one session at least');
    return lane;
  }
}

export interface Range {
  offset: number;
  into: Uint8Array;
}

class Lane {
  readonly #host: RemoteHost;
  readonly #opened = new Map<string, Opened>();
  #hasSftp = true;

  constructor(name: string, ssh: SshLogin) {
    this.#host = new RemoteHost({ name, ssh, label: 'vsphere' });
  }

  async stat(path: string, signal?: AbortSignal): Promise<FileStamp> {
    const files = await this.#files();
    if (files !== undefined) return stampOf(await files.stat(path));
    const told = await this.#output(['stat', '-c', '%s %Y', path], { most: 256, signal });
    const [, size, modified] = /^(\d{1,16}) (\d{1,16})$/.exec(told.toString('latin1').trim()) ?? [];
    if (size !== undefined && modified !== undefined)
      return { sizeBytes: Number(size), modified, etag: '' };
    throw new SftpError(SftpErrorKind.failed, `stat does not tell the size of ${path}`, undefined);
  }

  async read(path: string, range: Range, signal?: AbortSignal): Promise<FileStamp> {
    const files = await this.#files();
    if (files === undefined) return this.#readByDd(path, range, signal);
    const { file, stamp } = await this.#open(path, files);
    await file.read(range.offset, range.into);
    return stamp;
  }

  async close(): Promise<void> {
    this.#opened.clear();
    await this.#host.close();
  }

  /** Undefined where the ESXi has no SFTP, which is told by its refusal of the subsystem. */
  async #files(): Promise<SftpFiles | undefined> {
    if (!this.#hasSftp) return undefined;
    try {
      return await this.#host.files();
    } catch (error) {
      if (!(error instanceof VmFerryError) || error.code !== 'ssh-channel-refused') throw error;
      this.#hasSftp = false;
      return undefined;
    }
  }

  /** A session that was lost took its handles with it: they belong to the channel that opened them. */
  async #open(path: string, files: SftpFiles): Promise<{ file: SftpFile; stamp: FileStamp }> {
    const known = this.#opened.get(path);
    if (known?.files === files) return known.file;
    const opening = { files, file: openIn(files, path) };
    this.#opened.set(path, opening);
    opening.file.catch(() => {
      if (this.#opened.get(path) === opening) this.#opened.delete(path);
    });
    return opening.file;
  }

  async #readByDd(path: string, { offset, into }: Range, signal?: AbortSignal): Promise<FileStamp> {
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
    const command = await this.#host.start(commandLine(args));
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
): Promise<{ file: SftpFile; stamp: FileStamp }> {
  const file = await files.open(path);
  return { file, stamp: stampOf(await files.stat(path)) };
}

const stampOf = ({
  sizeBytes,
  modifiedS,
}: {
  sizeBytes: number;
  modifiedS: number;
}): FileStamp => ({
  sizeBytes,
  modified: String(modifiedS),
  etag: '',
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
