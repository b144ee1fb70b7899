import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type proto from '@temporalio/proto';
import type { Story } from '../../../../client/story/story.ts';
import { EncryptionCodec } from '../../../../client/payload-codec.ts';
import { storyLines } from '../../../../cli/render/story.ts';
import { cells } from '../../../../cli/render/text.ts';
import { makeTheme } from '../../../../cli/render/theme.ts';
import { encrypt, savedEvents, storyOf, timeless, until } from './saved.ts';

const view = { theme: makeTheme({ color: false, ascii: false }), width: 79, command: 'vmferry' };
const told = (story: Story, now = Date.parse(story.endedAt ?? story.startedAt)): string =>
  storyLines(story, view, now).join('\n');
const ended = (
  attributes: Partial<proto.temporal.api.history.v1.IHistoryEvent>,
  after: proto.temporal.api.history.v1.IHistoryEvent[],
) => [...after, { eventTime: after.at(-1)!.eventTime!, ...attributes }];

describe('the story of a move', () => {
  it('tells a move that went well from its history alone', async () => {
    const story = await storyOf(await savedEvents('committed'));
    expect(story).toMatchObject({
      phase: 'committed',
      end: 'completed',
      vmOn: 'beta',
      vmRunning: true,
      downNow: false,
      operator: 'test',
    });
    expect(story.report?.phase).toBe('committed');
    // What the workflow measured, and what its history tells, agree but for the time of a workflow task.
    expect(Math.abs(story.downMs! - story.report!.downtimeMs!)).toBeLessThan(500);
    expect(timeless(told(story))).toBe(`web moved from alpha to beta, and the move is committed.

What happened (UTC)
  DAY
  TIME  test asked to move web from alpha to beta.
  TIME  alpha looked at web and at its own guard.
  TIME  beta checked whether web fits there.
  TIME  beta made the volumes and a place for web in its ledger.
  TIME  alpha began to refuse other starts of web.
  TIME  web was shut down on alpha.
  TIME  alpha exported vda.
  TIME  alpha exported vda.
  TIME  alpha hashed vda of the source.
  TIME  beta copied vda, 8 B of data.
  TIME  beta hashed vda of the target.
  TIME  beta got the definition of web.
  TIME  alpha gave web up and cannot start it any more.
  TIME  beta became the owner of web.
  TIME  web started on beta.
  TIME  web stayed up on beta.
  TIME  alpha closed its exports.
  TIME  beta put its last settings right for web.
  TIME  alpha removed its copy of web.
  TIME  The move was committed; that was its end.

How it stands
  web lives on beta and runs there, as last heard.
  The guest was down for LONG.
  It began at DAY TIME and took LONG.`);
  });

  it('reads what is encrypted, and only with the key', async () => {
    const keys = { keys: [{ id: 'k', key: randomBytes(32) }], active: 'k' };
    const codec = new EncryptionCodec(keys);
    const name = 'committed-after-park-and-retry';
    const events = await encrypt(await savedEvents(name), codec);
    const plain = await storyOf(await savedEvents(name));
    expect(await storyOf(events, { codecs: [codec] })).toEqual(plain);
    const other = new EncryptionCodec({ keys: [{ id: 'o', key: randomBytes(32) }], active: 'o' });
    await expect(storyOf(events, { codecs: [other] })).rejects.toMatchObject({
      code: 'payload-key-unknown',
    });
  });

  it('names what failed first, where, and how often it was tried again', async () => {
    const story = await storyOf(await savedEvents('committed-after-park-and-retry'));
    expect(story.firstError).toMatchObject({ host: 'beta', what: 'copy vda' });
    const copy = story.timeline.find((one) => one.kind === 'work' && one.verb === 'ensureCopied');
    expect(copy).toMatchObject({ state: 'done', attempts: 2, bytes: 8 });
    const text = timeless(told(story));
    expect(text).toContain(`
  TIME  beta copied vda, 8 B of data. 1 try failed: injected before
            ensureCopied.
  TIME  The move parked: it waits for a person.
  TIME  somebody unnamed gave the order: retry.`);
    expect(text).toContain(`What failed first
  At DAY TIME, on beta, during: copy vda.
  error:  injected before ensureCopied
  host:   beta
  remedy: This is a test.`);
  });

  it('tells a parked move with what stands in the way and what to do', async () => {
    const events = await savedEvents('committed-after-park-and-retry');
    const order = events.findIndex((event) => event.workflowExecutionUpdateAcceptedEventAttributes);
    const story = await storyOf(events.slice(0, order), { afterMs: 90_000 });
    expect(story).toMatchObject({
      phase: 'parked',
      parkedIn: 'copying',
      downNow: true,
      vmOn: 'alpha',
      vmRunning: false,
      fault: { code: 'injected-needs-operator' },
    });
    expect(story.end).toBeUndefined();
    expect(story.downMs).toBeGreaterThan(85_000);
    const text = told(story, Date.parse(story.startedAt) + 91_000);
    expect(text).toContain('is parked while copying: a person must act.');
    expect(text).toMatch(/What stands in the way\n {2}error: {2}injected before ensureCopied\n/);
    expect(text).toMatch(/Next\n {2}vmferry retry web\n[^]* {2}vmferry cancel web\n/);
    expect(text).toContain('The guest has been down for 1m ');
  });

  it('tells what a running move does now, and since when', async () => {
    const events = until(await savedEvents('committed'), 'ensureCopied');
    const scheduled = events.at(-1)!;
    const waiting = await storyOf(events);
    const at = Date.parse(waiting.timeline.at(-1)!.at) + 42_000;
    expect(told(waiting, at)).toContain(
      'No worker of beta has taken this up yet, for 42.0 s now: copy vda.',
    );
    const begun = await storyOf([
      ...events,
      {
        eventTime: scheduled.eventTime!,
        activityTaskStartedEventAttributes: { scheduledEventId: scheduled.eventId! },
      },
    ]);
    expect(told(begun, at)).toContain('beta is at it, for 42.0 s now: copy vda.');
    expect(told(begun, at)).toContain('vmferry status web --watch');
  });

  it('says of a failed move what ended it and that the VM is back', async () => {
    const story = await storyOf(await savedEvents('failed-and-undone'));
    expect(story).toMatchObject({
      phase: 'failed',
      end: 'failed',
      vmOn: 'alpha',
      vmRunning: true,
      fault: { code: 'injected-permanent' },
      failedUndo: [],
    });
    const text = timeless(told(story));
    expect(text).toContain('The move of web from alpha to beta failed.');
    expect(text).toContain('beta could not do this: copy vda. 1 try failed: injected before');
    expect(text).toContain('alpha got web back.');
    expect(text).toMatch(/What ended it\n {2}error: {2}injected before ensureCopied/);
  });

  it('counts the target as having run where the move failed after its cutover', async () => {
    const story = await storyOf(await savedEvents('failed-after-cutover'));
    expect(story).toMatchObject({ targetHasRun: true, vmOn: 'alpha', vmRunning: true });
    expect(told(story)).toContain('beta stopped web and gave it up.');
  });

  it('tells a cancelled move and who cancelled it', async () => {
    const events = await savedEvents('cancelled');
    const cancel = events.findIndex(
      (event) => event.workflowExecutionCancelRequestedEventAttributes,
    );
    const data = Buffer.from(JSON.stringify({ operator: 'ada@desk' }));
    const said: proto.temporal.api.history.v1.IHistoryEvent = {
      eventTime: events[cancel]!.eventTime!,
      workflowExecutionSignaledEventAttributes: {
        signalName: 'cancelling',
        input: { payloads: [{ metadata: { encoding: Buffer.from('json/plain') }, data }] },
      },
    };
    const story = await storyOf(events.toSpliced(cancel, 0, said));
    expect(story).toMatchObject({ phase: 'cancelled', end: 'cancelled', vmOn: 'alpha' });
    expect(told(story)).toContain('ada@desk gave the order: cancel.');
    expect(told(await storyOf(events))).toContain('somebody unnamed gave the order: cancel.');
  });

  it('tells a rollback by whom it was ordered', async () => {
    const story = await storyOf(await savedEvents('rolled-back'));
    expect(story).toMatchObject({ phase: 'rolled-back', end: 'completed', vmOn: 'alpha' });
    expect(story.timeline.find(({ kind }) => kind === 'order')).toMatchObject({
      order: 'rollback',
      by: 'test',
    });
  });

  it('says of a terminated move what it has left on the hosts', async () => {
    const events = ended(
      {
        workflowExecutionTerminatedEventAttributes: { identity: '7@laptop', reason: 'in a hurry' },
      },
      until(await savedEvents('committed'), 'ensureCopied'),
    );
    const story = await storyOf(events);
    expect(story).toMatchObject({
      end: 'terminated',
      phase: 'copying',
      downNow: true,
      vmOn: 'alpha',
      leftovers: { sourceGuarded: true, targetVolumes: true, exports: true },
    });
    const text = told(story);
    expect(text).toContain('7@laptop terminated the workflow in Temporal: in a hurry.');
    expect(text).toMatch(/The guard of alpha still refuses to start web/);
    expect(text).toContain('beta may hold volumes that the move made.');
    expect(text).toContain('and was not started again.');
  });

  it('does not claim a place for a VM that is between two owners', async () => {
    const story = await storyOf(until(await savedEvents('committed'), 'takeOwnership'));
    expect(story.vmOn).toBe('');
    expect(told(story)).toContain('neither may start it.');
  });

  it('shows a move whose own code cannot go on, and forgets it once it does', async () => {
    const events = until(await savedEvents('committed'), 'ensureCopied');
    const at = { eventTime: events.at(-1)!.eventTime! };
    const broken = {
      ...at,
      workflowTaskFailedEventAttributes: { failure: { message: 'nondeterminism' } },
    };
    const stuck = await storyOf([...events, broken, broken]);
    expect(stuck.fault).toMatchObject({ code: 'workflow-stuck' });
    expect(stuck.timeline.filter(({ kind }) => kind === 'stuck')).toHaveLength(1);
    const healed = await storyOf([
      ...events,
      broken,
      { ...at, workflowTaskCompletedEventAttributes: {} },
    ]);
    expect(healed.fault).toBeUndefined();
  });

  it.each([
    ['scheduled', 2, 'worker-unreachable'],
    ['heartbeat', 4, 'worker-lost'],
    ['whole time', 1, 'step-timed-out'],
  ])('knows a time-out (%s) by the words of the move itself', async (_, timeoutType, code) => {
    const events = until(await savedEvents('committed'), 'ensureCopied');
    const { eventTime, eventId: scheduledEventId } = events.at(-1)!;
    const failure = { timeoutFailureInfo: { timeoutType } };
    const story = await storyOf([
      ...events,
      {
        eventTime: eventTime!,
        activityTaskTimedOutEventAttributes: { scheduledEventId: scheduledEventId!, failure },
      },
    ]);
    expect(story.fault).toMatchObject({ code, host: 'beta', handling: 'transient' });
  });

  it.each(['committed-after-park-and-retry', 'failed-after-cutover', 'rolled-back'])(
    '%s fits 40 and 80 columns',
    async (name) => {
      const story = await storyOf(await savedEvents(name));
      for (const width of [40, 80]) {
        const lines = storyLines(story, { ...view, width: width - 1 }, Date.now());
        // Commands are not broken: they are to be copied.
        const long = lines.filter((line) => cells(line) >= width && !line.includes('vmferry '));
        expect(long).toEqual([]);
      }
    },
  );

  it('lets no control character of a name or a message reach the terminal', async () => {
    const story = await storyOf(await savedEvents('failed-and-undone'));
    const evil = '\u001b[2Jweb\u0007';
    const lines = storyLines({ ...story, vm: { ...story.vm, name: evil } }, view, Date.now());
    expect(lines.filter((line) => Array.from(line).some((sign) => sign < ' '))).toEqual([]);
  });
});
