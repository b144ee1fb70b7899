/** One SSH session to a host for everything, opened when it is needed, and again after it was lost. */
import type { SftpFiles, SshSession } from '../../protocols/ssh/index.ts';
import { closeHops, openHops } from './hops.ts';
import type { SshLogin } from './hops.ts';

/** Rejections are `SshError`. */
export class SshHost {
  readonly #login: SshLogin;
  readonly #bulk: boolean;
  #sessions: Promise<SshSession[]> | undefined;
  #sftp: Promise<SftpFiles> | undefined;

  /** Nothing is opened yet. `bulk`: it is to carry many bytes. */
  constructor(login: SshLogin, { bulk = false }: { bulk?: boolean } = {}) {
    this.#login = login;
    this.#bulk = bulk;
  }

  async session(): Promise<SshSession> {
    if (this.#sessions === undefined) {
      const opening = openHops(this.#login, this.#bulk);
      this.#sessions = opening;
      const forget = (): void => {
        if (this.#sessions === opening) this.#sessions = undefined;
      };
      opening.then((sessions) => sessions.at(-1)?.closed.then(forget), forget);
    }
    const sessions = await this.#sessions;
    const last = sessions.at(-1);
    if (last === undefined) throw new RangeError('a session has at least one hop');
    return last;
  }

  /** The host's files; one channel for all of them. */
  async files(): Promise<SftpFiles> {
    if (this.#sftp !== undefined) return this.#sftp;
    const opening = this.session().then((session) => session.openSftp());
    this.#sftp = opening;
    const forget = (): void => {
      if (this.#sftp === opening) this.#sftp = undefined;
    };
    opening.then((files) => files.once('close', forget), forget);
    return opening;
  }

  /** Ends everything; safe to call twice. A later use opens anew. */
  async close(): Promise<void> {
    const sessions = this.#sessions;
    this.#sessions = this.#sftp = undefined;
    await closeHops((await sessions?.catch(() => undefined)) ?? []);
  }
}
