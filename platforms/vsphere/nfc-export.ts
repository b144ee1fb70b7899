/** The disks of VMs by NFC: one lease for all disks of a VM, taken with the first byte and kept until the end. */
import type { ForeignDiskHandle, ForeignVm } from '../../domain/foreign.ts';
import { VmFerryError } from '../../domain/errors.ts';
import { stampsOf } from './datastore-look.ts';
import type { ExplainLoss } from './datastore-file.ts';
import { busOf } from './disks.ts';
import type { DiskView } from './disks.ts';
import { NfcDisk } from './nfc-disk.ts';
import { NfcLease } from './nfc-lease.ts';
import type { LeasedDisk } from './nfc-lease.ts';
import { openNfcStream } from './nfc-stream.ts';
import type { NfcStream } from './nfc-stream.ts';
import {
  assertFlat,
  assertOff,
  explainer,
  fingerprintOf,
  lookAtDisk,
  unreadable,
} from './open-disk.ts';
import type { Unfit } from './open-disk.ts';
import type { VsphereLogin, VsphereSession } from './session.ts';

export interface NfcExportsOptions {
  session: VsphereSession;
  login: Pick<VsphereLogin, 'trust' | 'localAddress'>;
  label: string | undefined;
}

export class NfcExports {
  readonly #options: NfcExportsOptions;
  readonly #exports = new Map<string, VmExport>();

  constructor(options: NfcExportsOptions) {
    this.#options = options;
  }

  /** Rejects with VmFerryError: `vsphere-disk-locked` unless the VM is off, `vsphere-disk-unreadable`, `disk-not-found`. */
  async open(vm: ForeignVm, key: string, signal?: AbortSignal): Promise<ForeignDiskHandle> {
    const { session } = this.#options;
    const { found, view } = await lookAtDisk(session, vm, key, signal);
    const unfit: Unfit = (why) => unreadable({ session, way: 'by NFC' }, view, why);
    assertFlat(vm, view, unfit);
    const explain = explainer(session, vm, view);
    await assertOff(found, explain);
    const marks = ['nfc', ...(await stampsOf(session, view, signal))];
    const exported = this.#exports.get(vm.id) ?? new VmExport(this.#options, vm, explain);
    this.#exports.set(vm.id, exported);
    return {
      source: exported.disk(view, unfit),
      fingerprint: fingerprintOf({ vm, view, found }, marks),
    };
  }

  /** Ends every stream and lease. Rejects with the first of what could not be said. */
  async close(): Promise<void> {
    const results = await Promise.allSettled([...this.#exports.values()].map((one) => one.close()));
    this.#exports.clear();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}

class VmExport {
  readonly #options: NfcExportsOptions;
  readonly #vm: ForeignVm;
  readonly #explain: ExplainLoss;
  readonly #disks = new Set<NfcDisk>();
  /** How far each disk's stream came, bytes, by its key. */
  readonly #places = new Map<string, { at: number; of: number }>();
  #lease: Promise<NfcLease> | undefined;

  constructor(options: NfcExportsOptions, vm: ForeignVm, explain: ExplainLoss) {
    this.#options = options;
    this.#vm = vm;
    this.#explain = explain;
  }

  disk(view: DiskView, unfit: Unfit): NfcDisk {
    const { capacityBytes, path, key } = view;
    const disk = new NfcDisk({
      ...{ sizeBytes: capacityBytes, what: path, host: this.#options.session.host },
      open: (signal) => this.#stream(view, unfit, signal),
      onPlace: (at) => this.#places.set(key, { at, of: capacityBytes }),
      explain: () => this.#explain('by NFC', undefined),
    });
    this.#disks.add(disk);
    return disk;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#disks].map((disk) => disk.close()));
    const lease = await this.#lease?.catch(() => undefined);
    this.#lease = undefined;
    const whole = [...this.#places.values()].every(({ at, of }) => at === of);
    await lease?.end({ whole });
  }

  async #stream(view: DiskView, unfit: Unfit, signal: AbortSignal): Promise<NfcStream> {
    const { session, login } = this.#options;
    const lease = await this.#living(signal);
    const disk = leasedDisk(lease.disks, view, this.#vm.disks.length);
    if (disk === undefined) throw unfit('the lease on its VM does not name it');
    this.#places.set(view.key, { at: 0, of: view.capacityBytes });
    try {
      return await openNfcStream({ session, login, what: view.path }, disk, signal);
    } catch (error) {
      // What was given out and is gone was the lease's.
      const isGone = error instanceof VmFerryError && error.code === 'source-unreachable';
      if (isGone && !signal.aborted) await this.#drop(lease);
      throw error;
    }
  }

  async #living(signal: AbortSignal): Promise<NfcLease> {
    const lease = await this.#lease;
    if (lease?.lives === true) return lease;
    if (lease !== undefined) await this.#drop(lease);
    const { session, label } = this.#options;
    const [vm, explain] = [this.#vm, this.#explain];
    const percent = (): number => this.#percent();
    const opening = NfcLease.open({ session, vm, label, explain, percent, signal });
    this.#lease = opening;
    opening.catch(() => {
      if (this.#lease === opening) this.#lease = undefined;
    });
    return await opening;
  }

  /** Ends one that is of no use any more; if that cannot be said, it runs out. */
  async #drop(lease: NfcLease): Promise<void> {
    this.#lease = undefined;
    await lease.end({ whole: false }).catch(() => undefined);
  }

  #percent(): number {
    const total = this.#vm.disks.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
    const read = [...this.#places.values()].reduce((sum, { at }) => sum + at, 0);
    return Math.min(100, Math.floor((100 * read) / Math.max(1, total)));
  }
}

/** By the controller and the place on it: `/vm-42/ParaVirtualSCSIController0:1`. A single one needs no name. */
function leasedDisk(
  disks: readonly LeasedDisk[],
  { bus, unit }: DiskView,
  count: number,
): LeasedDisk | undefined {
  const matching = disks.filter(({ key }) => {
    const [, type = '', controller, place] = /(\w+?Controller)(\d+):(\d+)$/.exec(key) ?? [];
    return (
      busOf(type) === bus && Number(controller) === unit.controller && Number(place) === unit.unit
    );
  });
  const [only, ...others] = count === 1 ? disks : matching;
  return others.length === 0 ? only : undefined;
}
