/**
 * Which unix socket leads to the driver: libvirt is one daemon (libvirtd) or a daemon a driver
 * (virtqemud, virtstoraged and so on), and a host may have the sockets of both.
 *
 * One connection suffices with either: for storage, networks and secrets virtqemud asks its siblings
 * on behalf of its client (libvirt's documentation; tried here was libvirtd 9.0 only, since Debian 12
 * has no modular daemons).
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ConnectFailed } from './errors.ts';
import { openTransport } from './transport.ts';

/** Which driver, and where its sockets lie. */
export interface SocketQuery {
  /** `qemu:///system`, `qemu:///session`, `storage:///system`: scheme and path decide. */
  readonly uri: string;
  /** The socket that any local user may open; the daemon refuses every change there. */
  readonly readOnly?: boolean;
  /** Where the sockets of the system lie; `/run/libvirt` unless it is given. */
  readonly systemDir?: string;
  /** Those of a user's session; by the XDG rules unless it is given. */
  readonly sessionDir?: string;
}

/** A socket, and the daemon that libvirt's own naming says is behind it. */
export interface SocketCandidate {
  readonly path: string;
  readonly daemon: string;
}

/** How long a socket may take to accept. */
const ANSWER_TIMEOUT_MS = 2_000;

/** Which daemon has which driver, by the scheme of the URI. */
const modularDaemons: Readonly<Partial<Record<string, string>>> = {
  qemu: 'virtqemud',
  storage: 'virtstoraged',
  network: 'virtnetworkd',
  secret: 'virtsecretd',
  nodedev: 'virtnodedevd',
  nwfilter: 'virtnwfilterd',
  interface: 'virtinterfaced',
};

/**
 * All that may lead to the driver, in the order in which to try: the driver's own daemon, then
 * libvirtd (or virtproxyd, which takes its socket over). Throws `RangeError` for a URI without scheme.
 */
export function socketCandidates(query: SocketQuery): readonly SocketCandidate[] {
  const { uri, readOnly = false } = query;
  const { scheme, path } =
    /^(?<scheme>[a-z]+)(?:\+unix)?:\/\/(?<path>\/\w+)/.exec(uri)?.groups ?? {};
  if (scheme === undefined) throw new RangeError(`'${uri}' is no URI of a local libvirt driver`);
  const dir = path === '/session' ? sessionDirOf(query) : (query.systemDir ?? '/run/libvirt');
  // A session's daemons have one socket; who may open it is the user themself.
  const end = readOnly && path !== '/session' ? 'sock-ro' : 'sock';
  const modular = modularDaemons[scheme];
  const own =
    modular === undefined ? [] : [{ daemon: modular, path: join(dir, `${modular}-${end}`) }];
  return [...own, { daemon: 'libvirtd', path: join(dir, `libvirt-${end}`) }];
}

/**
 * The first candidate that takes a connection: a socket file alone may be left from a daemon that is
 * gone. Rejects with `ConnectFailed`, which says of each why not.
 */
export async function findSocket(
  query: SocketQuery,
  options: { readonly signal?: AbortSignal } = {},
): Promise<SocketCandidate> {
  const candidates = socketCandidates(query);
  const reasons: string[] = [];
  let cause: unknown;
  for (const candidate of candidates) {
    const limit = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
    options.signal?.throwIfAborted();
    try {
      (await openTransport({ unixPath: candidate.path }, signal)).destroy();
      return candidate;
    } catch (error) {
      cause = error instanceof ConnectFailed ? error.cause : error;
      reasons.push(cause instanceof Error ? cause.message : String(cause));
    }
  }
  const where = candidates.map(({ path }) => path).join(' or ');
  throw new ConnectFailed(where, new Error(reasons.join('; '), { cause }));
}

function sessionDirOf({ sessionDir }: SocketQuery): string {
  if (sessionDir !== undefined) return sessionDir;
  const runtime = process.env['XDG_RUNTIME_DIR'];
  return runtime === undefined || runtime === ''
    ? join(homedir(), '.cache', 'libvirt')
    : join(runtime, 'libvirt');
}
