// @ts-check
/** Child processes of the scripts: bounded in time, their last lines kept for error messages, signals passed on. */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/** How many of a command's lines an error shows, most of them the last. */
const keptLines = 20;
/** How long a child may take to end after it was asked to, ms. */
const graceMs = 60_000;
const minute = 60_000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set();
/** @type {NodeJS.Signals | undefined} */
let stopping;

/** Somebody stopped us: the children have ended, and the exit code says by which signal. */
export class Interrupted extends Error {
  /** @param {NodeJS.Signals} signal */
  constructor(signal) {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + (osConstants.signals[signal] ?? 0);
  }
}

/** A command that ended badly, with what it said last. */
export class CommandFailed extends Error {
  /**
   * @param {string} commandLine
   * @param {string} outcome `exit code 1`, `signal SIGKILL`, `more than 600 s`, `not found`
   * @param {string[]} lastLines
   */
  constructor(commandLine, outcome, lastLines) {
    super(`${commandLine}: ${outcome}${lastLines.map((line) => `\n  | ${line}`).join('')}`);
    this.commandLine = commandLine;
    this.outcome = outcome;
    this.lastLines = lastLines;
  }
}

/**
 * Passes SIGINT, SIGTERM and SIGHUP to the children and lets them end in order; run() then throws Interrupted.
 * A terminal's Ctrl-C reaches the children by itself: twice would make many programs give up their clean-up.
 */
export function forwardSignals() {
  for (const signal of /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      const first = stopping === undefined;
      stopping = signal;
      const fromTerminal = signal === 'SIGINT' && process.stdin.isTTY === true;
      for (const child of children) {
        if (!fromTerminal) child.kill(signal);
        if (first) setTimeout(() => child.kill('SIGKILL'), graceMs).unref();
      }
      if (children.size === 0) process.exit(new Interrupted(signal).exitCode);
    });
  }
}

/** Tells a child who runs it, so that it can end with that (endWithParent). */
const runnerVariable = 'VMFERRY_RUNNER_PID';
const parentLookMs = 1000;

/**
 * Ends this process by SIGTERM soon after a parent of ours, or npm, has ended: killed with -9, they tell nobody, and a
 * test run would go on for half an hour. Whoever started this in another way may leave.
 */
export function endWithParent() {
  const parent = process.ppid;
  const isOurs = process.env[runnerVariable] === String(parent);
  if (!isOurs && process.env.npm_lifecycle_event === undefined) return;
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM');
  }, parentLookMs).unref();
}

/**
 * @typedef {object} RunOptions
 * @property {boolean} [through] the child uses our terminal; its exit code is returned and never thrown
 * @property {boolean} [quietFailure] return the exit code instead of throwing
 * @property {number} [timeoutMs] default: 30 minutes; with `through`: none but the person's patience
 * @property {NodeJS.ProcessEnv} [env] added to ours
 * @property {(text: string) => void} [onOutput] sees all output as it comes
 */

/**
 * Runs a program in the checkout, without a shell. Throws CommandFailed on any other end than exit code 0.
 * @param {string} program
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<number>} the exit code
 */
export async function run(program, args, options = {}) {
  const { through = false, quietFailure = through, onOutput } = options;
  const timeoutMs = options.timeoutMs ?? (through ? undefined : 30 * minute);
  const commandLine = [program, ...args].join(' ');
  const child = spawn(program, args, {
    cwd: root,
    env: { ...childEnvironment(), [runnerVariable]: String(process.pid), ...options.env },
    stdio: through ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const tail = new Tail();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      tail.add(text);
      onOutput?.(text);
    });
  }
  let timedOut = false;
  const timers =
    timeoutMs === undefined
      ? []
      : [
          setTimeout(() => {
            timedOut = true;
            child.kill('SIGTERM');
          }, timeoutMs),
          setTimeout(() => child.kill('SIGKILL'), timeoutMs + graceMs),
        ];
  const outcome = await ended(child).finally(() => {
    for (const timer of timers) clearTimeout(timer);
    children.delete(child);
  });
  if (stopping !== undefined) throw new Interrupted(stopping);
  if (timedOut) throw new CommandFailed(commandLine, `more than ${timeoutMs} ms`, tail.lines());
  if (typeof outcome === 'string') throw new CommandFailed(commandLine, outcome, tail.lines());
  if (outcome !== 0 && !quietFailure) {
    throw new CommandFailed(commandLine, `exit code ${outcome}`, tail.lines());
  }
  return outcome;
}

/** Like run(), but gives what the program wrote to stdout and stderr. Never throws on an exit code.
 * @param {string} program
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{ code: number, output: string }>}
 */
export async function capture(program, args, options = {}) {
  let output = '';
  const onOutput = (/** @type {string} */ text) => void (output += text);
  const code = await run(program, args, { ...options, onOutput, quietFailure: true });
  return { code, output };
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<number | string>} exit code, or how else it ended
 */
const ended = (child) =>
  new Promise((resolve) => {
    child.once('error', (error) => {
      const missing = 'code' in error && error.code === 'ENOENT';
      resolve(missing ? 'not found' : error.message);
    });
    child.once('close', (code, signal) => resolve(code ?? `signal ${signal}`));
  });

/** The first and last lines of a stream of text, in bounded memory: some programs end with pages of help. */
class Tail {
  #head = '';
  #text = '';

  /** @param {string} text */
  add(text) {
    if (this.#head.length < 2048) this.#head += text.slice(0, 2048);
    this.#text = (this.#text + text).slice(-16_384);
  }

  lines() {
    const lines = (/** @type {string} */ text) =>
      text.split(/\r?\n/).filter((line) => line.trim() !== '');
    const last = lines(this.#text);
    if (last.length <= keptLines) return last;
    const first = lines(this.#head).slice(0, keptLines / 4);
    return [...first, '...', ...last.slice(first.length - keptLines)];
  }
}

/** npm and pip want a home to keep caches in; a bare service account or CI job may have none. */
function childEnvironment() {
  const env = { ...process.env };
  if (!isWritableFolder(env.HOME)) {
    env.HOME = join(root, '.tools/home');
    mkdirSync(env.HOME, { recursive: true });
  }
  return env;
}

/** @param {string | undefined} path */
function isWritableFolder(path) {
  if (path === undefined || path === '') return false;
  try {
    accessSync(path, constants.W_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Puts a folder first on our PATH and so on that of every child.
 * @param {string} folder
 */
export function putFirstOnPath(folder) {
  const rest = (process.env.PATH ?? '').split(delimiter).filter((one) => one !== folder);
  process.env.PATH = [folder, ...rest].join(delimiter);
}

/** The program's path, searched on PATH and in the folders that a plain user's PATH often lacks.
 * @param {string} program
 */
export function findProgram(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
      } catch {
        return false;
      }
    });
}
