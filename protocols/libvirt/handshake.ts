/** The opening of a connection: log in, open the driver, ask for versions. */
import { authenticate } from './authentication.ts';
import type { AuthenticationOptions, CallNow } from './authentication.ts';
import { LibvirtError } from './errors.ts';

export interface HandshakeOptions extends AuthenticationOptions {
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

/** virConnectFlags. */
const CONNECT_READ_ONLY = 1;

/**
 * VIR_DRV_FEATURE_PROGRAM_KEEPALIVE. Asking for it tells the daemon that this client answers pings,
 * and starts the daemon's own.
 */
const FEATURE_KEEP_ALIVE = 10;

/** Rejects with what `authenticate` or a call rejects with. */
export async function shakeHands(call: CallNow, options: HandshakeOptions): Promise<Versions> {
  const { uri, readOnly } = options;
  await authenticate(call, options);
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

async function hypervisorVersion(call: CallNow): Promise<number | undefined> {
  try {
    return (await call('ConnectGetVersion', {})).version;
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}
