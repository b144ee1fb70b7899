/**
 * A conversation with guestfish: one appliance, several questions. Commands are written to its standard input, one a
 * line, never through a shell; an answer is what it prints up to a mark that is asked for behind the commands.
 */
import type { Writable } from 'node:stream';
import { permanent } from '../domain/errors.ts';
import { runLabelled } from './labelled-process.ts';
import type { RunEnd } from './labelled-process.ts';

export interface GuestfishOptions {
  id: string;
  /** Absolute paths of qcow2 overlays, in the VM's order; written to. */
  overlays: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  limitMs: number;
  /** `--key` arguments of `keyArguments`. */
  keyArguments?: readonly string[];
  signal?: AbortSignal;
  onLog?: (text: string) => void;
  /** `guestfish` if absent. */
  program?: string;
}

export interface GuestfishEnd extends RunEnd {
  /** What it wrote to standard error, the end of it. */
  complaint: string;
}

/** Answers are lists of names and numbers. */
const maxAnswerLength = 1024 * 1024;
const maxComplaintLength = 16 * 1024;

export type Ask = (commands: readonly string[]) => Promise<string[]>;

/**
 * Mounts the guest's file systems as its own fstab has them and has `converse` ask what it wants. A command that
 * fails ends it, unless it begins with `-`. Rejects with what `converse` throws, and with the signal's reason.
 */
export async function withGuestfish(
  options: GuestfishOptions,
  converse: (ask: Ask) => Promise<void>,
): Promise<GuestfishEnd> {
  const answers = new Answers();
  let complaint = '';
  let conversation: Promise<void> = Promise.resolve();
  const images = options.overlays.flatMap((path) => ['--format=qcow2', '-a', path]);
  const { id, env, cwd, limitMs, signal, onLog, keyArguments = [] } = options;
  const end = await runLabelled({
    ...{ id, env, cwd, limitMs, ...(signal && { signal }) },
    program: options.program ?? 'guestfish',
    args: ['--rw', ...keyArguments, ...images, '-i'],
    onOutput: (text, stream) => {
      if (stream === 'stdout') answers.read(text);
      else complaint = (complaint + text).slice(-maxComplaintLength);
      onLog?.(text);
    },
    talk: (input) => {
      // Answers that never come are refused once it has ended, so this ends, too.
      conversation = answers.converse(input, converse);
      conversation.catch(() => undefined);
    },
  });
  answers.end();
  await conversation.catch((error: unknown) => {
    // That it ended early is told by its status; what it was asked for wrongly is not.
    if (!(error instanceof GuestfishGone)) throw error;
  });
  return { ...end, complaint };
}

class GuestfishGone extends Error {}

class Answers {
  #text = '';
  #waiting:
    { mark: string; resolve: (text: string) => void; reject: (e: Error) => void } | undefined;
  #count = 0;
  #ended = false;

  read(text: string): void {
    this.#text = (this.#text + text).slice(-maxAnswerLength);
    const waiting = this.#waiting;
    const at = waiting === undefined ? -1 : this.#text.indexOf(`${waiting.mark}\n`);
    if (waiting === undefined || at === -1) return;
    const answer = this.#text.slice(0, at);
    this.#text = this.#text.slice(at + waiting.mark.length + 1);
    this.#waiting = undefined;
    waiting.resolve(answer);
  }

  end(): void {
    this.#ended = true;
    this.#waiting?.reject(new GuestfishGone('guestfish ended'));
  }

  async converse(input: Writable, converse: (ask: Ask) => Promise<void>): Promise<void> {
    try {
      await converse(async (commands) => {
        if (this.#ended) throw new GuestfishGone('guestfish ended');
        const mark = `== vmferry ${(this.#count += 1)} ==`;
        const answer = new Promise<string>((resolve, reject) => {
          this.#waiting = { mark, resolve, reject };
        });
        input.write([...commands, `echo "${mark}"`, ''].join('\n'));
        return (await answer).split('\n').slice(0, -1);
      });
    } finally {
      input.end();
    }
  }
}

/** An argument as guestfish reads it. Throws `guest-path-unusable` for what its quotes could not hold. */
export function quoted(text: string): string {
  // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
  if (!/["\\\u0000-\u001F\u007F]/.test(text) && text.length <= 4096) return `"${text}"`;
  throw permanent({
    code: 'guest-path-unusable',
    message: `${JSON.stringify(text.slice(0, 200))} is no path that can be handled inside a guest`,
    remedy: 'Rename it inside the guest.',
  });
}
