import { setTimeout as delay } from 'node:timers/promises';
import { Handling, VmFerryError } from '../../domain/errors.ts';
import { LiveJobKind, LivePlace } from '../../domain/live-outcome.ts';
import type { LiveHostView } from '../../domain/live-outcome.ts';
import type { AwaitArrivalInput } from '../contract.ts';
import type { HostParts } from '../parts.ts';
import { liveView } from './live-view.ts';
import { settleArrival } from './settle-arrival.ts';

/** The guest stands still from its arrival until it is let go: this is a part of its pause. */
const lookEveryMs = 100;
/** Where the source does not answer: it may come back. */
const askAgainMs = 1_000;

/** The source holds nothing that could go on. */
const letGoPlaces: readonly LivePlace[] = [LivePlace.movedAway, LivePlace.off, LivePlace.gone];

/**
 * Waits beside a run for the guest that it brings, and lets it go as soon as the source's libvirt itself says that it
 * has none any more: so the guest does not wait for the source's worker, nor for Temporal. Ends once the guest runs;
 * else only by the signal. `report` is told why it still waits for the source.
 */
export async function awaitArrival(
  parts: HostParts,
  input: AwaitArrivalInput,
  { signal, report }: { signal: AbortSignal; report: (details: unknown) => void },
): Promise<LiveHostView> {
  for (;;) {
    let pauseMs = lookEveryMs;
    try {
      const seen = await lookOnce(parts, input, signal);
      if (typeof seen !== 'string') return seen;
      report({ waitsFor: seen });
    } catch (error) {
      signal.throwIfAborted();
      // The move's own: whatever comes now is not for this attempt.
      if (error instanceof VmFerryError && error.handling === Handling.unsafe) throw error;
      report({ waitsFor: error instanceof Error ? error.message : String(error) });
      pauseMs = askAgainMs;
    }
    await delay(pauseMs, undefined, { signal });
  }
}

/** Where the VM stands once it goes on here, or a clause that says what is waited for. */
async function lookOnce(
  parts: HostParts,
  input: AwaitArrivalInput,
  signal: AbortSignal,
): Promise<LiveHostView | string> {
  const view = await liveView(parts, input);
  if (view.place === LivePlace.running) return view;
  if (view.place !== LivePlace.held || view.job !== LiveJobKind.none) return 'nothing is here yet';
  const source = await parts.hypervisor.live.viewAt(input.vm.uuid, {
    address: input.sourceAddress,
  });
  if (!letGoPlaces.includes(source.place)) return `it is ${source.place} at the source`;
  return settleArrival(parts, { ...input, to: 'go-on' }, signal);
}
