import { setTimeout as delay } from 'node:timers/promises';
import { transient } from '../domain/errors.ts';

export interface WaitOptions {
  /** What is awaited, as the end of "waited N s for ...". */
  what: string;
  timeoutMs: number;
  /** Pause between two looks, ms. Only for states of the kernel that nothing announces. */
  everyMs?: number;
  host?: string;
}

/** The error of a wait that ran out: `lab-timeout`, transient. */
export function timedOut(options: WaitOptions, detail = ''): Error {
  return transient({
    code: 'lab-timeout',
    message: `waited ${options.timeoutMs / 1000} s for ${options.what}${detail === '' ? '' : `: ${detail}`}`,
    remedy:
      'Look at `vmferry lab status` and the logs in the lab folder; a loaded machine may need more time.',
    ...(options.host === undefined ? {} : { host: options.host }),
  });
}

/** Looks until `look` gives something other than undefined or false; throws `lab-timeout` after `timeoutMs`. */
export async function waitUntil<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitOptions,
): Promise<T> {
  const end = performance.now() + options.timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > end) throw timedOut(options);
    await delay(options.everyMs ?? 20);
  }
}
