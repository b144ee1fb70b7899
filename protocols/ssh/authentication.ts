/** How a user proves who they are: by what the caller names, never a search through all that might work. */
import ssh2 from 'ssh2';
import type {
  AnyAuthMethod,
  AuthenticationType,
  ConnectConfig,
  KeyboardInteractiveAuthMethod,
} from 'ssh2';
import { SshError, SshErrorKind } from './errors.ts';

/** A secret, or how to ask for it in the moment in which it is needed. */
export type Secret = string | (() => string | Promise<string>);

/** What a server asks a person, as it comes: its texts are the server's, not to be trusted. */
export interface SshQuestion {
  readonly name: string;
  readonly instructions: string;
  /** One for each answer; what is typed to a hidden one is not to be shown. */
  readonly prompts: readonly { readonly text: string; readonly isHidden: boolean }[];
}

/** One way to log in. Keys are texts in OpenSSH or PEM form. */
export type SshAuth =
  | {
      /** Also answers the single hidden prompt of keyboard-interactive. */
      readonly password: string;
    }
  | {
      readonly privateKey: string | Uint8Array;
      /** A function is called only where the key is encrypted. */
      readonly passphrase?: Secret;
    }
  | {
      /** The path of an agent's unix socket (`SSH_AUTH_SOCK`). */
      readonly agent: string;
    }
  | {
      /** Answers each round of questions (one-time codes): as many answers as prompts. */
      readonly keyboardInteractive: (
        question: SshQuestion,
      ) => readonly string[] | Promise<readonly string[]>;
    };

/** What the library has to be given, and what the server said about the methods it takes. */
export interface Authentication {
  readonly config: Partial<ConnectConfig>;
  /** A few words on why the server was not content; for the message of an error. */
  refusal(): string;
}

type Method = AnyAuthMethod | AuthenticationType;

/**
 * The ways with their passphrases as texts. Rejects with what asking for a passphrase threw.
 */
export function withPassphrases(auth: readonly SshAuth[]): Promise<SshAuth[]> {
  return Promise.all(
    auth.map(async (way) => {
      if (!('privateKey' in way) || typeof way.passphrase !== 'function') return way;
      const { privateKey } = way;
      return isEncrypted(keyBytes(privateKey))
        ? { privateKey, passphrase: await way.passphrase() }
        : { privateKey };
    }),
  );
}

/**
 * Prepares the ways, which are used in their order: the next where the server wants more than one, or
 * does not take the one before. `auth` holds at most one private key.
 */
export function authenticationOf(username: string, auth: readonly SshAuth[]): Authentication {
  if (auth.filter((way) => 'privateKey' in way).length > 1) {
    throw new SshError(SshErrorKind.invalid, 'one private key at most can be tried; use an agent');
  }
  const methods = auth.flatMap((way) => methodsOf(username, way));
  let taken: readonly string[] = [];
  let partial = false;
  const authHandler: ConnectConfig['authHandler'] = (left, partialSuccess, next) => {
    // The typings promise a list, but before the first attempt there is none.
    const offered = left as readonly string[] | null;
    if (offered !== null) {
      taken = offered;
      partial = partialSuccess;
    }
    let method = methods.shift();
    while (method !== undefined && offered !== null && !offered.includes(nameOf(method))) {
      method = methods.shift();
    }
    if (method !== undefined) next(method);
    // The library takes false as "no more"; its typings do not say so.
    else (next as unknown as (none: false) => void)(false);
  };
  return {
    config: Object.assign({ username, authHandler }, ...auth.map(materialOf)) as ConnectConfig,
    refusal: () => {
      if (partial) return `it asks for more than that (${taken.join(', ')})`;
      return taken.length === 0 ? 'it did not say why' : `it takes ${taken.join(', ')}`;
    },
  };
}

const keyBytes = (privateKey: string | Uint8Array): string | Buffer =>
  typeof privateKey === 'string' ? privateKey : Buffer.from(privateKey);

function isEncrypted(privateKey: string | Buffer): boolean {
  const parsed = ssh2.utils.parseKey(privateKey);
  return parsed instanceof Error && /encrypted/i.test(parsed.message);
}

/** Parsed by the library when it connects, so that a key that cannot be read is an error at once. */
function materialOf(auth: SshAuth): Partial<ConnectConfig> {
  if (!('privateKey' in auth)) return {};
  const { privateKey, passphrase } = auth;
  return {
    privateKey: keyBytes(privateKey),
    ...(typeof passphrase === 'string' ? { passphrase } : {}),
  };
}

function methodsOf(username: string, auth: SshAuth): Method[] {
  if ('agent' in auth) return [{ type: 'agent', username, agent: auth.agent }];
  // By name it takes the key that it has parsed: to undo a passphrase twice costs seconds.
  if ('privateKey' in auth) return ['publickey'];
  if ('keyboardInteractive' in auth) return [byAnswers(username, auth.keyboardInteractive)];
  const { password } = auth;
  return [{ type: 'password', username, password }, byPassword(username, password)];
}

/** Where PAM asks for the password, servers often offer only this. */
function byPassword(username: string, password: string): KeyboardInteractiveAuthMethod {
  return {
    type: 'keyboard-interactive',
    username,
    prompt: (...[, , , prompts, finish]) => {
      const [only, ...others] = prompts;
      // A prompt that is shown while it is typed, or a second one, does not ask for a password.
      const asksForPassword = only !== undefined && others.length === 0 && only.echo !== true;
      finish(asksForPassword ? [password] : prompts.map(() => ''));
    },
  };
}

function byAnswers(
  username: string,
  answer: (question: SshQuestion) => readonly string[] | Promise<readonly string[]>,
): KeyboardInteractiveAuthMethod {
  return {
    type: 'keyboard-interactive',
    username,
    prompt: (...[name, instructions, , prompts, finish]) => {
      const asked = prompts.map(({ prompt, echo }) => ({ text: prompt, isHidden: echo !== true }));
      const answering = async (): Promise<readonly string[]> =>
        answer({ name, instructions, prompts: asked });
      answering().then(
        (answers) => finish(prompts.map((_, index) => answers[index] ?? '')),
        // Nothing is known: the server refuses that, and its refusal is the error.
        () => finish(prompts.map(() => '')),
      );
    },
  };
}

/** The name of a method on the wire: an agent's keys are public keys. */
function nameOf(method: Method): string {
  const type = typeof method === 'string' ? method : method.type;
  return type === 'agent' ? 'publickey' : type;
}
