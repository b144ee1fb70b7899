/**
 * Leases of vSphere's NFC service (`ExportVm`): while one lives its VM can be neither started nor changed, and its disks
 * are given out at secret addresses. It ends with its last word, or if nobody speaks of it for minutes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { transient } from '../../domain/errors.ts';
import { childrenOf, isFault, textOf } from '../../protocols/soap/index.ts';
import type { XmlElement } from '../../protocols/soap/index.ts';
import type { ExplainLoss } from './datastore-file.ts';
import { vmRef } from './inventory.ts';
import { leaveNote } from './nfc-notes.ts';
import type { Note } from './nfc-notes.ts';
import { countAt, isTrueAt, plainAt } from './numbers.ts';
import { propertiesOf } from './properties.ts';
import { referenceAt, value } from './references.ts';
import type { ManagedRef } from './references.ts';
import type { VsphereSession } from './session.ts';
import { toldError } from './tasks.ts';

/** A disk that a lease gives out. */
export interface LeasedDisk {
  /** `/vm-42/ParaVirtualSCSIController0:1`. */
  key: string;
  /** `https://*\/nfc/...`, a secret while the lease lives. */
  url: string;
  /** Of the certificate of the server in `url`; empty if not told. */
  thumbprint: string;
}

export interface LeaseOptions {
  session: VsphereSession;
  vm: { id: string; name: string };
  /** Names its note; none is left if it is undefined. */
  label: string | undefined;
  explain: ExplainLoss;
  /** How much of the VM was read by now, 0 to 100. */
  percent: () => number;
  signal: AbortSignal;
}

/** For the lease of a killed reader to run out, and some more. */
const busyLimitMs = 330_000;
const readyLimitMs = 120_000;
const firstPauseMs = 50;
const longestPauseMs = 2_000;
/** Four words in the time of a lease, whatever that is, and one a minute at least. */
const wordsInALease = 4;
const longestSilenceMs = 60_000;
const callLimitMs = 15_000;
/** What is said while another has such a lease, or a task runs on the VM. */
const busyFaults = ['TaskInProgress', 'InvalidState', 'MethodDisabled'];
const mostDisks = 256;

export class NfcLease {
  readonly disks: readonly LeasedDisk[];
  readonly #session: VsphereSession;
  readonly #ref: ManagedRef;
  readonly #note: Note | undefined;
  readonly #timer: NodeJS.Timeout;
  #lives = true;

  private constructor({ session, percent }: LeaseOptions, made: Made, info: XmlElement) {
    this.#session = session;
    this.#ref = made.ref;
    this.#note = made.note;
    this.disks = childrenOf(info, 'deviceUrl')
      .filter((one) => isTrueAt(one, 'disk'))
      .slice(0, mostDisks)
      .map((one) => ({
        key: plainAt(one, 'key'),
        url: textOf(one, 'url'),
        thumbprint: plainAt(one, 'sslThumbprint'),
      }));
    const leaseMs = (countAt(info, 'leaseTimeout') || 300) * 1000;
    const everyMs = Math.min(longestSilenceMs, leaseMs / wordsInALease);
    this.#timer = setInterval(() => void this.#keepAlive(percent()), everyMs).unref();
  }

  /**
   * Waits while another has a lease on the VM, which may be that of a reader that was killed. Rejects with VmFerryError:
   * `vsphere-busy`, `vsphere-disk-locked` if the VM runs, `vsphere-no-permission`, `vm-not-found`.
   */
  static async open(options: LeaseOptions): Promise<NfcLease> {
    const ref = await begin(options);
    const { label, session } = options;
    const note = label === undefined ? undefined : await leaveNote(label, session.host, ref);
    const made = { ref, note };
    try {
      return new NfcLease(options, made, await readyInfo(options, ref));
    } catch (error) {
      // The first failure is told; a lease that could not be ended runs out by itself.
      await endLease(session, made, 'HttpNfcLeaseAbort').catch(() => undefined);
      throw error;
    }
  }

  /** Whether it may give out more; one that ran out is told by the next word at the latest. */
  get lives(): boolean {
    return this.#lives;
  }

  /** Nothing more is to be had from it, the server says. */
  giveUp(): void {
    this.#lives = false;
    clearInterval(this.#timer);
  }

  /** `whole`: all of what was wanted was read. Rejects with VmFerryError if that could not be said. */
  async end({ whole }: { whole: boolean }): Promise<void> {
    this.giveUp();
    const verb = whole ? 'HttpNfcLeaseComplete' : 'HttpNfcLeaseAbort';
    await endLease(this.#session, { ref: this.#ref, note: this.#note }, verb);
  }

  async #keepAlive(percent: number): Promise<void> {
    try {
      const given = [value('percent', percent)];
      const options = { timeoutMs: callLimitMs };
      await this.#session.callPlainly('HttpNfcLeaseProgress', this.#ref, given, options);
    } catch (error) {
      // It ran out, or belonged to a login that did. Whatever else fails is tried again before it does.
      if (isFault(error, 'ManagedObjectNotFound', 'InvalidState', 'Timedout')) this.giveUp();
    }
  }
}

interface Made {
  ref: ManagedRef;
  note: Note | undefined;
}

async function begin({ session, vm, explain, signal }: LeaseOptions): Promise<ManagedRef> {
  const what = `export ${vm.name} (${vm.id}) by NFC`;
  const end = performance.now() + busyLimitMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      const response = await session.callPlainly('ExportVm', vmRef(vm.id), [], { signal });
      const ref = referenceAt(response, 'returnval');
      if (ref !== undefined) return ref;
      throw busy(session, what, 'no lease was given');
    } catch (error) {
      if (isFault(error, 'InvalidPowerState')) throw (await explain('NFC', error)) ?? error;
      // A lost answer is no unknown outcome here: a lease that nobody speaks of runs out.
      if (!isFault(error, ...busyFaults)) throw session.fault(error, 'ExportVm', { what });
      if (performance.now() > end) throw busy(session, what, 'something else goes on with it');
    }
    await delay(pauseMs, undefined, { signal });
  }
}

async function readyInfo(
  { session, vm, signal }: LeaseOptions,
  ref: ManagedRef,
): Promise<XmlElement> {
  const what = `export ${vm.name} (${vm.id}) by NFC`;
  const end = performance.now() + readyLimitMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const found = await propertiesOf(session, ref, ['state', 'info', 'error'], { what, signal });
    const info = found.get('info');
    const state = found.text('state');
    if (state === 'ready' && info !== undefined) return info;
    if (state === 'error' || state === 'done') {
      const error = toldError('the lease failed', what, found.get('error'));
      throw session.fault(error, 'ExportVm', { what });
    }
    if (performance.now() > end) throw busy(session, what, 'its lease does not become ready');
    await delay(pauseMs, undefined, { signal });
  }
}

async function endLease(session: VsphereSession, { ref, note }: Made, verb: string): Promise<void> {
  try {
    await session.callPlainly(verb, ref, [], { timeoutMs: callLimitMs });
  } catch (error) {
    // It ran out, or belongs to a login that did and runs out.
    if (!isFault(error, 'ManagedObjectNotFound', 'InvalidState'))
      throw session.fault(error, verb, { what: 'end an export by NFC' });
  }
  await note?.remove();
}

const busy = (session: VsphereSession, what: string, why: string): Error =>
  transient({
    code: 'vsphere-busy',
    message: `could not ${what}: ${why}`,
    remedy:
      'It is tried again by itself. A lease of a reader that was killed ends within minutes; look at the running tasks of the VM.',
    host: session.host,
  });

/** Ends a lease that a killed reader left, where its server lets another login do that. Rejects with VmFerryError. */
export async function endLeftLease(session: VsphereSession, note: Note): Promise<void> {
  // One of another server, or a note that was cut off, is not looked after: every lease runs out.
  if (note.host !== session.host) {
    await note.remove();
    return;
  }
  await endLease(
    session,
    { ref: { type: 'HttpNfcLease', id: note.lease }, note },
    'HttpNfcLeaseAbort',
  );
}
