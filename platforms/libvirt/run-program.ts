/** A short-lived program of the host, without a shell, that may get an open file of ours as descriptor 3. */
import { spawn } from 'node:child_process';

export interface ProgramResult {
  /** It was not there, ended with another status than 0, was too slow, or said too much. */
  failed: boolean;
  /** It is not installed. */
  missing: boolean;
  stdout: string;
  stderr: string;
}

export interface ProgramOptions {
  /** Ended by SIGKILL after this long. */
  timeoutMs: number;
  signal?: AbortSignal;
  /** A descriptor of this process that it gets as its descriptor 3. (execa cannot hand one over.) */
  descriptor?: number;
}

/** More output than this ends the program: nothing that is run here says so much. */
const maxOutputBytes = 1024 * 1024;

/** Runs it to its end. Rejects only with the signal's reason; every other failure is in the result. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { timeoutMs, signal, descriptor }: ProgramOptions,
): Promise<ProgramResult> {
  signal?.throwIfAborted();
  const child = spawn(program, args, {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe', ...(descriptor === undefined ? [] : [descriptor])],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    ...(signal === undefined ? {} : { signal }),
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      if (said[name].length + text.length > maxOutputBytes) child.kill('SIGKILL');
      else said[name] += text;
    });
  }
  const { missing, status } = await new Promise<{ missing: boolean; status: number | null }>(
    (resolve) => {
      // An abort shows as an error too, before or after the program's end: the signal itself is asked below.
      child.once('error', (error: NodeJS.ErrnoException) => {
        if (child.pid === undefined) resolve({ missing: error.code === 'ENOENT', status: null });
      });
      child.once('close', (code) => resolve({ missing: false, status: code }));
    },
  );
  signal?.throwIfAborted();
  return { ...said, missing, failed: status !== 0 };
}
