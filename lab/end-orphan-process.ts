/**
 * Ends a lab whose owner is no more (owner.ts):
 *   end-orphan-process.ts <lab's folder> <owner's pid> <owner's start time> <folder to remove, or ''>
 * A lab that was taken down leaves nothing to do; one that somebody else has made in the same folder since stays.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Lab } from './lab.ts';
import { endLabelled } from './owner.ts';
import { readState } from './state.ts';

/** What the owner had just begun may come to an end only now, and stand in the way of the first attempt. */
const attempts = 5;
const betweenMs = 1_000;

const [dir = '', pid = '', startTime = '', discard = ''] = process.argv.slice(2);

async function end(): Promise<void> {
  const state = await readState(dir);
  const owner = state?.owner?.owner;
  if (owner !== undefined && String(owner.pid) === pid && owner.startTime === startTime) {
    // Those outside of the hosts first: a worker would go on to ask, and Temporal to give.
    await endLabelled(dir);
    await Lab.down({ dir });
  }
  if (discard !== '') await rm(discard, { recursive: true, force: true });
}

for (let attempt = 1; ; attempt += 1) {
  try {
    await end();
    break;
  } catch (error) {
    console.error(error);
    if (attempt === attempts) {
      process.exitCode = 1;
      break;
    }
    await delay(betweenMs);
  }
}
