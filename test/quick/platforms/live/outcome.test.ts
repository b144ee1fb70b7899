import { describe, expect, it } from 'vitest';
import { LibvirtError } from '../../../../protocols/libvirt/index.ts';
import { faultOfMigration } from '../../../../platforms/libvirt/live/faults.ts';
import { liveOutcome, LivePlace, placeOf } from '../../../../platforms/libvirt/live/view.ts';
import type { LiveJob, LiveView } from '../../../../platforms/libvirt/live/view.ts';

const none: LiveJob = { kind: 'none' };
const outgoing: LiveJob = { kind: 'outgoing', operation: 5, elapsedMs: 1 };
const incoming: LiveJob = { kind: 'incoming', operation: 0, elapsedMs: 0 };
const at = (place: LivePlace, job: LiveJob = none): LiveView => ({ place, job });

describe('two views', () => {
  const { gone, off, movedAway, running, paused, switching, postCopy, postCopyFailed } = LivePlace;
  it.each([
    ['stayed', at(running), at(gone)],
    ['stayed', at(running), at(off)],
    ['stayed', at(paused), at(movedAway)],
    ['moving', at(running, outgoing), at(gone)],
    ['moving', at(switching, outgoing), at(running)],
    ['moving', at(postCopy, outgoing), at(postCopy, incoming)],
    ['arrived', at(movedAway), at(running)],
    ['arrived', at(gone), at(paused)],
    ['post-copy-failed', at(postCopyFailed, outgoing), at(postCopyFailed, incoming)],
    ['post-copy-failed', at(gone), at(postCopyFailed)],
    ['undecided', at(running), at(switching, incoming)],
    ['undecided', at(switching), at(running)],
    ['undecided', at(gone), at(postCopy)],
    ['split', at(running), at(running)],
    ['split', at(paused), at(running)],
    ['down', at(movedAway), at(off)],
    ['down', at(gone), at(gone)],
  ] as const)('are %s: %j, %j', (outcome, source, target) => {
    expect(liveOutcome({ source, target })).toBe(outcome);
  });

  it('never say that a VM is in one place while it may run in both', () => {
    for (const source of Object.values(LivePlace)) {
      for (const target of Object.values(LivePlace)) {
        const outcome = liveOutcome({ source: at(source), target: at(target) });
        const runs = (place: LivePlace): boolean => place === running || place === paused;
        if (outcome === 'stayed') expect([runs(source), runs(target)]).toEqual([true, false]);
        if (outcome === 'arrived') expect([runs(source), runs(target)]).toEqual([false, true]);
        if (runs(source) && runs(target)) expect(outcome).toBe('split');
      }
    }
  });
});

it('reads a state and its reason as a place', () => {
  expect(placeOf(1, 2)).toBe('running');
  expect(placeOf(1, 10)).toBe('post-copy');
  expect(placeOf(1, 11)).toBe('post-copy-failed');
  expect(placeOf(3, 1)).toBe('paused');
  expect(placeOf(3, 2)).toBe('switching');
  expect(placeOf(3, 12)).toBe('post-copy');
  expect(placeOf(3, 13)).toBe('post-copy-failed');
  expect(placeOf(5, 4)).toBe('moved-away');
  expect(placeOf(5, 6)).toBe('off');
});

describe('a refusal', () => {
  const uuid = '11111111-2222-4333-8444-555555555501';
  const meaning = (code: number, message: string, place: LivePlace = LivePlace.running): unknown =>
    faultOfMigration(
      new LibvirtError('DomainMigratePerform3Params', {
        code,
        domain: 10,
        level: 2,
        message,
        int1: 0,
        int2: 0,
      }),
      { uuid, host: 'alpha', place },
    );

  // The words are those of libvirt 9.0.
  it.each([
    [
      78,
      "operation aborted: job 'migration out' canceled by client",
      'live-cancelled',
      'cancelled',
    ],
    [81, 'Unsafe migration: ...', 'live-storage-not-shared', 'permanent'],
    [
      38,
      "unable to connect to server at '198.51.100.77:16514': No route to host",
      'live-target-unreachable',
      'transient',
    ],
    [70, 'Hook script execution failed: ...', 'start-refused-by-guard', 'unsafe'],
    [91, 'the CPU is incompatible with host CPU', 'definition-refused', 'permanent'],
    [9, 'something that nobody foresaw', 'libvirt-failed', 'needs-operator'],
  ])('%i %s is %s', (code, message, fault, handling) => {
    expect(meaning(code, message)).toMatchObject({ code: fault, handling, host: 'alpha' });
  });

  it('means by where the VM stands, before all words, that post-copy broke or goes on', () => {
    const words = "operation failed: job 'migration in' failed in post-copy phase";
    expect(meaning(9, words, LivePlace.postCopyFailed)).toMatchObject({
      code: 'live-post-copy-failed',
      handling: 'needs-operator',
    });
    expect(meaning(9, words, LivePlace.postCopy)).toMatchObject({
      code: 'live-outcome-unknown',
      handling: 'outcome-unknown',
    });
  });
});
