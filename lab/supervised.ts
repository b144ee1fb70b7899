import type { ChildProcess } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { once } from 'node:events';

/** How soon an ended process is started again, ms; what systemd's `Restart=always` does on a real host. */
const restartMs = 300;
const stopMs = 15_000;

export interface SupervisedOptions {
  name: string;
  /** Where its output goes. */
  logPath: string;
  /** Starts it with its output to this descriptor. */
  launch: (output: number) => ChildProcess;
  /** Started again whenever it ends by itself or is killed. */
  restart: boolean;
}

/** A process that is watched over: started, killed by tests, started again, stopped in order. */
export class Supervised {
  readonly name: string;
  readonly logPath: string;
  readonly #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #wanted = false;
  #timer: NodeJS.Timeout | undefined;
  /** How often it was started. */
  starts = 0;

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.logPath = options.logPath;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Whether it is started again by itself after an end. */
  get comesBack(): boolean {
    return this.#wanted && this.#options.restart;
  }

  start(): void {
    this.#wanted = true;
    if (this.#child !== undefined) return;
    const output = openSync(this.logPath, 'a');
    const child = this.#options.launch(output);
    closeSync(output);
    this.starts += 1;
    this.#child = child;
    const ended = (): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#wanted || !this.#options.restart) return;
      this.#timer = setTimeout(() => {
        if (this.#wanted) this.start();
      }, restartMs);
    };
    child.once('exit', ended);
    child.once('error', ended);
  }

  /** kill -9, as a crash would; it comes back if it is to be restarted. Resolves when it is dead. */
  async kill9(options: { stayDown?: boolean } = {}): Promise<void> {
    if (options.stayDown === true) this.#wanted = false;
    await this.#end('SIGKILL');
  }

  /** SIGTERM, then SIGKILL after a while; it stays down. */
  async stop(): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) return;
    const late = setTimeout(() => child.kill('SIGKILL'), stopMs);
    await this.#end('SIGTERM');
    clearTimeout(late);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}
