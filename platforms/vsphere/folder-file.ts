/** Files of a datastore by HTTPS ranges: the session is renewed, a lost connection is tried again, within limits. */
import { setTimeout as delay } from 'node:timers/promises';
import { transient } from '../../domain/errors.ts';
import { SoapError, SoapErrorKind } from '../../protocols/soap/index.ts';
import type { HttpsAnswer } from '../../protocols/soap/index.ts';
import { folderPath, showPath } from './datastore-path.ts';
import type { DatastorePath } from './datastore-path.ts';
import { assertSame } from './datastore-file.ts';
import type { DatastoreFile, ExplainLoss, FileStamp } from './datastore-file.ts';
import type { VsphereSession } from './session.ts';

export interface FolderFileOptions {
  /** Of whoever has the bytes: the vCenter, or an ESXi of its own. */
  session: VsphereSession;
  path: DatastorePath;
  /** `DC0`; `ha-datacenter` of an ESXi. */
  datacenter: string;
  explain: ExplainLoss;
}

const silenceMs = 60_000;
const mostAttempts = 5;
const firstPauseMs = 200;

export class FolderFile implements DatastoreFile {
  readonly #options: FolderFileOptions;
  readonly #requestPath: string;
  #stamp: FileStamp | undefined;
  #isPlain = false;

  constructor(options: FolderFileOptions) {
    this.#options = options;
    this.#requestPath = folderPath(options.path, options.datacenter);
  }

  get name(): string {
    return showPath(this.#options.path);
  }

  /** The whole of a small file. Rejects with VmFerryError. */
  async readAll(maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
    return await this.#persist(signal, async () => {
      const answer = await this.#get({}, 200, signal);
      return await answer.readAll(maxBytes);
    });
  }

  /** Reads a range to learn the file's size and stamp; from then on every range has to be of the same state. */
  async look(signal?: AbortSignal): Promise<FileStamp> {
    return await this.#persist(signal, async () => {
      const answer = await this.#get({ Range: 'bytes=0-0' }, 206, signal);
      const stamp = this.#stampOf(answer.headers, 0, 1);
      await answer.readInto(new Uint8Array(1));
      this.#stamp ??= stamp;
      return stamp;
    });
  }

  /**
   * Fills `into` with the bytes at `offset`. Rejects with VmFerryError: `source-changed`, `source-unreachable`, or what
   * `explain` says.
   */
  async readInto(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (into.length === 0) return;
    await this.#persist(signal, async () => {
      const stamp = this.#isPlain
        ? await this.#readPlainly(offset, into, signal)
        : await this.#readFast(offset, into, signal);
      if (this.#stamp !== undefined) assertSame(this.#stamp, stamp, this.#named());
    });
  }

  async #readFast(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<FileStamp> {
    const { session } = this.#options;
    const headers = { Cookie: session.cookie };
    const request = { path: this.#requestPath, headers, offset, into, silenceMs, signal };
    try {
      const answer = await session.server.readRange(request);
      this.#assertStatus(answer.status, 206);
      return this.#stampOf(answer.headers, offset, into.length);
    } catch (error) {
      if (!(error instanceof SoapError) || error.kind !== SoapErrorKind.malformed) throw error;
      // What is before the server may write its answers otherwise, in chunks: all that HTTP allows is read then.
      this.#isPlain = true;
      return await this.#readPlainly(offset, into, signal);
    }
  }

  async #readPlainly(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<FileStamp> {
    const headers = { Range: `bytes=${offset}-${offset + into.length - 1}` };
    const answer = await this.#get(headers, 206, signal);
    const stamp = this.#stampOf(answer.headers, offset, into.length);
    await answer.readInto(into);
    return stamp;
  }

  /** Begins again after a loss, a few times; whatever else fails is told at once. */
  async #persist<T>(signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    const { session } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const generation = session.generation;
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof SoapError)) throw error;
        const mayHeal = error.kind !== SoapErrorKind.aborted && attempt < mostAttempts;
        if (!mayHeal) throw await this.#fault(error);
        if (error.status === 401) {
          await session.renew(generation, signal).catch((cause: unknown) => {
            throw session.fault(cause, 'Login', { what: 'log in again' });
          });
          continue;
        }
        if (!isPassing(error)) throw await this.#fault(error);
        const known = await this.#explanation(error);
        if (known !== undefined) throw known;
        await delay(firstPauseMs * 2 ** (attempt - 1), undefined, { signal });
      }
    }
  }

  async #get(
    headers: Record<string, string>,
    wanted: number,
    signal: AbortSignal | undefined,
  ): Promise<HttpsAnswer> {
    const { session } = this.#options;
    const answer = await session.server.send({
      method: 'GET',
      path: this.#requestPath,
      headers: { ...headers, Cookie: session.cookie },
      silenceMs,
      signal,
    });
    if (answer.status !== wanted) answer.drop();
    this.#assertStatus(answer.status, wanted);
    return answer;
  }

  #assertStatus(status: number, wanted: number): void {
    if (status === wanted) return;
    const message = `${this.#options.session.host} answered HTTP ${status} for ${this.name}`;
    throw new SoapError(SoapErrorKind.http, message, { status });
  }

  #stampOf(headers: NodeJS.Dict<string | string[]>, offset: number, length: number): FileStamp {
    const range = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(
      textOf(headers['content-range']),
    );
    const [from, to, sizeBytes] = (range ?? []).slice(1).map(Number);
    if (sizeBytes === undefined || from !== offset || to !== offset + length - 1) {
      const message = `${this.#options.session.host} gave another range of ${this.name} than the one that was asked for`;
      throw new SoapError(SoapErrorKind.malformed, message);
    }
    return { sizeBytes, modified: textOf(headers['last-modified']), etag: textOf(headers['etag']) };
  }

  #named(): { name: string; host: string } {
    return { name: this.name, host: this.#options.session.host };
  }

  async #explanation(error: SoapError): Promise<Error | undefined> {
    return error.status === undefined
      ? undefined
      : await this.#options.explain(`HTTP ${error.status}`, error);
  }

  async #fault(error: SoapError): Promise<unknown> {
    const known = await this.#explanation(error);
    if (known !== undefined) return known;
    const { session } = this.#options;
    if (error.kind !== SoapErrorKind.http)
      return session.fault(error, 'GET', { what: `read ${this.name}` });
    return transient({
      code: 'source-unreachable',
      message: `could not read ${this.name}: ${error.message}`,
      remedy:
        'It is tried again by itself; if it keeps failing, see that the datastore is there and the file on it.',
      host: session.host,
      cause: error,
    });
  }
}

const textOf = (header: string | string[] | undefined): string =>
  typeof header === 'string' ? header : '';

const passingKinds: ReadonlySet<string> = new Set([
  SoapErrorKind.unreachable,
  SoapErrorKind.lost,
  SoapErrorKind.timeout,
]);

const isPassing = (error: SoapError): boolean =>
  passingKinds.has(error.kind) || (error.status ?? 0) >= 500 || error.status === 429;
