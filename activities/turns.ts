/** Lets a few act at a time; the others wait in line, each as long as its own signal lets it. */
export class Turns {
  #atOnce: number;
  /** Below zero while more act than may by now. */
  #free: number;
  readonly #line: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
    this.#free = atOnce;
  }

  /** Those who act go on; from now on so many do at a time. */
  resize(atOnce: number): void {
    this.#free += atOnce - this.#atOnce;
    this.#atOnce = atOnce;
    this.#letGo();
  }

  /** Rejects with the signal's reason if it aborts while waiting; what acts is not ended by it. */
  async take<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    await this.#wait(signal);
    try {
      return await act();
    } finally {
      this.#free += 1;
      this.#letGo();
    }
  }

  #letGo(): void {
    while (this.#free > 0) {
      const next = this.#line.shift();
      if (next === undefined) return;
      this.#free -= 1;
      next();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#line.splice(this.#line.indexOf(go), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#line.push(go);
    });
  }
}
