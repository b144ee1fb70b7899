/** The way of a conversion as virt-v2v tells it, line by line. */

export interface ConversionProgress {
  /** The tool's own words: `Inspecting the source`. */
  stage: string;
  /** Of this stage, where the tool tells; 0 to 100. */
  percent?: number;
  /** Since the tool started, ms. */
  elapsedMs: number;
}

/** A line without an end is bars and noise: no more of it is kept. */
const maxLineLength = 4096;
const maxStageLength = 200;

/**
 * Takes output as it comes and tells of stages and percentages. Stages are `[  37.0] Converting ...` on standard
 * output; bars are `\r`-separated on standard error: ` 45% [****----] 00:00`.
 */
export class StageReader {
  readonly #tell: (progress: ConversionProgress) => void;
  #stage = 'starting';
  #elapsedMs = 0;
  #rest = '';

  constructor(tell: (progress: ConversionProgress) => void) {
    this.#tell = tell;
  }

  get stage(): string {
    return this.#stage;
  }

  read(text: string): void {
    const lines = (this.#rest + text).split(/[\r\n]+/);
    this.#rest = (lines.pop() ?? '').slice(-maxLineLength);
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    const stage = /^\[\s*(\d+(?:\.\d+)?)\] (.+)$/.exec(line);
    if (stage !== null) {
      this.#elapsedMs = Math.round(Number(stage[1]) * 1000);
      this.#stage = (stage[2] ?? '').slice(0, maxStageLength);
      this.#tell({ stage: this.#stage, elapsedMs: this.#elapsedMs });
      return;
    }
    const percent = /^\s*(\d{1,3})% /.exec(line)?.[1];
    if (percent === undefined || Number(percent) > 100) return;
    this.#tell({ stage: this.#stage, elapsedMs: this.#elapsedMs, percent: Number(percent) });
  }
}
