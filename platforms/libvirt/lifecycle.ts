/** Waiting for what a domain does, by libvirt's events; an occasional look catches what a lost event would hide. */
import { setTimeout as delay } from 'node:timers/promises';
import { permanent, VmFerryError } from '../../domain/errors.ts';
import { VmState } from '../../domain/vm.ts';
import { DomainState, LifecycleEvent } from '../../protocols/libvirt/index.ts';
import type { Connection, EventOf } from '../../protocols/libvirt/index.ts';
import type { LibvirtHost } from './connect.ts';
import { isRefusal } from './faults.ts';

type Lifecycle = EventOf<'DomainEventCallbackLifecycle'>;

/** How often the state is read although no event came, ms. */
const lookEveryMs = 5_000;
/** How long to leave a libvirtd alone that was just lost, ms. */
const reopenAfterMs = 500;

const states: Readonly<Record<number, VmState>> = {
  [DomainState.running]: VmState.running,
  [DomainState.blocked]: VmState.running,
  [DomainState.paused]: VmState.paused,
  [DomainState.shutdown]: VmState.shuttingDown,
  [DomainState.shutoff]: VmState.shutOff,
  [DomainState.crashed]: VmState.crashed,
};

/** libvirt's number as the domain's word; `other` for states that a move does not start from. */
export const vmStateOf = (state: number): VmState => states[state] ?? VmState.other;

/** A state in which no QEMU process is left. */
export const isOff = (state: VmState): boolean =>
  state === VmState.shutOff || state === VmState.crashed;

/** The state of a domain; undefined if libvirt knows none of that UUID. */
export async function readState(
  connection: Connection,
  uuid: string,
): Promise<VmState | undefined> {
  try {
    const { dom } = await connection.call('DomainLookupByUUID', { uuid });
    return vmStateOf((await connection.call('DomainGetState', { dom })).state);
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN')) return undefined;
    throw error;
  }
}

export interface WaitOptions {
  timeoutMs: number;
  signal?: AbortSignal;
}

/**
 * Resolves true once no QEMU of the domain is left (also if libvirt no longer knows it), false after `timeoutMs`.
 * A restart of libvirtd meanwhile is waited out; if it is still away then, that is `libvirt-unreachable`.
 * Rejects when the signal fires, and with what libvirt refuses.
 */
export async function waitUntilOff(
  host: LibvirtHost,
  uuid: string,
  { timeoutMs, signal }: WaitOptions,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await host.use(
        (connection) => watchUntilOff(connection, uuid, { deadline, ...(signal && { signal }) }),
        signal,
      );
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof VmFerryError) || error.code !== 'libvirt-unreachable') throw error;
      // The guest may well stop without libvirtd; only past the deadline is its silence the answer.
      if (performance.now() >= deadline) throw error;
    }
    await delay(reopenAfterMs, undefined, signal === undefined ? {} : { signal });
  }
}

async function watchUntilOff(
  connection: Connection,
  uuid: string,
  { deadline, signal }: { deadline: number; signal?: AbortSignal },
): Promise<boolean> {
  return watch(connection, uuid, async (next) => {
    // Each turn reads the state after the subscription, so a stop before it is not missed.
    for (;;) {
      const state = await readState(connection, uuid);
      if (state === undefined || isOff(state)) return true;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      await next({ timeoutMs: Math.min(lookEveryMs, leftMs), ...(signal && { signal }) });
    }
  });
}

/**
 * Resolves if the domain runs for `forMs` without stopping, crashing or being paused (as on an I/O error);
 * throws `vm-did-not-stay-up` otherwise. A loss of libvirtd is `libvirt-unreachable`: begin again.
 */
export async function watchHealth(
  host: LibvirtHost,
  uuid: string,
  { forMs, signal }: { forMs: number; signal?: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + forMs;
  await host.use(
    (connection) =>
      watch(connection, uuid, async (next) => {
        for (;;) {
          const state = await readState(connection, uuid);
          if (state !== VmState.running) throw notUp(host.name, uuid, state ?? 'gone');
          const leftMs = deadline - performance.now();
          if (leftMs <= 0) return;
          const event = await next({
            timeoutMs: Math.min(lookEveryMs, leftMs),
            ...(signal && { signal }),
          });
          const bad = event === undefined ? undefined : badEvents[event.event];
          if (bad !== undefined) throw notUp(host.name, uuid, bad);
        }
      }),
    signal,
  );
}

/** Also a guest that is up again at the next look has not stayed up. */
const badEvents: Readonly<Record<number, string>> = {
  [LifecycleEvent.stopped]: 'stopped',
  [LifecycleEvent.crashed]: 'crashed',
  [LifecycleEvent.suspended]: 'paused',
  [LifecycleEvent.undefined]: 'undefined',
};

const notUp = (host: string, uuid: string, what: string): VmFerryError =>
  permanent({
    code: 'vm-did-not-stay-up',
    message: `the VM ${uuid} was started on ${host} but is ${what} now`,
    remedy: `See why on ${host}: /var/log/libvirt/qemu/ and the console of the guest.`,
    host,
  });

/** The next event of the domain; undefined if none came in time. Rejects when the connection is lost. */
type Next = (options: WaitOptions) => Promise<Lifecycle | undefined>;

/** Runs `act` while events of a domain are collected: none that comes between two calls of `next` is missed. */
async function watch<T>(
  connection: Connection,
  uuid: string,
  act: (next: Next) => Promise<T>,
): Promise<T> {
  const events: Lifecycle[] = [];
  let wake = (): void => undefined;
  const subscription = await connection.onLifecycle((event) => {
    if (event.dom.uuid !== uuid) return;
    events.push(event);
    wake();
  });
  let lost = false;
  void connection.closed.then(() => {
    lost = true;
    wake();
  });
  const next: Next = async ({ timeoutMs, signal }) => {
    signal?.throwIfAborted();
    if (events.length === 0 && !lost) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      wake = () => resolve(undefined);
      const timer = setTimeout(wake, timeoutMs);
      signal?.addEventListener('abort', wake);
      await promise;
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
    }
    signal?.throwIfAborted();
    // A call tells of the loss better than any words of ours.
    if (lost) await connection.call('ConnectGetHostname', {});
    return events.shift();
  };
  try {
    return await act(next);
  } finally {
    // On a lost connection there is nothing to stop, and the first error is the one to show.
    await subscription.stop().catch(() => undefined);
  }
}
