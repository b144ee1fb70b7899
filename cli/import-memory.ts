import type { ImportStatus } from '../domain/import.ts';

/**
 * Keeps disks and stage of an import in view. They come with the heartbeats of what runs just now: between two, or
 * while a worker is being restarted, they would vanish from the screen although their bytes did not.
 */
export class ImportMemory {
  #last: ImportStatus | undefined;

  next(status: ImportStatus): ImportStatus {
    const last = this.#last?.report.phase === status.report.phase ? this.#last : undefined;
    const said = new Map(status.progress.map((disk) => [disk.name, disk]));
    // Without a heartbeat nothing is known to move.
    const silent = (last?.progress ?? []).map((disk) => ({ ...disk, bytesPerSecond: 0 }));
    const kept = silent.map((disk) => said.get(disk.name) ?? disk);
    const known = new Set(silent.map(({ name }) => name));
    const progress = [...kept, ...status.progress.filter(({ name }) => !known.has(name))];
    const conversion = status.conversion ?? last?.conversion;
    const next = { ...status, progress, ...(conversion === undefined ? {} : { conversion }) };
    this.#last = next;
    return next;
  }
}
