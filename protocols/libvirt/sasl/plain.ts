/** PLAIN (RFC 4616): name and password as they are, so only where nobody listens. */
import { SaslError } from './client.ts';
import type { PasswordSource, SaslClient } from './client.ts';

/** The server learns the password, and proves nothing. */
export class PlainClient implements SaslClient {
  readonly serverProved = true;
  readonly #username: string;
  readonly #password: PasswordSource;

  constructor(username: string, password: PasswordSource) {
    this.#username = username;
    this.#password = password;
  }

  async start(): Promise<Uint8Array> {
    const password = await this.#password();
    if (this.#username.includes('\0') || password.includes('\0')) {
      throw new SaslError('neither a name nor a password may have a NUL character');
    }
    return Buffer.from(`\0${this.#username}\0${password}`, 'utf8');
  }

  step(): Promise<Uint8Array | undefined> {
    return Promise.reject(new SaslError('the server asks for more than PLAIN has'));
  }
}
