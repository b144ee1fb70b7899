import { describe, expect, it } from 'vitest';
import { LivePlace } from '../../../../domain/live-outcome.ts';
import { LibvirtError } from '../../../../protocols/libvirt/index.ts';
import { faultOfMigration } from '../../../../platforms/libvirt/live/faults.ts';
import { placeOf } from '../../../../platforms/libvirt/live/view.ts';

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
    // Its target's daemon was killed.
    [1, 'internal error: client socket is closed', 'live-interrupted', 'transient'],
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
