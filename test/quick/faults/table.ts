/** The faults that every verb has to bear, as tests; the files that call it say what runs under them. */
import { describe, expect, it } from 'vitest';
import { afterStart, allVerbs, beforeStart, play, undoVerbs } from './play.ts';
import type { PlayOptions, Played } from './play.ts';
import type { HostName, Strike, Verb } from './stage.ts';

export const moved = { phase: 'committed', vmOn: 'beta', vmRunning: true, oneRunning: 'enforced' };
export const undone = { vmOn: 'alpha', vmRunning: true };

export async function expectEnd(options: PlayOptions, end: object): Promise<Played> {
  const played = await play(options);
  expect(played.report, played.log).toMatchObject(end);
  expect(played.unsound, played.log).toEqual([]);
  return played;
}

/** `shared`: both hosts see the disk, and nothing is copied. */
export function describeFaults({ shared }: { shared: boolean }): void {
  // What a move of a shared disk does not do.
  const happens = ([, verb]: [HostName, Verb]): boolean =>
    !shared || !['ensureExport', 'ensureCopied', 'hashDisk'].includes(verb);
  const verbs = allVerbs.filter(happens);

  describe.each(verbs)('%s %s', (host, verb) => {
    const at = { host, verb };

    it.each<[string, Strike]>([
      [
        'fails for a while before it acts',
        { ...at, how: 'fails', when: 'before', handling: 'transient' },
      ],
      [
        'fails for a while after it acted',
        { ...at, how: 'fails', when: 'after', handling: 'transient' },
      ],
      ['loses its reply', { ...at, how: 'fails', when: 'after', handling: 'outcome-unknown' }],
      ['dies before it acts', { ...at, how: 'dies', at: 'before' }],
      ['dies after it acted, unheard', { ...at, how: 'dies', at: 'after' }],
      ['sleeps, and acts late beside the next attempt', { ...at, how: 'sleeps', until: 'next' }],
      ['sleeps, and acts after the move', { ...at, how: 'sleeps', until: 'end' }],
      ['has no worker for a while', { ...at, how: 'unreachable' }],
    ])('%s: the move goes on and remembers', async (_fault, strike) => {
      const { report, parkedIn } = await expectEnd({ strikes: [strike], shared }, moved);
      expect(report.firstError).toBeDefined();
      expect(parkedIn).toEqual([]);
    });

    it('is paused by an operator: the move parks until told to go on', async () => {
      const played = await expectEnd(
        { strikes: [{ ...at, how: 'paused' }], shared },
        whenPaused(verb),
      );
      expect(played.report.firstError).toMatchObject({ code: 'paused', host });
    });

    it.each(['before', 'after'] as const)(
      'needs a person %s it acts: parks, then goes on',
      async (when) => {
        const strike: Strike = { ...at, how: 'fails', when, handling: 'needs-operator' };
        const { parkedIn } = await expectEnd({ strikes: [strike], shared }, whenPaused(verb));
        expect(parkedIn.length).toBe(verb.startsWith('check') ? 0 : 1);
      },
    );
  });

  describe.each(beforeStart.filter(happens))('%s %s', (host, verb) => {
    it.each([
      ['before', 'permanent'],
      ['after', 'permanent'],
      ['before', 'unsafe'],
      ['after', 'unsafe'],
    ] as const)(
      'fails for good %s it acts (%s): the source goes on as if nothing had been',
      async (when, handling) => {
        const strike: Strike = { host, verb, how: 'fails', when, handling };
        const { report } = await expectEnd(
          { strikes: [strike], shared },
          { ...undone, phase: 'failed' },
        );
        expect(report.firstError).toMatchObject({ code: `injected-${handling}`, host });
      },
    );

    it.each(['before', 'after'] as const)(
      'is cancelled %s it acts: the VM runs once, where the report says',
      async (when) => {
        const strike: Strike = { host, verb, how: 'cancelled', at: when };
        const { report } = await expectEnd({ strikes: [strike], shared }, { vmRunning: true });
        expect(['cancelled', 'committed']).toContain(report.phase);
      },
    );

    it('sleeps, the move is cancelled meanwhile, and the late attempt changes nothing', async () => {
      const strikes: Strike[] = [
        { host, verb, how: 'sleeps', until: 'end' },
        { host, verb, how: 'cancelled', at: 'before' },
      ];
      await expectEnd({ strikes, shared }, { vmRunning: true });
    });
  });

  it.each(afterStart)(
    '%s %s fails for good: nothing is undone, a person is asked',
    async (host, verb) => {
      const strike: Strike = { host, verb, how: 'fails', when: 'after', handling: 'permanent' };
      const { parkedIn } = await expectEnd({ strikes: [strike], shared }, moved);
      expect(parkedIn).toHaveLength(1);
    },
  );

  describe.each<[string, PlayOptions]>([
    ['a guest that did not stay up', { strikes: [failed('beta', 'ensureHealthy')] }],
    ['a person’s rollback', { verdict: 'rollback' }],
    ['a failed definition', { strikes: [failed('beta', 'ensureDefined')] }],
  ])('undoing %s', (_why, cause) => {
    const undoes = undoVerbs.filter(
      ([, verb]) => verb !== 'revokeTarget' || !(_why === 'a failed definition'),
    );
    describe.each(undoes)('%s %s', (host, verb) => {
      const at = { host, verb };
      it.each<[string, Strike]>([
        ['fails for a while', { ...at, how: 'fails', when: 'before', handling: 'transient' }],
        ['fails for good once', { ...at, how: 'fails', when: 'before', handling: 'permanent' }],
        [
          'fails for good once, having acted',
          { ...at, how: 'fails', when: 'after', handling: 'permanent' },
        ],
        ['dies before it acts', { ...at, how: 'dies', at: 'before' }],
        ['dies after it acted', { ...at, how: 'dies', at: 'after' }],
        ['sleeps, and acts after the move', { ...at, how: 'sleeps', until: 'end' }],
        ['has no worker for a while', { ...at, how: 'unreachable' }],
        ['is paused', { ...at, how: 'paused' }],
      ])('%s: the source runs again, alone', async (_fault, strike) => {
        const strikes = [...(cause.strikes ?? []), strike];
        const { report } = await expectEnd({ ...cause, strikes, shared }, undone);
        expect(['failed', 'rolled-back']).toContain(report.phase);
      });
    });
  });
}

function failed(host: HostName, verb: Verb): Strike {
  return { host, verb, how: 'fails', when: 'before', handling: 'permanent' };
}

/** While nothing is touched yet nobody has to be waited for: the move fails and can be started again. */
function whenPaused(verb: Verb): object {
  return verb.startsWith('check') ? { ...undone, phase: 'failed' } : moved;
}
