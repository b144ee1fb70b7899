/**
 * Which QEMU ran when and where, told by the emulator of the lab's guests (inside/qemu-system-x86_64) and by the kernel:
 * neither vmferry nor libvirt has a say in it. All times are CLOCK_MONOTONIC of the one kernel, so hosts compare.
 */
import { constants, openSync, readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';

/** One life of a QEMU process. */
export interface Run {
  host: string;
  uuid: string;
  pid: number;
  startNs: bigint;
  /** When its end was noticed, a moment after it; absent while it lives. */
  endNs?: bigint;
  /** Whether another QEMU of the same VM lived anywhere in the lab when this one started: a split brain. */
  beside: boolean;
}

/** Follows the witness's log of a lab and adds the ends of the guests to it. */
export class RunLog {
  readonly #folder: string;
  readonly #runs: Run[] = [];
  readonly #watcher: ReturnType<typeof watch>;
  readonly #pipes = new Set<Socket>();
  #wake = Promise.withResolvers<undefined>();
  #readBytes = 0;
  #closed = false;

  private constructor(dir: string) {
    this.#folder = join(dir, 'witness');
    this.#watcher = watch(this.#folder, () => this.#read());
    this.#read();
  }

  /** Follows the lab in that folder until `close`; runs that began before are known too. */
  static follow(lab: { dir: string }): RunLog {
    return new RunLog(lab.dir);
  }

  /** All runs of a VM so far, in order of their start. */
  of(uuid: string): readonly Run[] {
    this.#read();
    return this.#runs.filter((run) => run.uuid === uuid);
  }

  /** Resolves with the first run of the VM that fits; rejects after `timeoutMs`. */
  async until(
    uuid: string,
    fits: (run: Run) => boolean,
    { timeoutMs, what }: { timeoutMs: number; what: string },
  ): Promise<Run> {
    const late = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = this.of(uuid).find(fits);
      if (found !== undefined) return found;
      if (late.aborted) throw new Error(`waited ${timeoutMs / 1000} s for ${what}`);
      const given = Promise.withResolvers<undefined>();
      late.addEventListener('abort', () => given.resolve(undefined), { once: true });
      await Promise.race([this.#wake.promise, given.promise]);
    }
  }

  /** Keeps each start of the VM in its middle, libvirt waiting for QEMU, until the result is called; a minute at most. */
  hold(uuid: string): () => void {
    const file = join(this.#folder, `hold-${uuid}`);
    writeFileSync(file, '');
    return () => rmSync(file, { force: true });
  }

  close(): void {
    this.#closed = true;
    this.#watcher.close();
    for (const pipe of this.#pipes) pipe.destroy();
  }

  #notify(): void {
    this.#wake.resolve(undefined);
    this.#wake = Promise.withResolvers();
  }

  #read(): void {
    const log = join(this.#folder, 'runs.log');
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) <= this.#readBytes) return;
    const text = readFileSync(log, 'latin1');
    const fresh = text.slice(this.#readBytes, text.lastIndexOf('\n') + 1);
    this.#readBytes += fresh.length;
    for (const line of fresh.split('\n')) this.#take(line);
    this.#notify();
  }

  #take(line: string): void {
    const [kind, ns = '0', host = '', uuid = '', pid = '0', company] = line.split(' ');
    if (kind !== 'start') return;
    const run: Run = {
      host,
      uuid,
      pid: Number(pid),
      startNs: BigInt(ns),
      beside: company !== 'alone',
    };
    this.#runs.push(run);
    this.#awaitEnd(run);
  }

  /** The pipe has an end in QEMU as long as that lives, and none from the moment the kernel has closed its files. */
  #awaitEnd(run: Run): void {
    const path = join(this.#folder, `${run.uuid}.${run.pid}.life`);
    let descriptor: number;
    try {
      descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      // An earlier follower saw its end.
      run.endNs = run.startNs;
      return;
    }
    const pipe = new Socket({ fd: descriptor, readable: true, writable: false });
    this.#pipes.add(pipe);
    pipe.resume();
    pipe.once('end', () => {
      run.endNs = process.hrtime.bigint();
      rmSync(path, { force: true });
      const { endNs, host, uuid, pid } = run;
      const line = `exit ${endNs} ${host} ${uuid} ${pid}\n`;
      appendFile(join(this.#folder, 'runs.log'), line).catch(() => undefined);
      this.#notify();
    });
    pipe.once('close', () => this.#pipes.delete(pipe));
    pipe.on('error', (error) => {
      if (!this.#closed) throw error;
    });
  }
}
