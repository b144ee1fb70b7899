/** How a user proves who they are: one method, never a search through all that might work. */
import type {
  AnyAuthMethod,
  AuthenticationType,
  ConnectConfig,
  KeyboardInteractiveAuthMethod,
} from 'ssh2';

/** Exactly one of the three. Keys are texts in OpenSSH or PEM form. */
export type SshAuth =
  | { readonly password: string }
  | { readonly privateKey: string | Uint8Array; readonly passphrase?: string }
  | {
      /** The path of an agent's unix socket (`SSH_AUTH_SOCK`). */
      readonly agent: string;
    };

/** What the library has to be given, and what the server said about the methods it takes. */
export interface Authentication {
  readonly config: Partial<ConnectConfig>;
  /** A few words on why the server was not content; for the message of an error. */
  refusal(): string;
}

type Method = AnyAuthMethod | AuthenticationType;

/** Prepares one method. Password also answers the single hidden prompt of keyboard-interactive. */
export function authenticationOf(username: string, auth: SshAuth): Authentication {
  const methods = methodsOf(username, auth);
  let taken: readonly string[] = [];
  let partial = false;
  const authHandler: ConnectConfig['authHandler'] = (left, partialSuccess, next) => {
    // The typings promise a list, but before the first attempt there is none.
    const offered = left as readonly string[] | null;
    if (offered !== null) {
      taken = offered;
      partial = partialSuccess;
    }
    const method = methods.shift();
    const wanted = method !== undefined && (offered === null || offered.includes(nameOf(method)));
    if (wanted) next(method);
    // The library takes false as "no more"; its typings do not say so.
    else (next as unknown as (none: false) => void)(false);
  };
  return {
    config: { username, authHandler, ...materialOf(auth) },
    refusal: () => {
      if (partial) return `it asks for more than that (${taken.join(', ')})`;
      return taken.length === 0 ? 'it did not say why' : `it takes ${taken.join(', ')}`;
    },
  };
}

/** Parsed by the library when it connects, so that a key that cannot be read is an error at once. */
function materialOf(auth: SshAuth): Partial<ConnectConfig> {
  if (!('privateKey' in auth)) return {};
  const { privateKey, passphrase } = auth;
  return {
    privateKey: typeof privateKey === 'string' ? privateKey : Buffer.from(privateKey),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

function methodsOf(username: string, auth: SshAuth): Method[] {
  if ('agent' in auth) return [{ type: 'agent', username, agent: auth.agent }];
  // By name it takes the key that it has parsed: to undo a passphrase twice costs seconds.
  if ('privateKey' in auth) return ['publickey'];
  const { password } = auth;
  return [{ type: 'password', username, password }, keyboardInteractive(username, password)];
}

/** Where PAM asks for the password, servers often offer only this. */
function keyboardInteractive(username: string, password: string): KeyboardInteractiveAuthMethod {
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

/** The name of a method on the wire: an agent's keys are public keys. */
function nameOf(method: Method): string {
  const type = typeof method === 'string' ? method : method.type;
  return type === 'agent' ? 'publickey' : type;
}
