/** What proves that a rehearsed guest came up: asked again and again until it does, the guest ends, or time is up. */
import { connect } from 'node:net';
import type { TcpNetConnectOpts } from 'node:net';
import { statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { endLabelled, runLabelled } from '../../convert/labelled-process.ts';
import { programEnvironment } from '../../convert/qemu-img.ts';
import { needsOperator, permanent } from '../../domain/errors.ts';
import { lastLines, maxPatternLength, plainText } from '../../domain/import/rehearsal.ts';
import type { RehearsalCheck, RehearsalReport } from '../../domain/import/rehearsal.ts';
import type { RehearsalName } from '../../platforms/libvirt/rehearsal-xml.ts';
import type { RehearsalHost, RehearsalParts } from './rehearse-parts.ts';

export interface Scene {
  as: RehearsalName;
  host: RehearsalHost;
  check: RehearsalCheck;
  checks: RehearsalParts['checks'];
  limitMs: number;
  /** This host's address beside the guest, where a port is asked. */
  localAddress?: string;
  /** Where the throw-away images lie. */
  folder: string;
  /** Marks programs of the check. */
  label: string;
  /** What a program of the check gets to know of the guest. */
  facts: Readonly<Record<string, string>>;
  signal: AbortSignal;
}

export type Seen = Pick<RehearsalReport, 'outcome' | 'saw' | 'elapsedMs' | 'console'>;
/** Without `proved`: what came instead, a clause. */
export type SeenOrNot = Seen | { failed: string; console: string[] };

const lookEveryMs = 300;
/** The agent, a port and a program are asked less often: each question costs the guest something. */
const askEveryMs = 3_000;
/** Of the console at a time, and kept for the pattern. */
const consoleBytes = 64 * 1024;
const leastFreeBytes = 512 * 1024 ** 2;
const connectMs = 2_000;
const patternMs = 500;

/** Until the check is answered. Throws `rehearsal-no-room`, `rehearsal-pattern-slow`, or the signal's reason. */
export async function observe(scene: Scene): Promise<SeenOrNot> {
  const { as, host, check, limitMs, folder, signal } = scene;
  const began = performance.now();
  let [said, at, askedAt] = ['', 0, -Infinity];
  let over: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    const look = await host.console(as, at, consoleBytes);
    said = (said + look.text).slice(-consoleBytes);
    // All of it anew: a look may end in the middle of a control sequence.
    const text = plainText(said);
    at = look.next;
    const elapsedMs = Math.round(performance.now() - began);
    const about = { elapsedMs, console: lastLines(text) };
    // Before the state: a guest may say its word and power off.
    if (check.kind === 'console') {
      const line = firstMatch(check.pattern, text);
      if (line !== undefined)
        return { outcome: 'proved', saw: `its console says ${JSON.stringify(line)}`, ...about };
    }
    if (over !== undefined) return { failed: over, console: about.console };
    const state = await host.state(as);
    const isEnding = state === 'shutting-down';
    const isLate = elapsedMs >= limitMs;
    if (state !== 'running' && (!isEnding || isLate)) {
      over = `it is ${state ?? 'off'} after ${elapsedMs} ms`;
      // Once more: its last words may have come since.
      continue;
    }
    if (!isEnding && elapsedMs - askedAt >= askEveryMs) {
      askedAt = elapsedMs;
      await assertRoom(folder);
      const saw = await ask(scene, limitMs - elapsedMs);
      if (saw !== undefined) return { outcome: 'proved', saw, ...about };
    }
    if (isLate) return atTheLimit(check, about);
    await delay(lookEveryMs, undefined, { signal });
  }
}

function atTheLimit(check: RehearsalCheck, about: Pick<Seen, 'elapsedMs' | 'console'>): SeenOrNot {
  const time = `${Math.round(about.elapsedMs / 1000)} s`;
  const words = {
    agent: `its guest agent did not answer within ${time}`,
    console: `its console did not say what was waited for within ${time}`,
    port: `its port could not be connected to within ${time}`,
    command: `the check ended with no success within ${time}`,
  };
  if (check.kind !== 'auto') return { failed: words[check.kind], console: about.console };
  const saw = `it ran on for ${time}, and no guest agent answered`;
  return { outcome: 'unproved', saw, ...about };
}

/** One question; undefined as long as it has no good answer. */
async function ask(scene: Scene, leftMs: number): Promise<string | undefined> {
  const { as, host, check, localAddress, signal } = scene;
  if (check.kind === 'auto' || check.kind === 'agent')
    return (await host.agentAnswers(as)) ? 'its guest agent answers' : undefined;
  if (check.kind === 'port') {
    const { address, port } = check;
    // By that address alone: a host of that name elsewhere must not answer for the guest.
    const from = localAddress === undefined ? {} : { localAddress };
    const isOpen = await canConnect({ host: address, port, signal, ...from });
    return isOpen ? `port ${port} of ${address} takes connections` : undefined;
  }
  if (check.kind !== 'command') return undefined;
  const isDone = await succeeds(scene, check.name, Math.max(1_000, leftMs));
  return isDone ? `the check ${check.name} succeeded` : undefined;
}

function canConnect(to: TcpNetConnectOpts & { signal: AbortSignal }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(to);
    const end = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.setTimeout(connectMs, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** A program that the host's configuration names; no shell, and nothing of a request among its words. */
async function succeeds(
  { checks, facts, label, signal }: Scene,
  name: string,
  limitMs: number,
): Promise<boolean> {
  const [program, ...args] = checks[name] ?? [];
  if (program === undefined) throw checkUnknown(name);
  const env = { ...programEnvironment(), ...facts };
  const run = { id: label, program, args, env, cwd: '/', limitMs, signal };
  return (await runLabelled(run)).status === 0;
}

/** What a killed worker's check left running. */
export const endChecks = (label: string): Promise<void> => endLabelled(label);

export const checkUnknown = (name: string) =>
  permanent({
    code: 'rehearsal-check-unknown',
    message: `the configuration of the conversion host names no check ${JSON.stringify(name.slice(0, 100))}`,
    remedy: 'Add it to `host.conversion.rehearsalChecks` there, or choose another check.',
  });

/** The first line with a match. The pattern is a person's: it gets little time, since some take for ever. */
function firstMatch(pattern: string, text: string): string | undefined {
  try {
    const code = `(() => {
      const found = new RegExp(pattern, 'm').exec(text);
      if (found === null) return undefined;
      const begin = text.lastIndexOf('\\n', found.index - 1) + 1;
      const end = text.indexOf('\\n', found.index);
      return text.slice(begin, end < 0 ? undefined : end).slice(0, 200);
    })()`;
    const line: unknown = runInNewContext(code, { pattern, text }, { timeout: patternMs });
    return typeof line === 'string' ? line : undefined;
  } catch (cause) {
    throw patternBad('takes too long', pattern, cause);
  }
}

/** Throws `rehearsal-pattern-invalid`. */
export function assertPattern(pattern: string): void {
  if (pattern === '' || pattern.length > maxPatternLength)
    throw patternBad(`has ${pattern.length} characters`, pattern);
  try {
    new RegExp(pattern, 'm');
  } catch (cause) {
    throw patternBad('is none', pattern, cause);
  }
}

const patternBad = (why: string, pattern: string, cause?: unknown) =>
  permanent({
    code: 'rehearsal-pattern-invalid',
    message: `the regular expression ${JSON.stringify(pattern.slice(0, 100))} ${why}`,
    remedy: 'Wait for a simpler one, of 1 to 500 characters.',
    cause,
  });

async function assertRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= leastFreeBytes) return;
  throw needsOperator({
    code: 'rehearsal-no-room',
    message: `less than 512 MiB are free below ${folder}, where the rehearsal writes`,
    remedy: 'Make room there, then `vmferry retry`.',
  });
}
