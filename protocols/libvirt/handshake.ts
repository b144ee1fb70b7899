/** The opening of a connection: log in, open the driver, ask for versions. */
import { AuthenticationRequired, LibvirtError } from './errors.ts';
import type { ArgsOf, ProcedureName, ResultOf } from './procedures.ts';

/** Makes a call within the opening's time limit. */
export type CallNow = <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<ResultOf<N>>;

export interface HandshakeOptions {
  /** The driver to open: `qemu:///system`. */
  readonly uri: string;
  /** The daemon then refuses every change. */
  readonly readOnly: boolean;
}

/** Versions as major * 1,000,000 + minor * 1,000 + release: 9.0.0 is 9000000. */
export interface Versions {
  readonly libvirt: number;
  /** Undefined where the driver cannot tell (no emulator is installed). */
  readonly hypervisor: number | undefined;
}

/** remote_auth_type. */
const Auth = { none: 0, sasl: 1, polkit: 2 } as const;

/** virConnectFlags. */
const CONNECT_READ_ONLY = 1;

/**
 * VIR_DRV_FEATURE_PROGRAM_KEEPALIVE. Asking for it tells the daemon that this client answers pings,
 * and starts the daemon's own.
 */
const FEATURE_KEEP_ALIVE = 10;

/** Rejects with `AuthenticationRequired`, or with what a call rejects with. */
export async function shakeHands(
  call: CallNow,
  { uri, readOnly }: HandshakeOptions,
): Promise<Versions> {
  await authenticate(call);
  await call('ConnectOpen', { name: uri, flags: readOnly ? CONNECT_READ_ONLY : 0 });
  const { version: libvirt } = await call('ConnectGetLibVersion', {});
  return { libvirt, hypervisor: await hypervisorVersion(call) };
}

/** Whether the daemon takes part in keep-alive; from now on it sends pings of its own. */
export async function agreeOnKeepAlive(call: CallNow): Promise<boolean> {
  const { supported } = await call('ConnectSupportsFeature', { feature: FEATURE_KEEP_ALIVE });
  return supported !== 0;
}

/** `9.0.0` for 9000000. */
export function formatVersion(version: number): string {
  const release = version % 1000;
  const minor = Math.floor(version / 1000) % 1000;
  return `${Math.floor(version / 1_000_000)}.${minor}.${release}`;
}

async function authenticate(call: CallNow): Promise<void> {
  const { types } = await call('AuthList', {});
  if (types.includes(Auth.none)) return;
  const offered = types.map(nameOf);
  if (types.includes(Auth.polkit)) {
    try {
      await call('AuthPolkit', {});
      return;
    } catch (cause) {
      if (!(cause instanceof LibvirtError)) throw cause;
      throw new AuthenticationRequired({ offered, cause });
    }
  }
  throw new AuthenticationRequired({ offered, mechanisms: await saslMechanisms(call, types) });
}

const nameOf = (type: number): string => {
  const entry = Object.entries(Auth).find(([, number]) => number === type);
  return entry?.[0] ?? `an unknown kind (${type})`;
};

/** Only so that the error can name them; a daemon that does not say is no reason for another error. */
async function saslMechanisms(
  call: CallNow,
  types: readonly number[],
): Promise<string | undefined> {
  if (!types.includes(Auth.sasl)) return undefined;
  try {
    return (await call('AuthSaslInit', {})).mechanisms;
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}

async function hypervisorVersion(call: CallNow): Promise<number | undefined> {
  try {
    return (await call('ConnectGetVersion', {})).version;
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}
