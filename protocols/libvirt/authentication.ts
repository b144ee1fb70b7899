/**
 * Logging in, before the driver is opened: by nothing, by SASL, or by polkit, as the daemon asks.
 *
 * polkit is the daemon's own affair with its host: it asks polkit about the process and user at the
 * other end of the unix socket, so this client only says "ask now". Root is never asked.
 */
import { AuthenticationFailed, AuthenticationRequired, LibvirtError } from './errors.ts';
import type { ArgsOf, ProcedureName, ResultOf } from './procedures.ts';
import { SaslError } from './sasl/client.ts';
import type { SaslClient } from './sasl/client.ts';
import { chooseMechanism, saslClientOf } from './sasl/mechanisms.ts';
import type { SaslCredentials } from './sasl/mechanisms.ts';

/** Makes a call within the opening's time limit. */
export type CallNow = <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<ResultOf<N>>;

/** remote_auth_type. */
const Auth = { none: 0, sasl: 1, polkit: 2 } as const;

/** SCRAM takes two; more is a daemon that does not come to an end. */
const MAX_SASL_STEPS = 8;

/** What there is to log in with. */
export interface AuthenticationOptions {
  readonly sasl?: SaslCredentials | undefined;
  /** Whether the transport is encrypted or never leaves the host. */
  readonly isPrivate: boolean;
  /** Gives up to wait for the password. */
  readonly signal: AbortSignal;
}

/**
 * Rejects with `AuthenticationRequired` if nothing that the daemon takes is there, with its subclass
 * `AuthenticationFailed` if that was not enough, with what a call rejects with, or with what the
 * source of the password threw.
 */
export async function authenticate(call: CallNow, options: AuthenticationOptions): Promise<void> {
  const { types } = await call('AuthList', {});
  if (types.includes(Auth.none)) return;
  const offered = types.map(nameOf);
  const { sasl } = options;
  if (types.includes(Auth.sasl) && sasl !== undefined) {
    await bySasl(call, { ...options, sasl, offered });
  } else if (types.includes(Auth.polkit)) await byPolkit(call, offered);
  else {
    const mechanisms = types.includes(Auth.sasl) ? await mechanismsOf(call) : undefined;
    throw new AuthenticationRequired({ offered, mechanisms });
  }
}

const nameOf = (type: number): string => {
  const entry = Object.entries(Auth).find(([, number]) => number === type);
  return entry?.[0] ?? `an unknown kind (${type})`;
};

async function byPolkit(call: CallNow, offered: readonly string[]): Promise<void> {
  try {
    await call('AuthPolkit', {});
  } catch (cause) {
    if (!(cause instanceof LibvirtError)) throw cause;
    throw new AuthenticationFailed({ offered, method: 'polkit', cause });
  }
}

interface SaslLogIn extends AuthenticationOptions {
  readonly sasl: SaslCredentials;
  readonly offered: readonly string[];
}

async function bySasl(call: CallNow, options: SaslLogIn): Promise<void> {
  const { sasl, offered, isPrivate, signal } = options;
  const { mechanisms } = await call('AuthSaslInit', {});
  const mechanism = chooseMechanism({ offered: mechanisms, credentials: sasl, isPrivate });
  if (mechanism === undefined) throw new AuthenticationRequired({ offered, mechanisms });
  const password = (): Promise<string> => untilAborted(sasl.password, signal);
  const client = saslClientOf(mechanism, { ...sasl, password });
  try {
    await exchange(call, mechanism, client);
  } catch (cause) {
    if (!(cause instanceof LibvirtError || cause instanceof SaslError)) throw cause;
    throw new AuthenticationFailed({ offered, mechanisms, method: mechanism, cause });
  }
}

/** Throws `SaslError` where the daemon says that all is well before it proved who it is. */
async function exchange(call: CallNow, mechanism: string, client: SaslClient): Promise<void> {
  const first = await client.start();
  let reply = await call('AuthSaslStart', { mechanism, nil: false, data: first });
  first.fill(0);
  for (let step = 0; step < MAX_SASL_STEPS; step++) {
    const isEmpty = reply.nil || reply.data.length === 0;
    const complete = reply.complete !== 0;
    // Some daemons send their proof with the success, others before it and want an empty answer.
    const answer = isEmpty && complete ? undefined : await client.step(reply.data);
    if (complete) {
      if (client.serverProved) return;
      throw new SaslError('the server did not prove that it knows the password');
    }
    const data = answer ?? new Uint8Array();
    reply = await call('AuthSaslStep', { nil: answer === undefined, data });
  }
  throw new SaslError(`no end after ${MAX_SASL_STEPS} steps`);
}

/** Only so that the error can name them; a daemon that does not say is no reason for another error. */
async function mechanismsOf(call: CallNow): Promise<string | undefined> {
  try {
    return (await call('AuthSaslInit', {})).mechanisms;
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}

/** A person may be asked for the password: the opening's limit counts all the same. */
async function untilAborted<T>(ask: () => T | Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([promise, ask()]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
