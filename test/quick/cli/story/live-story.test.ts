import { describe, expect, it } from 'vitest';
import type { StoryEvent } from '../../../../client/story/events.ts';
import type { StoryRun } from '../../../../client/story/story.ts';
import { tellStory } from '../../../../client/story/tell.ts';
import { storyLines } from '../../../../cli/render/story.ts';
import { viewFor } from '../../../../cli/render/theme.ts';
import { story as storySchema } from '../../../../cli/output/story.ts';
import { defaultLiveWishes } from '../../../../domain/live.ts';
import { epochMs, moveId, reportWith, vm } from '../fake-client.ts';
import { playedLive } from '../fake-live.ts';

const mib = 1024 ** 2;
const at = (seconds: number): string => new Date(epochMs + seconds * 1000).toISOString();
const run: StoryRun = {
  steps: [{ act: 'throttle', why: 'the guest changes 60 MiB/s, and 50 MiB/s cross', atMs: 4200 }],
  elapsedMs: 12_000,
  downtimeMs: 212,
  iterations: 4,
  memoryBytes: 512 * mib,
  diskBytes: 0,
  postCopy: false,
};
const refused: StoryRun = {
  fault: {
    code: 'live-broke-off',
    handling: 'transient',
    message: 'the connection to beta broke',
    remedy: 'It is tried again.',
  },
  steps: [],
  elapsedMs: 2000,
  postCopy: false,
};

const asked: StoryEvent = {
  kind: 'asked',
  at: at(0),
  runId: 'run-1',
  by: '',
  input: {
    cluster: 'default',
    vm,
    running: true,
    request: { from: 'alpha', to: 'beta', operator: 'ada@desk', live: defaultLiveWishes },
  },
};

/** One piece of work from its begin to its end. */
const work = (
  id: string,
  {
    verb,
    host,
    from,
    to,
    what = verb,
    result,
  }: Record<'verb' | 'host', string> & {
    from: number;
    to?: number;
    what?: string;
    result?: unknown;
  },
): StoryEvent[] => [
  {
    kind: 'scheduled',
    at: at(from),
    id,
    verb,
    queue: `vmferry.host.${host}`,
    summary: `${host}: ${what}`,
  },
  { kind: 'begun', at: at(from), id },
  ...(to === undefined ? [] : [{ kind: 'done', at: at(to), id, result } as const]),
];

const told = (...events: StoryEvent[]) => {
  const story = tellStory(moveId, [asked, ...events], epochMs + 60_000)!;
  expect(() => storySchema.parse(story)).not.toThrow();
  const view = viewFor({ isTTY: false, columns: 400, env: { NO_COLOR: '1' } });
  return {
    story,
    text: storyLines(story, view, epochMs + 60_000)
      .join(' ')
      .replaceAll(/\s+/gu, ' '),
  };
};

const arrived = [
  ...work('1', { verb: 'admitLive', host: 'beta', from: 1, to: 2 }),
  ...work('2', { verb: 'moveLive', host: 'alpha', from: 2, to: 14, result: run }),
  ...work('3', { verb: 'liveView', host: 'alpha', from: 14, to: 15 }),
  ...work('4', { verb: 'releaseSource', host: 'alpha', from: 15, to: 16 }),
  ...work('5', { verb: 'takeOwnership', host: 'beta', from: 16, to: 17 }),
];

describe('the story of a live move', () => {
  it('tells the run, its pause, what crossed and what was done on the way with its reason', () => {
    const { text } = told({ kind: 'phase', at: at(1), phase: 'moving' }, ...arrived);
    expect(text).toContain('beta is ready to let web-1 in while it runs');
    expect(text).toContain(
      "web-1 went from alpha to beta while it ran, paused for 212 ms by libvirt's count: 512 MiB of memory in 4 passes, in 12.0 s. At 4.2 s the guest was slowed down: the guest changes 60 MiB/s, and 50 MiB/s cross.",
    );
    expect(text).not.toContain('liveView');
    expect(text).not.toContain('was down');
  });

  it('knows that the guest has run on the target, so that going back loses its writes', () => {
    const { story } = told(...arrived, { kind: 'phase', at: at(18), phase: 'awaiting-commit' });
    expect(story).toMatchObject({ vmOn: 'beta', vmRunning: true, targetHasRun: true });
    expect(story).not.toHaveProperty('downMs');
  });

  it('tells a run that broke off, and the next one', () => {
    const { text } = told(
      ...work('1', {
        verb: 'moveLive',
        host: 'alpha',
        from: 2,
        to: 4,
        what: 'move web-1 live',
        result: refused,
      }),
      ...work('2', { verb: 'moveLive', host: 'alpha', from: 6, what: 'move web-1 live, run 2' }),
    );
    expect(text).toContain('web-1 did not get to beta, in 2.0 s: the connection to beta broke.');
    expect(text).toContain('alpha is at it, for 54.0 s now: move web-1 live, run 2.');
  });

  it('says that the VM stayed where it was while it moves', () => {
    const { story } = told(
      { kind: 'phase', at: at(1), phase: 'moving' },
      ...work('1', { verb: 'moveLive', host: 'alpha', from: 2 }),
    );
    expect(story).toMatchObject({ vmOn: 'alpha', vmRunning: true, targetHasRun: false });
  });

  it('says why it was moved cold instead', () => {
    const report = reportWith({
      phase: 'committed',
      live: { ...playedLive, gaveUp: 'the plan allows no more' },
    });
    const { text } = told({ kind: 'ended', at: at(50), how: 'completed', result: report });
    expect(text).toContain('It was not moved live: the plan allows no more');
  });
});
