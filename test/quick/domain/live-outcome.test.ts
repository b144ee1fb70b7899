import { describe, expect, it } from 'vitest';
import { liveOutcome, LivePlace } from '../../../domain/live-outcome.ts';
import type { LiveHostView, LiveJobKind } from '../../../domain/live-outcome.ts';

const at = (place: LivePlace, job: LiveJobKind = 'none'): LiveHostView => ({ place, job });

describe('two views', () => {
  const { gone, off, movedAway, running, paused, switching, held } = LivePlace;
  const { postCopy, postCopyFailed } = LivePlace;
  it.each([
    ['stayed', at(running), at(gone)],
    ['stayed', at(running), at(off)],
    ['stayed', at(paused), at(movedAway)],
    ['moving', at(running, 'outgoing'), at(gone)],
    ['moving', at(switching, 'outgoing'), at(running)],
    ['moving', at(postCopy, 'outgoing'), at(postCopy, 'incoming')],
    ['arrived', at(movedAway), at(running)],
    ['arrived', at(gone), at(paused)],
    ['arrived', at(movedAway), at(off)],
    ['post-copy-failed', at(postCopyFailed, 'outgoing'), at(postCopyFailed, 'incoming')],
    ['post-copy-failed', at(gone), at(postCopyFailed)],
    ['undecided', at(running), at(switching, 'incoming')],
    ['undecided', at(switching), at(running, 'incoming')],
    ['undecided', at(switching), at(switching)],
    ['undecided', at(gone), at(postCopy)],
    ['arrived-in-half', at(switching), at(running)],
    ['stuck', at(switching), at(gone)],
    ['stuck', at(switching), at(off)],
    ['arrived-in-half', at(switching), at(held)],
    ['arrived-held', at(movedAway), at(held)],
    ['arrived-held', at(off), at(held)],
    ['held-in-vain', at(running), at(held)],
    ['held-in-vain', at(paused), at(held)],
    ['moving', at(switching, 'outgoing'), at(held)],
    ['split', at(running), at(running)],
    ['split', at(paused), at(running)],
    ['down', at(off), at(gone)],
    ['down', at(gone), at(gone)],
    ['down', at(movedAway), at(gone)],
  ] as const)('are %s: %j, %j', (outcome, source, target) => {
    expect(liveOutcome({ source, target })).toBe(outcome);
  });

  it('never say that a VM is in one place while it may run in both', () => {
    const runs = (place: LivePlace): boolean => place === running || place === paused;
    for (const source of Object.values(LivePlace)) {
      for (const target of Object.values(LivePlace)) {
        const outcome = liveOutcome({ source: at(source), target: at(target) });
        if (outcome === 'stayed') expect([runs(source), runs(target)]).toEqual([true, false]);
        if (outcome === 'arrived') expect(runs(source)).toBe(false);
        if (outcome === 'stuck') expect(runs(target)).toBe(false);
        if (outcome === 'arrived-in-half')
          expect([source, runs(target) || target === held]).toEqual([switching, true]);
        // Only what stands still is ended, and only what nobody else runs is let go.
        if (outcome === 'held-in-vain') expect([runs(source), target]).toEqual([true, held]);
        if (outcome === 'arrived-held') expect([runs(source), target]).toEqual([false, held]);
        if (runs(source) && runs(target)) expect(outcome).toBe('split');
      }
    }
  });
});
