import type { LiveProgress } from '../domain/live.ts';
import type { DiskProgress, MoveReport } from '../domain/move.ts';
import type { MoveStatus } from './ferry.ts';

/** Over less, the rate would jump about. */
const rateOverMs = 2000;

type Bulk = 'copy' | 'verify' | undefined;

const bulkOf = (report: MoveReport): Bulk => {
  const running = (name: 'copy' | 'verify'): boolean =>
    report.steps.some((step) => step.name === name && step.state === 'running');
  return running('copy') ? 'copy' : running('verify') ? 'verify' : undefined;
};

const share = (disk: DiskProgress): number =>
  disk.totalBytes > 0 ? disk.doneBytes / disk.totalBytes : 1;

/**
 * Keeps every disk in view. Progress comes with the heartbeats of what runs just now: a disk that is done, or whose
 * worker is being restarted, would vanish from the screen although its bytes did not.
 */
export class ProgressMemory {
  #bulk: Bulk;
  #disks = new Map<string, DiskProgress>();
  #live: LiveProgress | undefined;
  /** The look that a rate of disks is counted from, and the rate that was counted last. */
  #since: LiveProgress | undefined;
  #diskRate = 0;

  /** `status` with the progress of all disks that are known, in the report's order, and that of a live run. */
  next(status: MoveStatus): MoveStatus {
    return this.#withLive(this.#withDisks(status));
  }

  /** The last look at a live run, also while its worker says nothing. */
  #withLive(status: MoveStatus): MoveStatus {
    const { report, live } = status;
    const runs = report.steps.some(({ name, state }) => name === 'live' && state === 'running');
    this.#live = runs ? (live ?? this.#live) : undefined;
    if (live !== undefined) return { ...status, live: this.#rated(live) };
    if (this.#live === undefined) return status;
    const { etaMs: _, ...last } = this.#live;
    const outlook = `no word from ${report.source} just now; what libvirt has begun goes on by itself`;
    return { ...status, live: { ...last, bytesPerSecond: 0, dirtyBytesPerSecond: 0, outlook } };
  }

  /** libvirt tells no rate while disks are copied: it is what crossed from one look to a later one. */
  #rated(live: LiveProgress): LiveProgress {
    const onDisks = live.diskRemainingBytes > 0 && live.bytesPerSecond === 0;
    const since = this.#since;
    const ms = live.elapsedMs - (since?.elapsedMs ?? Infinity);
    if (!onDisks || since === undefined || ms < 0) {
      this.#since = live;
      this.#diskRate = 0;
      return live;
    }
    if (ms >= rateOverMs) {
      const crossed = Math.max(0, live.diskProcessedBytes - since.diskProcessedBytes);
      this.#diskRate = (crossed / ms) * 1000;
      this.#since = live;
    }
    return { ...live, bytesPerSecond: this.#diskRate };
  }

  #withDisks(status: MoveStatus): MoveStatus {
    const { report } = status;
    const bulk = bulkOf(report);
    if (bulk !== this.#bulk) this.#disks.clear();
    this.#bulk = bulk;
    if (bulk === undefined) return status;
    // Without a heartbeat nothing is known to move.
    for (const [name, disk] of this.#disks) this.#disks.set(name, { ...disk, bytesPerSecond: 0 });
    const beating = new Map<string, DiskProgress>();
    for (const disk of status.progress) {
      const other = beating.get(disk.name);
      // Copy and hash of one disk may run side by side: the one behind says how far the disk is.
      if (other === undefined || share(disk) < share(other)) beating.set(disk.name, disk);
    }
    if (bulk === 'copy') this.#rememberCopied(report);
    for (const [name, disk] of beating) this.#disks.set(name, disk);
    return { ...status, progress: this.#inOrder(report) };
  }

  #rememberCopied(report: MoveReport): void {
    for (const { name, capacityBytes, bytesCopied } of report.disks) {
      if (bytesCopied === 0) continue;
      const totalBytes = this.#disks.get(name)?.totalBytes ?? bytesCopied;
      const done = { name, capacityBytes, totalBytes, doneBytes: totalBytes, bytesPerSecond: 0 };
      this.#disks.set(name, done);
    }
  }

  #inOrder(report: MoveReport): DiskProgress[] {
    const order = report.disks.map(({ name }) => name);
    const place = (disk: DiskProgress): number => {
      const index = order.indexOf(disk.name);
      return index === -1 ? order.length : index;
    };
    return [...this.#disks.values()].sort((a, b) => place(a) - place(b));
  }
}
