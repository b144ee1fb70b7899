import { needsOperator, permanent } from '../domain/errors.ts';
import type { StopResult, StopSourceInput } from './contract.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';
import { reasonsNotStopped } from './read-back.ts';

/** A guest that is still starting does not hear its button. Nova asks again every 10 s. */
const askAgainMs = 15_000;
/** After being powered off a guest is gone at once; this is for a busy host. */
const forcedOffMs = 30_000;

/** Shuts the guest down by the policy, then reads back that nothing of it runs. */
export async function ensureStopped(
  parts: HostParts,
  input: StopSourceInput,
  signal: AbortSignal,
): Promise<StopResult> {
  const { name } = parts;
  const { uuid } = input.vm;
  const folder = folderOf(parts, input);
  const ours = { ref: input, states: ['migrating-out'] as const, signal };
  const forcedNow = (await isUp(parts, uuid)) && (await bringDown(parts, input, signal));
  const reasons = await reasonsNotStopped(parts, uuid, signal);
  if (reasons.length > 0) {
    throw needsOperator({
      code: 'not-stopped',
      message: `${input.vm.name} cannot be taken as stopped on ${name}: ${reasons.join('; ')}`,
      remedy: 'End what the message names, then `vmferry retry`; or `vmferry cancel`.',
      host: name,
    });
  }
  const memory = (await folder.read('source')) ?? { wasRunning: false, autostart: false };
  const forced = forcedNow || memory.forced === true;
  const downAtMs = memory.downAtMs ?? Date.now();
  await whileOurs(parts, { ...ours, operation: 'remember the stop' }, () =>
    folder.write('source', { ...memory, downAtMs, forced }),
  );
  return { wasRunning: memory.wasRunning, downForMs: Math.max(0, Date.now() - downAtMs), forced };
}

const isUp = async ({ hypervisor }: HostParts, uuid: string): Promise<boolean> => {
  const state = await hypervisor.state(uuid);
  return state !== undefined && state !== 'shut-off' && state !== 'crashed';
};

/** Whether it had to be forced. */
async function bringDown(
  parts: HostParts,
  input: StopSourceInput,
  signal: AbortSignal,
): Promise<boolean> {
  const { hypervisor, name } = parts;
  const { uuid } = input.vm;
  const ours = { ref: input, states: ['migrating-out'] as const, signal };
  if (input.shutdown === 'refuse') {
    throw permanent({
      code: 'vm-running',
      message: `${input.vm.name} was started on ${name} after the checks, and --shutdown refuse forbids to stop it`,
      remedy: 'Shut it down yourself, or say --shutdown graceful.',
      host: name,
    });
  }
  if (input.shutdown === 'graceful' && (await goesDownWhenAsked(parts, input, signal)))
    return false;
  await whileOurs(parts, { ...ours, operation: 'power off' }, () => hypervisor.forceOff(uuid));
  await hypervisor.waitUntilOff(uuid, { timeoutMs: forcedOffMs, signal });
  return true;
}

/** False if the guest is still up when its time is over. */
async function goesDownWhenAsked(
  parts: HostParts,
  input: StopSourceInput,
  signal: AbortSignal,
): Promise<boolean> {
  const { hypervisor } = parts;
  const { uuid } = input.vm;
  const folder = folderOf(parts, input);
  const ours = { ref: input, states: ['migrating-out'] as const, operation: 'shut down', signal };
  let leftMs = input.shutdownTimeoutMs;
  do {
    await whileOurs(parts, ours, async () => {
      // Before the request: an undo has to know that the guest may still go down.
      const memory = (await folder.read('source')) ?? { wasRunning: true, autostart: false };
      if (memory.asked !== true) await folder.write('source', { ...memory, asked: true });
      await hypervisor.requestShutdown(uuid);
    });
    const timeoutMs = Math.min(askAgainMs, leftMs);
    if (await hypervisor.waitUntilOff(uuid, { timeoutMs, signal })) return true;
    leftMs -= timeoutMs;
  } while (leftMs > 0);
  return false;
}
