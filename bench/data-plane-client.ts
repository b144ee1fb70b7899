import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { LabHost } from '../lab/host.ts';
import type { Answer, DataPlaneOrder } from './data-plane-orders.ts';

const program = fileURLToPath(new URL('data-plane-process.ts', import.meta.url));
/** An order copies a disk at most; far above what the slowest machine needs. */
const orderTimeoutMs = 300_000;
const stopTimeoutMs = 10_000;

/** The data path of one host of the lab, in a process of its own there. One order at a time. */
export class DataPlaneClient {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error('the data path process has no stdout');
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** `dir` gets its configuration; `nodeArguments` come before the program. */
  static async start(
    host: LabHost,
    dir: string,
    nodeArguments: readonly string[] = [],
  ): Promise<DataPlaneClient> {
    await mkdir(dir, { recursive: true });
    const configPath = join(dir, `data-plane-${host.name}.yaml`);
    const section = { name: host.name, migrationAddress: host.address };
    await writeFile(configPath, stringify({ host: section }));
    const command = [process.execPath, ...nodeArguments, program, configPath];
    const child = host.spawn(command, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child, 'spawn');
    return new DataPlaneClient(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Rejects with the process's own words if it could not obey. */
  async order(order: DataPlaneOrder): Promise<Answer> {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    const late = new Promise<never>((_resolve, reject) => {
      const say = () => reject(new Error(`no answer to ${order.do} in ${orderTimeoutMs / 1000} s`));
      setTimeout(say, orderTimeoutMs).unref();
    });
    const line = await Promise.race([this.#answers.next(), late]);
    if (line.done === true) throw new Error(`the data path process ended during ${order.do}`);
    const answer = JSON.parse(line.value) as Answer;
    if (answer.failed !== undefined) throw new Error(`${order.do}: ${answer.failed}`);
    return answer;
  }

  /** Ends the process; exports that it opened live on until they are closed by order. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs);
    await exited;
    clearTimeout(timer);
  }
}
