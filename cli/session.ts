import type { Config } from '../config/schema.ts';
import { ExitCode } from './exit-code.ts';
import type { Ferry } from './ferry.ts';
import { operatorOf } from './operator.ts';
import { viewFor } from './render/theme.ts';
import type { View } from './render/theme.ts';
import { shellWord } from './render/text.ts';
import type { Terminal } from './terminal.ts';

export interface Globals {
  config?: string;
  logLevel?: string;
  /** What `--operator` said. */
  operator?: string;
}

/** What lies behind the commands; loaded only when one needs it, so that `--help` stays quick. */
export interface Backend {
  /** The configuration, with `--log-level` applied. Throws codes `config-...`. */
  loadConfig(globals: Globals): Promise<Config>;
  /** `operator` stands behind every order that is given through the client. */
  connect(config: Config, operator: string): Promise<Ferry>;
  /** Runs until the process is told to stop. */
  runWorker(kind: 'control' | 'host' | 'codec-server', config: Config): Promise<void>;
  /** Reads every encryption key; gives their IDs, the active one first. Throws where one cannot be used. */
  readKeys(config: Config): Promise<string[]>;
}

/** One run of the command line: what its commands share. */
export class Session {
  readonly terminal: Terminal;
  readonly backend: Backend;
  globals: Globals = {};
  /** `json` where the person asked for it by `-o json`. */
  output: 'text' | 'json' = 'text';
  exitCode: number = ExitCode.done;

  constructor(terminal: Terminal, backend: Backend) {
    this.terminal = terminal;
    this.backend = backend;
  }

  /** Who gives the orders of this run. Throws `usage`. */
  get operator(): string {
    return operatorOf(this.terminal.env, this.globals.operator);
  }

  /** The way to call vmferry again as it was called now, for commands that are suggested. */
  get command(): string {
    const { config } = this.globals;
    return config === undefined ? 'vmferry' : `vmferry --config ${shellWord(config)}`;
  }

  get view(): View {
    const { out, env } = this.terminal;
    return viewFor({ isTTY: out.isTTY, columns: out.columns, env }, this.command);
  }

  get errorView(): View {
    const { err, env } = this.terminal;
    return viewFor({ isTTY: err.isTTY, columns: err.columns, env }, this.command);
  }

  print(lines: readonly string[]): void {
    if (lines.length > 0) this.terminal.out.write(`${lines.join('\n')}\n`);
  }

  /** For what is not the result: a pipe on stdout does not see it. */
  remark(lines: readonly string[]): void {
    if (lines.length > 0) this.terminal.err.write(`${lines.join('\n')}\n`);
  }

  printJson(value: unknown): void {
    this.terminal.out.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** Connects, does `work` and closes the connection whatever happens. */
  async withFerry<T>(work: (ferry: Ferry) => Promise<T>): Promise<T> {
    const { operator } = this;
    const ferry = await this.backend.connect(await this.backend.loadConfig(this.globals), operator);
    try {
      return await work(ferry);
    } finally {
      await ferry.close();
    }
  }
}
