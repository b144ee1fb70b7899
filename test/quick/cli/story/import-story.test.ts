import { describe, expect, it } from 'vitest';
import type proto from '@temporalio/proto';
import type { ImportStory } from '../../../../client/story/story.ts';
import { importStoryLines } from '../../../../cli/render/import-story.ts';
import { makeTheme } from '../../../../cli/render/theme.ts';
import { importStoryOf, savedEvents, timeless, until } from './saved.ts';

const view = { theme: makeTheme({ color: false, ascii: false }), width: 99, command: 'vmferry' };
const told = (story: ImportStory, now = Date.parse(story.endedAt ?? story.startedAt)): string =>
  importStoryLines(story, view, now).join('\n');

describe('the story of an import', () => {
  it('tells one that went well from its history alone', async () => {
    const story = await importStoryOf(await savedEvents('import-committed'));
    expect(story).toMatchObject({
      ...{ kind: 'import', phase: 'committed', end: 'completed', clone: false },
      ...{ source: 'vc', conversionHost: 'alpha', target: 'beta', operator: 'test' },
      ...{ vmOn: 'beta', vmRunning: true, targetHasRun: true, downNow: false },
      report: { phase: 'committed' },
    });
    expect(Math.abs(story.downMs! - story.report!.downtimeMs!)).toBeLessThan(500);
    const text = timeless(told(story));
    const order = [
      'web came from vc to beta, and the import is committed.',
      'test asked to import web from vc, by alpha, to beta.',
      'alpha looked at web at vc.',
      'beta checked whether web fits there.',
      'web was shut down at vc.',
      'alpha copied web from vc, 8.00 KiB of data.',
      'alpha read web back at vc: it is off, and its disks are what was copied.',
      'alpha converted web.',
      'beta made the volumes and a place for web in its ledger.',
      'alpha showed sda to beta.',
      'beta took over sda, 8 B of data.',
      'beta hashed sda.',
      'alpha closed its exports.',
      'beta got the definition of web.',
      'beta became the owner of web.',
      'web started on beta.',
      'web is on beta; alpha keeps what was copied until somebody commits.',
      'alpha dropped what was copied.',
      'The import was committed; that was its end.',
      'web lives on beta and runs there, as last heard.',
      'The guest was down for LONG.',
    ];
    const places = order.map((sentence) => text.indexOf(sentence));
    expect(places.map((place, index) => (place < 0 ? order[index] : ''))).toEqual(
      order.map(() => ''),
    );
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    expect(text).not.toContain('did:');
  });

  it('names what failed first, and how it went on', async () => {
    const story = await importStoryOf(await savedEvents('import-after-park-and-retry'));
    expect(story.firstError).toMatchObject({ host: 'alpha', what: 'convert web' });
    const text = timeless(told(story));
    expect(text).toContain('alpha converted web. 1 try failed: before ensureConverted.');
    expect(text).toContain('The import parked: it waits for a person.');
    expect(text).toContain('test gave the order: retry.');
  });

  it('says of one that is under way what is done now, and what may be ordered', async () => {
    const events = until(await savedEvents('import-committed'), 'ensureConverted');
    const story = await importStoryOf(events, { afterMs: 60_000 });
    expect(story).toMatchObject({ phase: 'converting', vmOn: 'vc', vmRunning: false });
    const text = told(story, Date.parse(story.timeline.at(-1)!.at) + 42_000);
    expect(text).toContain('The import of web from vc to beta is under way: converting.');
    expect(text).toContain(
      'No worker of alpha has taken this up yet, for 42.0 s now: convert web.',
    );
    expect(text).toContain('vmferry cancel web');
  });

  it('tells of a rollback that the source runs again and what is kept', async () => {
    const story = await importStoryOf(await savedEvents('import-rolled-back'));
    expect(story).toMatchObject({ phase: 'rolled-back', vmOn: 'vc', vmRunning: true });
    const text = timeless(told(story));
    expect(text).toContain('The import began to undo what it had done.');
    expect(text).toContain('beta stopped web and gave it up.');
    expect(text).toContain('alpha started web at vc again.');
    expect(text).toContain('web is at vc and runs there, as last heard.');
    expect(text).toContain('alpha keeps what was copied until DAYT');
    expect(text).toContain('vmferry discard web');
  });

  it('does not take the source of a clone for the VM', async () => {
    const story = await importStoryOf(await savedEvents('import-clone-paused'));
    expect(story).toMatchObject({ clone: true, vmOn: 'beta', vmRunning: false });
    expect(story.downMs).toBeUndefined();
    expect(told(story)).toContain('web goes on at vc.');
  });

  it('says of one that was terminated what may be left, and who clears it up', async () => {
    const before = until(await savedEvents('import-committed'), 'ensureCopied');
    const killed: proto.temporal.api.history.v1.IHistoryEvent = {
      eventTime: before.at(-1)!.eventTime!,
      workflowExecutionTerminatedEventAttributes: { identity: 'ops@desk', reason: 'an error' },
    };
    const story = await importStoryOf([...before, killed]);
    expect(story).toMatchObject({
      end: 'terminated',
      leftovers: { targetVolumes: true, exports: true },
    });
    const text = told(story);
    expect(text).toContain('ops@desk terminated the workflow in Temporal: an error.');
    expect(text).toContain('beta may hold volumes that the import made.');
    expect(text).toContain('vmferry orphans');
  });
});
