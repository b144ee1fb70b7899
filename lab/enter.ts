import type { StdioOptions } from 'node:child_process';

export interface ExecOptions {
  /** After this the command is killed and the call fails. */
  timeoutMs: number;
  /** False: a failure is a result, not an exception. */
  reject?: boolean;
  env?: NodeJS.ProcessEnv;
  /** Working folder as seen inside; default /. */
  cwd?: string;
  input?: string | Uint8Array;
}

/** How a command inside ended. */
export interface ExecResult {
  stdout: string;
  stderr: string;
  /** Undefined if a signal ended it. */
  exitCode: number | undefined;
  failed: boolean;
  timedOut: boolean;
}

export interface SpawnOptions {
  env?: NodeJS.ProcessEnv;
  stdio?: StdioOptions;
  cwd?: string;
  /** True: it gets a session of its own and outlives a Ctrl-C at this terminal. */
  detached?: boolean;
}
