import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { StopSourceInput } from '../../../activities/contract.ts';
import { ensureStopped } from '../../../activities/ensure-stopped.ts';
import { vm } from '../domain/facts.ts';
import { hostParts } from './host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-stop-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** Stops a guest that hears its power button only at the press of that number; gives what was done to it. */
async function stop(hearsPress: number, shutdownTimeoutMs: number) {
  const { name, uuid } = vm();
  const did: string[] = [];
  let isUp = true;
  const parts = hostParts({
    name: 'alpha',
    stateDir,
    hypervisor: {
      state: () => Promise.resolve(isUp ? 'running' : 'shut-off'),
      requestShutdown: () => {
        did.push('button');
        if (did.filter((each) => each === 'button').length === hearsPress) isUp = false;
        return Promise.resolve();
      },
      waitUntilOff: (_uuid, { timeoutMs }) => {
        did.push(`wait ${timeoutMs / 1000}`);
        return Promise.resolve(!isUp);
      },
      forceOff: () => {
        did.push('plug');
        isUp = false;
        return Promise.resolve();
      },
      reasonsNotStopped: () => Promise.resolve([]),
    },
  });
  const ref = { moveId: 'm', migrationId: randomUUID(), vm: { name, uuid }, epoch: 1 };
  const { migrationId, epoch } = ref;
  const entry = { epoch, migrationId, name, note: '', disks: [] };
  await parts.ledger.transition(uuid, { ...entry, to: 'migrating-out' });
  const input: StopSourceInput = { ...ref, shutdown: 'graceful', shutdownTimeoutMs };
  const { forced } = await ensureStopped(parts, input, new AbortController().signal);
  return { did, forced };
}

it('asks a guest again that did not hear it, as one that is still starting', async () => {
  expect(await stop(3, 120_000)).toEqual({
    did: ['button', 'wait 15', 'button', 'wait 15', 'button', 'wait 15'],
    forced: false,
  });
});

it('pulls the plug when the time is over, and not before', async () => {
  expect(await stop(0, 20_000)).toEqual({
    did: ['button', 'wait 15', 'button', 'wait 5', 'plug', 'wait 30'],
    forced: true,
  });
});

it('asks once also where no time is given for it', async () => {
  expect((await stop(0, 0)).did).toEqual(['button', 'wait 0', 'plug', 'wait 30']);
});
