/** How far a copy or a hash is. */
export interface Progress {
  /** Bytes that have to be handled in all, those of earlier attempts included. */
  totalBytes: number;
  doneBytes: number;
  /** Over the last five seconds or so. */
  bytesPerSecond: number;
}

const everyMs = 250;
const windowMs = 5000;

/** Counts bytes and tells a listener about it, at most every 250 ms. */
export class ProgressMeter {
  readonly #listen: ((progress: Progress) => void) | undefined;
  readonly #totalBytes: number;
  #doneBytes: number;
  #samples: { atMs: number; doneBytes: number }[];
  #toldAtMs = -Infinity;

  constructor(
    listen: ((progress: Progress) => void) | undefined,
    start: { totalBytes: number; doneBytes: number },
  ) {
    this.#listen = listen;
    this.#totalBytes = start.totalBytes;
    this.#doneBytes = start.doneBytes;
    this.#samples = [{ atMs: performance.now(), doneBytes: start.doneBytes }];
  }

  add(bytes: number): void {
    this.#doneBytes += bytes;
    if (performance.now() - this.#toldAtMs >= everyMs) this.tell();
  }

  /** Tells the listener now: at the beginning and the end. */
  tell(): void {
    const now = performance.now();
    this.#toldAtMs = now;
    this.#samples.push({ atMs: now, doneBytes: this.#doneBytes });
    this.#samples = this.#samples.filter(({ atMs }) => now - atMs <= windowMs);
    const [oldest] = this.#samples;
    const passedMs = oldest === undefined ? 0 : now - oldest.atMs;
    const bytes = this.#doneBytes - (oldest?.doneBytes ?? 0);
    this.#listen?.({
      totalBytes: this.#totalBytes,
      doneBytes: this.#doneBytes,
      bytesPerSecond: passedMs > 0 ? Math.round((bytes * 1000) / passedMs) : 0,
    });
  }
}
